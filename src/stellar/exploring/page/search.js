// Pictures that have the chosen tokens and concepts, are like the whole picture, or have what words
// say; at a place, where one is drawn.

import { ask } from "./api.js";
import { ChosenConcepts } from "./chosen_concepts.js";
import { pictures } from "./counted.js";
import { hitButton } from "./hits.js";
import { trying } from "./messages.js";

export class Search {
  // `open` is called with the key of a picture and the tokens of it to choose.
  constructor(root, start, view, names, open) {
    Object.assign(this, { root, view, names, open, possible: !start.whyNoSearch });
    this.find = (selector) => root.querySelector(selector);
    this.unwanted = new Set();
    this.concepts = new ChosenConcepts();
    this.concepts.listen(() => {
      if (!this.concepts.wanted.length && this.asked?.concepts?.length) this.forget();
      this.describe();
    });
    names.listen(() => this.describe());
    this.find(".go").onclick = () => this.search();
    this.find(".place").onclick = () => this.place();
    this.find(".words").hidden = !start.words;
    this.find(".words").onsubmit = (event) => {
      event.preventDefault();
      this.searchWords(this.find(".words input").value);
    };
    this.why = start.whyNoSearch ?? `The first search makes an index of ${pictures(start.count)}, which takes a moment.`;
    if (start.indexed) this.know(start.indexed);
    this.forget();
    this.describe();
  }

  // So many pictures are indexed.
  know(indexed) {
    if (this.find(".hint").textContent === this.why) this.find(".hint").textContent = `In ${pictures(indexed)}.`;
    this.why = `In ${pictures(indexed)}.`;
  }

  // What was found; an answer that is under way comes too late.
  forget() {
    this.asked = null;
    this.root.removeAttribute("aria-busy");
    this.find(".hint").textContent = this.why;
    this.find(".hits").replaceChildren();
  }

  // Whether it is the picture that is searched by, not concepts alone.
  get byPicture() {
    return this.view.chosen.length > 0 || this.concepts.wanted.length === 0;
  }

  // Whether that cannot be: there is none, or none to be seen.
  get blind() {
    return this.byPicture && (this.view.failed || !this.view.chosen.length && this.view.hidden);
  }

  // What would be looked for, as buttons that say with or without.
  describe() {
    this.find(".go").disabled = !this.possible || this.blind;
    this.find(".place").disabled = !this.possible || this.view.failed;
    this.find(".place").setAttribute("aria-pressed", String(this.view.tools.tool === "place"));
    const chosen = this.view.chosen;
    this.unwanted = new Set([...this.unwanted].filter((token) => chosen.includes(token)));
    const chips = [
      ...chosen.map((token) => this.chip(`token ${token}`, this.unwanted.has(token), () => {
        this.unwanted.delete(token) || this.unwanted.add(token);
        this.describe();
      })),
      ...[...this.concepts.signs].flatMap(([number, wanted]) => [
        this.chip(this.names.of(number), !wanted, () => this.concepts.turn(number)),
        this.away(this.names.of(number), () => this.concepts.drop(number)),
      ]),
    ];
    if (chosen.every((token) => this.unwanted.has(token)) && !this.concepts.wanted.length)
      chips.unshift(Object.assign(document.createElement("span"), {
        textContent: this.view.failed ? "There is no picture to look for"
          : this.view.hidden && !chosen.length ? "Choose a concept" : "Pictures like the whole of this one",
      }));
    if (this.view.tools.box) chips.push(this.placeChip());
    this.find(".asked").replaceChildren(...chips);
  }

  // A click turns it round.
  chip(name, without, turn) {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip" });
    chip.dataset.name = name;
    chip.textContent = `${without ? "without" : "with"} ${name}`;
    chip.classList.toggle("without", without);
    chip.title = without ? "Click to look for pictures with it" : "Click to look for pictures without it";
    chip.onclick = () => {
      turn();
      [...this.root.querySelectorAll(".asked .chip")].find((each) => each.dataset.name === name).focus();
    };
    return chip;
  }

  away(name, drop) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "chip away", textContent: "×" });
    button.setAttribute("aria-label", `Do not look for ${name}`);
    button.onclick = () => {
      drop();
      this.focus();
    };
    return button;
  }

  // Where what had the focus is gone.
  focus() {
    const buttons = [".place", ".go"].map(this.find);
    (buttons.find((each) => !each.disabled && each.checkVisibility()) ?? this.root).focus();
  }

  placeChip() {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: "at the place ×" });
    chip.title = "Click to look everywhere";
    chip.onclick = () => {
      this.view.tools.forget();
      this.describe();
      this.focus();
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
    if (this.byPicture && !look) return;
    const tokens = chosen.filter((token) => !this.unwanted.has(token));
    const [without, concepts, withoutConcepts] = [[...this.unwanted], this.concepts.wanted, this.concepts.unwanted];
    const question = { tokens, without, concepts, withoutConcepts, box: box ?? null };
    if (this.byPicture) Object.assign(question, { picture: key, steps });
    const wanted = [
      tokens.length ? `${listed("token", tokens)} of ${look.name}` : "",
      ...concepts.map((number) => this.names.of(number)),
    ].filter(Boolean).join(" and ") || look.name;
    const lacking = [listed("token", without), ...withoutConcepts.map((number) => this.names.of(number))].filter(Boolean).join(" and ");
    await this.show("/api/search", question, `Like ${wanted}${lacking ? `, without ${lacking}` : ""}`);
  }

  // One alone, without what is chosen in the picture, or together with the others.
  async forConcept(number, together) {
    if (!together) this.view.letGo();
    this.concepts.choose(number, together);
    if (!this.concepts.wanted.length) return;
    await this.search();
    this.root.scrollIntoView({ block: "nearest" });
  }

  // Texts stand between commas; what is found has all of them.
  async searchWords(words) {
    const texts = words.split(",").map((text) => text.trim()).filter(Boolean);
    if (texts.length)
      await this.show("/api/words", { texts, box: this.view.tools.box ?? null }, texts.map((text) => `“${text}”`).join(" and "));
  }

  // Of several questions that are under way, the last one's answer is shown.
  async show(path, question, what) {
    this.asked = question;
    this.root.setAttribute("aria-busy", "true");
    const answer = await trying(() => ask(path, question));
    if (this.asked !== question) return;
    this.root.removeAttribute("aria-busy");
    if (!answer) return;
    this.know(answer.indexed);
    this.find(".hint").textContent = answer.hits.length
      ? `${what}${question.box ? ", at the place" : ""}: the best of ${pictures(answer.indexed)}. Light is what matched.`
      : "Nothing was found.";
    this.find(".hits").replaceChildren(...answer.hits.map((hit) => this.hit(hit)));
  }

  hit(hit) {
    const item = document.createElement("li");
    const button = hitButton(hit, this.open);
    const text = document.createElement("small");
    text.innerHTML = "<b></b> <span></span>";
    text.querySelector("b").textContent = hit.score.toFixed(3);
    text.querySelector("span").textContent = hit.place;
    button.setAttribute("aria-label", `${hit.name}, score ${hit.score.toFixed(3)}, ${hit.place}`);
    button.append(text);
    item.append(button);
    return item;
  }
}

const listed = (name, numbers) => (numbers.length ? `${name}${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}` : "");
