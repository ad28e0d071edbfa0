// What is in all pictures: their tokens in groups that are alike, each with examples. A click looks
// for pictures with it.

import { ask } from "./api.js";
import { together } from "./choice.js";
import { groups, pictures } from "./counted.js";
import { hitButton } from "./hits.js";
import { decoded, paintHeat } from "./maps.js";
import { trying } from "./messages.js";

export class Concepts {
  // `open` is called with the key of a picture and the concept whose tokens to choose there, `found`
  // once, when the concepts are known, with how many pictures are indexed.
  constructor(root, start, search, names, open, found) {
    Object.assign(this, { root, start, search, names, open, found });
    this.list = root.querySelector("ol");
    this.hint = root.querySelector(".hint");
    search.concepts.listen(() => this.mark());
    names.listen(() => this.label());
  }

  // They are asked for when they are first looked at.
  async show() {
    if (this.start.whyNoSearch) {
      this.hint.textContent = this.start.whyNoSearch;
      return;
    }
    if (this.asking || this.list.children.length) return;
    this.asking = true;
    this.root.setAttribute("aria-busy", "true");
    this.hint.textContent = `All tokens of ${pictures(this.start.indexed ?? this.start.count)} are put into groups, which takes a moment.`;
    const answer = await trying(() => ask("/api/concepts", {}));
    this.root.removeAttribute("aria-busy");
    this.asking = false;
    if (!answer) {
      this.hint.textContent = "";
      return;
    }
    this.hint.textContent =
      `${groups(answer.concepts.length)} of tokens that are alike, in ${pictures(answer.indexed)}. ` +
      "A click looks for pictures with one, Shift and a click with several.";
    this.list.replaceChildren(...answer.concepts.map((concept, number) => this.card(concept, number, answer.indexed)));
    this.names.know(answer.concepts.map((concept) => concept.name));
    this.mark();
    this.found(answer.indexed);
  }

  card(concept, number, indexed) {
    const item = document.createElement("li");
    const pick = Object.assign(document.createElement("button"), { type: "button", className: "pick" });
    pick.dataset.concept = number;
    const where = document.createElement("canvas");
    where.title = "Where it lies, in the mean of its pictures";
    paintHeat(where, concept.grid, decoded(concept.where));
    const text = document.createElement("span");
    text.innerHTML = "<b></b><small></small>";
    text.querySelector("small").textContent =
      `in ${concept.pictures.toLocaleString()} of ${pictures(indexed)}, ${(100 * concept.share).toFixed(1)}% of all patches`;
    pick.append(where, text);
    pick.onclick = (event) => this.search.forConcept(number, together(event));
    const examples = document.createElement("div");
    examples.className = "examples";
    examples.append(...concept.examples.map((hit) => {
      const button = hitButton(hit, (key) => this.open(key, number));
      button.dataset.shows = `${hit.name}, ${hit.place}`;
      return button;
    }));
    const head = Object.assign(document.createElement("div"), { className: "head" });
    head.append(pick);
    if (this.names.canName) head.append(this.pen(number, head, pick));
    item.append(head, examples);
    return item;
  }

  // A click opens the field for the concept's name.
  pen(number, head, pick) {
    const pen = Object.assign(document.createElement("button"), { type: "button", className: "pen" });
    pen.onclick = () => {
      const form = this.names.field(number, () => {
        pick.inert = pen.inert = false;
        pen.focus();
      });
      pick.inert = pen.inert = true; // the field lies over them
      head.append(form);
      form.querySelector("input").select();
    };
    return pen;
  }

  label() {
    this.list.querySelectorAll("li").forEach((item, number) => {
      const name = this.names.of(number);
      item.querySelector(".pick b").textContent = this.names.names[number] || `Concept ${number}`;
      for (const button of item.querySelectorAll(".hit")) button.setAttribute("aria-label", `${name}: ${button.dataset.shows}`);
      const pen = item.querySelector(".pen");
      if (!pen) return;
      pen.textContent = this.names.names[number] ? "Rename" : "Name";
      pen.setAttribute("aria-label", `${pen.textContent} ${name}`);
    });
  }

  mark() {
    for (const pick of this.list.querySelectorAll(".pick"))
      pick.setAttribute("aria-pressed", String(this.search.concepts.has(Number(pick.dataset.concept))));
  }
}
