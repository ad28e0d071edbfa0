// Tokens that were taken from pictures, to be put into others.

import { gives, takes } from "./dragging.js";
import { say } from "./messages.js";
import { miniature } from "./cards.js";

export class Shelf {
  constructor(root) {
    this.list = root.querySelector("ul");
    this.hint = root.querySelector(".hint");
    this.tokens = [];
    root.dataset.takes = "";
    takes(root, (token) => this.add(token));
  }

  // { model, picture, name, token, grid, map }
  add(token) {
    const same = (other) => ["model", "picture", "token"].every((key) => other[key] === token[key]);
    this.chosen = this.tokens.find(same);
    if (!this.chosen) this.tokens.unshift((this.chosen = token));
    this.draw();
  }

  draw() {
    this.hint.hidden = this.tokens.length > 0;
    this.list.replaceChildren(...this.tokens.map((token) => this.item(token)));
    document.dispatchEvent(new Event("shelf"));
  }

  item(token) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", className: "kept" });
    button.dataset.gives = "";
    button.setAttribute("aria-pressed", String(token === this.chosen));
    button.setAttribute("aria-label", `Token ${token.token} of ${token.name}`);
    button.title = button.getAttribute("aria-label");
    button.append(miniature(token));
    button.onclick = () => { this.chosen = token; this.draw(); };
    gives(button, () => token);
    const away = Object.assign(document.createElement("button"), { type: "button", className: "away", textContent: "×" });
    away.setAttribute("aria-label", `Take token ${token.token} of ${token.name} off the shelf`);
    away.onclick = () => {
      this.tokens = this.tokens.filter((other) => other !== token);
      if (this.chosen === token) this.chosen = this.tokens[0];
      this.draw();
      (this.list.querySelector(".kept") ?? this.list.closest("section")).focus();
      say("Taken off the shelf.");
    };
    item.append(button, away);
    return item;
  }
}
