// A card for each token: its map on the picture, its share and its place.

import { pictureURL } from "./api.js";
import { ALONG, together } from "./choice.js";
import { gives, takes } from "./dragging.js";
import { show } from "./images.js";
import { clamped, paintShade } from "./maps.js";

// A token in small: the picture, dark where the token is not.
export function miniature({ picture, grid, map, aspect = 1 }) {
  const mini = document.createElement("span");
  mini.className = "mini";
  mini.style.aspectRatio = clamped(aspect);
  const image = Object.assign(document.createElement("img"), { alt: "", draggable: false });
  show(image, pictureURL(picture, "view"));
  const canvas = document.createElement("canvas");
  paintShade(canvas, grid, map);
  mini.append(image, canvas);
  return mini;
}

export class Cards {
  // `on` has hover(token or null), choose(token, together), drop(token, what), given(token).
  constructor(list, on) {
    this.list = list;
    this.on = on;
    this.cards = [];
    list.addEventListener("keydown", (event) => this.step(event));
  }

  // As many cards as tokens, each drawn anew; elements stay, so that focus and hover do.
  draw(picture, look, maps, colours) {
    while (this.cards.length > maps.length) this.cards.pop().closest("li").remove();
    while (this.cards.length < maps.length) this.cards.push(this.make(this.cards.length));
    this.cards.forEach((card, token) => {
      const { share, place } = look.tokens[token];
      const old = card.querySelector(".mini");
      if (old?.dataset.picture === picture) {
        paintShade(old.querySelector("canvas"), look.grid, maps[token]);
      } else {
        const mini = miniature({ picture, grid: look.grid, map: maps[token], aspect: look.aspect });
        mini.dataset.picture = picture;
        old ? old.replaceWith(mini) : card.prepend(mini);
      }
      const percent = share > 0 && share < 0.01 ? "under 1%" : `${Math.round(100 * share)}%`;
      card.querySelector("b").textContent = `Token ${token}`;
      card.querySelector("small").textContent = share > 0 ? `${percent}, ${place}` : "removed";
      card.style.setProperty("--token", `rgb(${colours[token % colours.length].join(" ")})`);
      card.classList.toggle("gone", share === 0);
    });
  }

  make(token) {
    const item = document.createElement("li");
    const card = Object.assign(document.createElement("button"), { type: "button", className: "card" });
    card.dataset.token = token;
    card.dataset.gives = card.dataset.takes = "";
    card.innerHTML = '<span class="text"><b></b><small></small></span>';
    card.addEventListener("pointerenter", () => this.on.hover(token));
    card.addEventListener("pointerleave", () => this.on.hover(null));
    card.addEventListener("focus", () => card.matches(":focus-visible") && this.on.hover(token));
    card.addEventListener("blur", () => this.on.hover(null));
    card.addEventListener("click", (event) => this.on.choose(token, together(event)));
    gives(card, () => this.on.given(token));
    takes(card, (what) => this.on.drop(token, what));
    item.append(card);
    this.list.append(item);
    return card;
  }

  light(lit, chosen) {
    this.cards.forEach((card, token) => {
      card.classList.toggle("lit", lit.includes(token));
      card.setAttribute("aria-pressed", String(chosen.includes(token)));
    });
  }

  step(event) {
    const by = ALONG[event.key];
    const at = this.cards.indexOf(document.activeElement);
    if (!by || at < 0) return;
    this.cards[(at + by + this.cards.length) % this.cards.length].focus();
    event.preventDefault();
  }
}
