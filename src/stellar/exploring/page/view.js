// A picture in the eyes of one model: its tokens and maps, what is drawn from them, and its edit.
//
// The server alone knows what an edit does: the view keeps the steps, sends all of them, and shows
// the maps and the drawing that come back.

import { ask, pictureURL } from "./api.js";
import { Cards } from "./cards.js";
import { choice } from "./choice.js";
import { History } from "./history.js";
import { show } from "./images.js";
import { clamped, clear, decoded, largest, paintSegments, paintShade, split, sum } from "./maps.js";
import { say, trying } from "./messages.js";
import { Tools } from "./tools.js";

const put = new WeakMap(); // by steps that replace a token: what they put there, as the shelf has it
const SLOW = 150; // milliseconds before it is said that something is being waited for

export class View {
  // `shelf` has the tokens to put here; `changed` is called when tokens are chosen or the picture is
  // another.
  constructor(model, number, colours, shelf, names, changed) {
    Object.assign(this, { model, number, colours, shelf, names, changed });
    names.listen(() => this.look && this.acts());
    this.root = document.getElementById("view").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.root.querySelector(selector);
    this.find("h2").textContent = model.name;
    this.stage = this.find(".stage");
    this.canvas = this.find(".stage canvas");
    this.histories = new Map(); // by the keys of pictures
    this.history = new History();
    this.chosen = [];
    this.mode = "maps";
    this.cards = new Cards(this.find(".cards"), {
      hover: (token) => this.hover(token),
      choose: (token, together) => this.choose(token, together),
      drop: (token, what) => this.replace(token, what),
      given: (token) => this.given(token),
    });
    this.find(".drawn").hidden = !model.draws;
    this.find(".between").hidden = !model.draws;
    this.listen();
  }

  listen() {
    choice(this.find(".show"), (mode) => { this.mode = mode; this.paint(); });
    this.tools = new Tools(this);
    this.find(".between input").addEventListener("input", (event) => this.reveal(event.target.value));
    this.find(".undo").onclick = () => this.undo();
    this.find(".reset").onclick = () => this.steps.length && this.edit([]);
    this.find(".python").onclick = () => this.python();
    this.find(".remove").onclick = () => this.add({ kind: "scale", token: this.active, factor: 0 });
    this.find(".duplicate").onclick = () => this.duplicate();
    this.find(".take").onclick = () => { this.shelf.add(this.given(this.active)); say(`Token ${this.active} is on the shelf.`); };
    this.find(".put").onclick = () => this.replace(this.active, this.shelf.chosen);
    const weight = this.find(".acts input");
    weight.addEventListener("input", () => this.weigh(2 ** (weight.value / 4), false));
    weight.addEventListener("change", () => this.weigh(2 ** (weight.value / 4), true));
    document.addEventListener("shelf", () => this.offer());
  }

  get steps() {
    return this.history.steps;
  }

  get active() {
    return this.chosen.at(-1);
  }

  // A picture, as it was edited last, with some of its tokens chosen, or those of a concept. What is known of the one before
  // is hidden if it takes long, and until there is an answer nothing can be done.
  async open(key, chosen = [], concept = null) {
    this.concept = concept;
    if (key === this.key && this.look) {
      if (concept !== null) chosen = this.tokensOf(concept);
      if (chosen.length) this.chosen = chosen;
      this.paint();
      this.changed();
      return;
    }
    if (!this.histories.has(key)) this.histories.set(key, new History());
    const history = this.histories.get(key);
    Object.assign(this, { key, history, look: null, maps: null, chosen, next: null, hovered: null, pointed: null });
    this.tools.cancel();
    this.tools.forget();
    this.failed = false;
    this.find(".patch").hidden = true;
    this.find(".over").removeAttribute("src");
    show(this.find(".picture"), pictureURL(key, "view"));
    this.find(".which").textContent = "";
    clear(this.canvas);
    this.enable(false);
    await this.refresh();
  }

  enable(on) {
    for (const control of this.root.querySelectorAll(".acts button, .acts input, .steps button")) control.disabled = !on;
  }

  // Whether something else is looked at.
  get hidden() {
    return !this.root.isConnected || !this.root.checkVisibility();
  }

  // Whether there is no picture to be seen: what shows it, points at it or looks for it rests.
  get failed() {
    return this.root.classList.contains("failed");
  }

  set failed(on) {
    this.root.classList.toggle("failed", on);
    this.find(".problem").hidden = !on;
    for (const control of this.root.querySelectorAll(".tools button, .tools input, .between input")) control.disabled = on;
  }

