// Concepts that are looked for, and those that are not wanted.

export class ChosenConcepts {
  constructor() {
    this.signs = new Map(); // by their numbers: whether each is wanted
    this.listeners = [];
  }

  listen(changed) {
    this.listeners.push(changed);
  }

  has(number) {
    return this.signs.has(number);
  }

  get wanted() {
    return this.withSign(true);
  }

  get unwanted() {
    return this.withSign(false);
  }

  withSign(sign) {
    return [...this.signs].filter(([, each]) => each === sign).map(([number]) => number);
  }

  // One alone, or together with the others; what is chosen already is let go.
  choose(number, together) {
    const again = this.has(number) && (together || this.signs.size === 1);
    if (!together) this.signs.clear();
    again ? this.signs.delete(number) : this.signs.set(number, true);
    this.changed();
  }

  turn(number) {
    this.signs.set(number, !this.signs.get(number));
    this.changed();
  }

  drop(number) {
    this.signs.delete(number);
    this.changed();
  }

  clear() {
    this.signs.clear();
    this.changed();
  }

  changed() {
    for (const each of this.listeners) each();
  }
}
