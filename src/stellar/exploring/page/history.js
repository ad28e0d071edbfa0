// The steps of an edit, with undo and redo; starting over can be undone too.

export class History {
  constructor() {
    this.steps = [];
    this.past = [];
    this.future = [];
    this.confirm();
  }

  // As it is now, it was shown.
  confirm() {
    this.shown = { steps: this.steps, past: [...this.past], future: [...this.future] };
  }

  // As it was shown last.
  revert() {
    Object.assign(this, { ...this.shown, past: [...this.shown.past], future: [...this.shown.future] });
  }

  change(steps) {
    this.past.push(this.steps);
    this.future = [];
    this.steps = steps;
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.steps);
    this.steps = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.steps);
    this.steps = this.future.pop();
    return true;
  }
}