  // The picture after all steps, and the trial. While an answer is waited for, the next question
  // waits, and only the last one is asked.
  async refresh() {
    this.wanted = true;
    if (this.asking) return;
    this.asking = true;
    const slow = setTimeout(() => {
      this.root.setAttribute("aria-busy", "true");
      this.root.classList.toggle("stale", !this.look);
    }, SLOW);
    try {
      while (this.wanted) await this.answered();
    } finally {
      clearTimeout(slow);
      this.root.removeAttribute("aria-busy");
      this.root.classList.remove("stale");
      this.asking = false;
    }
  }

  // One question, of what is wanted now, and what its answer shows.
  async answered() {
    this.wanted = false;
    const [key, steps] = [this.key, this.trial ? [...this.steps, this.trial] : this.steps];
    const { next } = this; // of these steps: what is done meanwhile has its own
    this.next = null;
    try {
      const look = await ask("/api/look", { picture: key, model: this.number, steps });
      if (key !== this.key) return;
      if (steps === this.steps) this.history.confirm();
      this.show(look, next);
    } catch (error) {
      if (key === this.key) this.fail(error);
    }
  }

  fail(error) {
    this.tools.cancel();
    this.next = null;
    if (this.look) { // the edit, not the picture: as it was confirmed last
      this.history.revert();
      say(error.message, "error");
      this.paint();
      return;
    }
    this.failed = true;
    this.chosen = [];
    this.find(".problem").textContent = error.message;
    this.find(".name").textContent = this.find(".seen").textContent = "";
    this.changed();
  }

  // `next` are the tokens to choose, if what was done chooses some.
  show(look, next) {
    const first = !this.look;
    this.look = look;
    this.enable(true);
    this.maps = split(decoded(look.maps), look.grid);
    this.owner = largest(this.maps);
    this.chosen = (next ?? this.chosen).filter((token) => token < this.maps.length);
    if (this.hovered >= this.maps.length) this.hovered = null; // a copy that is no more
    if (first && this.concept !== null) this.chosen = this.tokensOf(this.concept);
    const others = first || next != null;
    this.root.style.setProperty("--aspect", clamped(look.aspect));
    this.facts();
    if (look.drawing) {
      this.find(".drawing").src = this.find(".over").src = look.drawing;
      const psnr = look.psnr === null ? "exactly" : `PSNR ${look.psnr.toFixed(1)} dB`;
      this.find(".drawn figcaption").textContent = this.steps.length || this.trial
        ? "Drawn from the edited tokens" : `Drawn from ${look.tokens.length} tokens, ${psnr}`;
    }
    this.cards.draw(this.key, look, this.maps, this.colours);
    this.paint();
    if (others) this.changed();
  }

  facts() {
    const { name, size, input, sharpness } = this.look;
    this.find(".name").textContent = name;
    this.find(".seen").textContent =
      `${size.join(" × ")} pixels, seen as ${input.join(" × ")} in patches of ${this.model.patch}. ` +
      `A patch's first token has ${Math.round(100 * sharpness)}% of it.`;
    this.find(".picture").alt = name;
    this.stage.setAttribute("aria-label", `${name}. Arrow keys go from patch to patch, Enter chooses the token.`);
  }

  // What lies on the picture: maps of the tokens that are pointed at or chosen, or segments.
  paint() {
    this.root.dataset.mode = this.mode;
    const source = this.mode === "input" ? pictureURL(this.key, "input", this.number) : pictureURL(this.key, "view");
    if (this.find(".picture").dataset.url !== source) show(this.find(".picture"), source);
    if (!this.maps) return;
    const lit = this.hovered != null ? [this.hovered] : this.chosen;
    if (this.mode === "segments") paintSegments(this.canvas, this.look.grid, this.owner, this.colours, lit);
    else if (lit.length) paintShade(this.canvas, this.look.grid, sum(lit.map((token) => this.maps[token])));
    else clear(this.canvas);
    this.tools.paint();
    this.cards.light(lit, this.chosen);
    this.acts();
  }

  acts() {
    const none = this.chosen.length === 0;
    this.find(".which").textContent = this.pointed != null ? this.shareOf(this.pointed)
      : none ? "Choose a token: click a card, or the picture."
      : this.chosen.length === 1 ? `Token ${this.active} is chosen${this.conceptOf(this.active)}.`
      : `Tokens ${this.chosen.join(", ")} are chosen; the tools are for token ${this.active}.`;
    for (const control of this.root.querySelectorAll(".acts button, .acts input")) control.disabled = none;
    const share = none ? 0 : this.look.tokens[this.active].share;
    this.find(".acts input").disabled = share === 0;
    this.find(".remove").disabled = share === 0 || share > 0.9999; // gone, or the last one
    this.find(".undo").disabled = this.history.past.length === 0;
    this.find(".reset").disabled = this.steps.length === 0;
    this.offer();
  }

  offer() {
    const kept = this.shelf.chosen;
    this.find(".put").disabled = !this.look || this.chosen.length === 0 || !kept || kept.model !== this.number;
  }

