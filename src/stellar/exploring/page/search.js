// Pictures that have the chosen tokens, are like the whole picture, or have what words say; at a
// place, where one is drawn.

import { ask } from "./api.js";
import { pictures } from "./counted.js";
import { clamped, decoded, paintShade } from "./maps.js";
import { trying } from "./messages.js";

export class Search {
  // `open` is called with the key of a picture and the tokens of it to choose.
  constructor(root, start, view, open) {
    Object.assign(this, { root, view, open, possible: !start.whyNoSearch });
    this.find = (selector) => root.querySelector(selector);
    this.unwanted = new Set();
    this.find(".go").onclick = () => this.search();
    this.find(".place").onclick = () => this.place();
    this.find(".words").hidden = !start.words;
    this.find(".words").onsubmit = (event) => {
      event.preventDefault();
      this.searchWords(this.find(".words input").value);
    };
    if (start.whyNoSearch) {
      this.find(".hint").textContent = start.whyNoSearch;
    } else if (!start.indexed) {
      this.find(".hint").textContent = `The first search makes an index of ${pictures(start.count)}, which takes a moment.`;
    } else {
      this.find(".hint").textContent = `In ${pictures(start.indexed)}.`;
    }
    this.describe();
  }

  // What would be looked for, as buttons that say with or without.
  describe() {
    this.find(".go").disabled = this.find(".place").disabled = !this.possible || this.view.failed;
    this.find(".place").setAttribute("aria-pressed", String(this.view.tools.tool === "place"));
    const chosen = this.view.chosen;
    this.unwanted = new Set([...this.unwanted].filter((token) => chosen.includes(token)));
    const chips = chosen.map((token) => {
      const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip" });
      const without = this.unwanted.has(token);
      chip.textContent = `${without ? "without" : "with"} token ${token}`;
      chip.classList.toggle("without", without);
      chip.title = without ? "Click to look for pictures with it" : "Click to look for pictures without it";
      chip.onclick = () => {
        without ? this.unwanted.delete(token) : this.unwanted.add(token);
        this.describe();
        [...this.find(".asked").querySelectorAll(".chip")][chosen.indexOf(token)].focus();
      };
      return chip;
    });
    if (chosen.every((token) => this.unwanted.has(token)))
      chips.unshift(Object.assign(document.createElement("span"), {
        textContent: this.view.failed ? "There is no picture to look for" : "Pictures like the whole of this one",
      }));
    if (this.view.tools.box) chips.push(this.placeChip());
    this.find(".asked").replaceChildren(...chips);
  }

  placeChip() {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: "at the place ×" });
    chip.title = "Click to look everywhere";
    chip.onclick = () => {
      this.view.tools.forget();
      this.describe();
      this.find(".place").focus();
    };
    return chip;
  }

  place() {
    const button = this.find(".place");
    const on = button.getAttribute("aria-pressed") !== "true";
    this.view.tools.use(on ? "place" : "look");
    if (on) this.view.stage.scrollIntoView({ block: "nearest" });
  }

  async search() {
    const { key, steps, chosen, look, tools: { box } } = this.view;
    if (!look) return;
    const without = [...this.unwanted];
    const tokens = chosen.filter((token) => !this.unwanted.has(token));
    const what = tokens.length ? `${tokens.length > 1 ? "tokens" : "token"} ${tokens.join(", ")} of ${look.name}` : look.name;
    const lacking = without.length ? `, without token ${without.join(", ")}` : "";
    await this.show("/api/search", { picture: key, steps, tokens, without, box: box ?? null }, `Like ${what}${lacking}`);
  }

  // Texts stand between commas; what is found has all of them.
  async searchWords(words) {
    const texts = words.split(",").map((text) => text.trim()).filter(Boolean);
    if (texts.length)
      await this.show("/api/words", { texts, box: this.view.tools.box ?? null }, texts.map((text) => `“${text}”`).join(" and "));
  }

  async show(path, question, what) {
    this.root.setAttribute("aria-busy", "true");
    const answer = await trying(() => ask(path, question));
    this.root.removeAttribute("aria-busy");
    if (!answer) return;
    this.find(".hint").textContent = answer.hits.length
      ? `${what}${question.box ? ", at the place" : ""}: the best of ${pictures(answer.indexed)}. Light is what matched.`
      : "Nothing was found.";
    this.find(".hits").replaceChildren(...answer.hits.map((hit) => this.hit(hit)));
  }

  hit(hit) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", className: "hit", title: hit.name });
    const image = document.createElement("span");
    image.className = "mini";
    image.style.aspectRatio = clamped(hit.aspect);
    if (hit.thumbnail) {
      const [left, top, width, height] = hit.frame;
      const picture = Object.assign(document.createElement("img"), { src: hit.thumbnail, alt: "" });
      Object.assign(picture.style, {
        inset: "auto", left: `${(-100 * left) / width}%`, top: `${(-100 * top) / height}%`,
        width: `${100 / width}%`, height: `${100 / height}%`, maxWidth: "none",
      });
      image.append(picture);
    }
    const canvas = document.createElement("canvas");
    paintShade(canvas, hit.grid, decoded(hit.map));
    image.append(canvas);
    const text = document.createElement("small");
    text.innerHTML = "<b></b> <span></span>";
    text.querySelector("b").textContent = hit.score.toFixed(3);
    text.querySelector("span").textContent = hit.place;
    button.setAttribute("aria-label", `${hit.name}, score ${hit.score.toFixed(3)}, ${hit.place}`);
    button.append(image, text);
    button.disabled = hit.key === null;
    if (button.disabled) button.title = `${hit.name} is not among these pictures`;
    button.onclick = () => this.open(hit.key, hit.tokens);
    item.append(button);
    return item;
  }
}
