// What the pointer and the keys do on a view's picture: look, paint, erase, move, or draw a place.

import { choice } from "./choice.js";
import { paintPatches } from "./maps.js";
import { say } from "./messages.js";
import { pointing } from "./pointer.js";

const SMALLEST = 0.02; // of a side: a place that is smaller is none

export class Tools {
  constructor(view) {
    this.view = view;
    this.tool = "look";
    this.box = null; // the place that was drawn: left, top, right, bottom
    this.choice = choice(view.find(".tool"), (tool) => this.use(tool));
    pointing(view.stage, () => view.look?.grid, () => this.tool !== "look", {
      hover: (patch) => view.point(patch),
      press: (patch) => view.choose(view.owner[patch], false),
      begin: (patch, point) => this.begin(patch, point),
      drag: (patch, point) => this.drag(patch, point),
      end: (patch) => this.end(patch),
      arrow: (step) => this.nudge(step),
      enter: (patch, point) => this.enter(patch, point),
    });
  }

  // Whether a stroke is under way.
  get busy() {
    return Boolean(this.stroke || this.from);
  }

  use(tool) {
    const { view } = this;
    this.cancel();
    this.tool = tool;
    this.choice.set(tool);
    view.root.dataset.tool = tool;
    view.find(".brush").classList.toggle("idle", !this.paints);
    view.hovered = null;
    if (view.look) view.paint();
    view.changed();
  }

  get paints() {
    return this.tool === "paint" || this.tool === "erase";
  }

  // What is under way is none.
  cancel() {
    this.stroke = this.from = this.corner = this.view.trial = null;
    this.view.find(".acts input").value = 0;
    this.view.find(".acts output").textContent = "";
  }

  // No place is drawn any more.
  forget() {
    this.box = null;
    this.drawBox();
  }

  // Row, column and width of what the brush covers, or of the patch alone.
  footprint(patch) {
    const { columns } = this.size;
    const width = this.paints ? Number(this.view.find(".brush input").value) : 1;
    const back = Math.floor((width - 1) / 2);
    return [Math.floor(patch / columns) - back, (patch % columns) - back, width];
  }

  get size() {
    const [rows, columns] = this.view.look.grid;
    return { rows, columns };
  }

  // The stroke, on the view's canvas.
  paint() {
    const { view } = this;
    if (this.stroke?.size) paintPatches(view.canvas, view.look.grid, this.stroke, view.colours[this.token % view.colours.length]);
  }

  begin(patch, point) {
    if (this.tool === "place") {
      this.from = point;
      return;
    }
    if (this.view.active === undefined) {
      say("Choose a token first: click its card.");
      return;
    }
    this.stroke = new Set();
    this.token = this.view.active;
    this.start = patch;
    this.drag(patch, point);
  }

  drag(patch, point) {
    if (this.from) return this.placing(this.from, point);
    if (!this.stroke) return;
    if (this.tool === "move") {
      const [row, column] = this.at(patch);
      const [before, beside] = this.at(this.start);
      this.view.attempt({ kind: "move", token: this.token, rows: row - before, columns: column - beside });
      return;
    }
    const { rows, columns } = this.size;
    const [top, left, width] = this.footprint(patch);
    for (let row = Math.max(0, top); row < Math.min(rows, top + width); row++)
      for (let column = Math.max(0, left); column < Math.min(columns, left + width); column++)
        this.stroke.add(row * columns + column);
    this.view.point(patch);
    this.view.attempt({ kind: "paint", token: this.token, patches: [...this.stroke], share: this.tool === "paint" ? 1 : 0 });
  }

  end(patch) {
    if (this.tool === "place") return this.use("look");
    const { trial } = this.view;
    const stroke = this.stroke;
    this.stroke = this.view.trial = null;
    if (!stroke) return;
    const nothing = !trial || (trial.kind === "move" && !trial.rows && !trial.columns);
    if (patch === null || nothing) this.view.refresh();
    else this.view.add(trial);
  }

  // Enter on a patch: as a click there, or two of them for the corners of a place.
  enter(patch, point) {
    if (this.tool === "look") return this.view.choose(this.view.owner[patch], false);
    if (this.tool !== "place") {
      this.begin(patch, point);
      return this.end(patch);
    }
    if (!this.corner) {
      this.corner = this.at(patch);
      say("Now go to the opposite corner, and press Enter again.");
      return;
    }
    const { rows, columns } = this.size;
    const [[row, column], [other, beside]] = [this.at(patch), this.corner];
    this.placing(
      [Math.min(column, beside) / columns, Math.min(row, other) / rows],
      [(Math.max(column, beside) + 1) / columns, (Math.max(row, other) + 1) / rows],
    );
    this.use("look");
  }

  // An arrow key; whether it did something.
  nudge([rows, columns]) {
    if (this.tool !== "move" || this.view.active === undefined) return false;
    this.view.add({ kind: "move", token: this.view.active, rows, columns });
    return true;
  }

  at(patch) {
    const { columns } = this.size;
    return [Math.floor(patch / columns), patch % columns];
  }

  placing(from, to) {
    const box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
    this.box = box[2] - box[0] > SMALLEST && box[3] - box[1] > SMALLEST ? box : null;
    this.drawBox();
  }

  drawBox() {
    const mark = this.view.find(".box");
    mark.hidden = !this.box;
    if (!this.box) return;
    const [left, top, right, bottom] = this.box.map((value) => 100 * value);
    Object.assign(mark.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  }
}