  shareOf(patch) {
    const token = this.owner[patch];
    return `This patch is ${Math.round(100 * this.maps[token][patch])}% token ${token}'s.`;
  }

  // Known once the concepts were looked at.
  conceptOf(token) {
    const concept = this.look.concepts?.[token];
    return concept == null ? "" : `, of ${this.names.of(concept)}`;
  }

  tokensOf(concept) {
    return this.maps.map((_, token) => token).filter((token) => this.look.concepts?.[token] === concept);
  }

  hover(token) {
    if (!this.look || this.tools.busy || token === this.hovered) return;
    this.hovered = token;
    this.paint();
  }

  point(patch) {
    const mark = this.find(".patch");
    mark.hidden = patch === null || !this.maps;
    const other = patch !== this.pointed;
    this.pointed = mark.hidden ? null : patch;
    if (mark.hidden) {
      this.hovered = null;
      this.paint();
      return;
    }
    const [rows, columns] = this.look.grid;
    const [top, left, width] = this.tools.footprint(patch);
    Object.assign(mark.style, {
      left: `${(100 * left) / columns}%`, top: `${(100 * top) / rows}%`,
      width: `${(100 * width) / columns}%`, height: `${(100 * width) / rows}%`,
    });
    if (this.tools.tool === "look") this.hovered = this.owner[patch];
    if (other) this.paint();
  }

  choose(token, together) {
    if (!this.look) return;
    const chosen = this.chosen.includes(token);
    if (together) this.chosen = chosen ? this.chosen.filter((other) => other !== token) : [...this.chosen, token];
    else this.chosen = chosen && this.chosen.length === 1 ? [] : [token];
    this.paint();
    this.changed();
  }

  // Nothing is chosen any more; or, of a stroke that is under way, that there was none. Says whether
  // it was that.
  letGo() {
    const busy = Boolean(this.tools.busy || this.trial);
    this.tools.cancel();
    if (busy) {
      this.refresh();
    } else {
      this.chosen = [];
      this.paint();
      this.changed();
    }
    return busy;
  }

  reveal(percent) {
    this.find(".over").style.clipPath = `inset(0 0 0 ${100 - percent}%)`;
  }

  // A step that is shown, but not done yet.
  attempt(step) {
    this.trial = step;
    this.paint();
    this.refresh();
  }

  weigh(factor, done) {
    if (this.active === undefined || !this.look) return;
    const step = { kind: "scale", token: this.active, factor };
    this.find(".acts output").textContent = `× ${factor.toFixed(1)}`;
    if (!done) return this.attempt(step);
    this.tools.cancel();
    if (factor !== 1) this.add(step);
  }

  duplicate() {
    const [rows, columns] = this.look.grid;
    const map = this.maps[this.active];
    let middle = 0;
    let total = 0;
    map.forEach((value, patch) => { middle += value * (patch % columns); total += value; });
    const right = middle / total < columns / 2;
    const way = Math.max(1, Math.round(columns / 3)) * (right ? 1 : -1);
    this.next = [this.model.tokens + this.steps.filter(({ kind }) => kind === "duplicate").length];
    this.tools.use("move");
    this.add({ kind: "duplicate", token: this.active, rows: 0, columns: way });
    say("The copy is chosen: drag it where it is to be.");
  }

  replace(token, what) {
    if (what.model !== this.number) {
      say("Tokens of another model mean nothing to this one.", "error");
      return;
    }
    if (!this.look) return;
    this.next = [token];
    const step = { kind: "replace", token, picture: what.picture, other: what.token };
    put.set(step, what);
    this.add(step);
  }

  // What a token is, after replacements and copies, as the shelf has it.
  given(token) {
    if (!this.look) return null;
    const { name, grid, aspect } = this.look;
    const are = Array.from({ length: this.model.tokens }, (_, own) =>
      ({ model: this.number, picture: this.key, token: own, name, grid, aspect, map: this.maps[token] }));
    for (const step of this.steps) {
      if (step.kind === "duplicate") are.push(are[step.token]);
      if (step.kind === "replace") are[step.token] = put.get(step);
    }
    return are[token];
  }

  add(step) {
    this.edit([...this.steps, step]);
  }

  undo() {
    if (this.look && this.history.undo()) this.edited();
  }

  redo() {
    if (this.look && this.history.redo()) this.edited();
  }

  edit(steps) {
    if (!this.look) return;
    this.history.change(steps);
    this.edited();
  }

  edited() {
    this.trial = null;
    this.refresh();
    this.changed();
  }

  async python() {
    const question = { picture: this.key, model: this.number, steps: this.steps };
    const answer = await trying(() => ask("/api/python", question));
    if (!answer) return;
    const dialog = document.getElementById("code");
    dialog.querySelector("pre").textContent = answer.code;
    dialog.showModal();
    document.dispatchEvent(new Event("code"));
  }
}
