// Concepts that are looked for, and those that are not wanted.

export class Terms {
  constructor() {
    this.wanted = new Map(); // by their numbers: whether they are wanted
    this.listeners = [];
  }

  listen(changed) {
    this.listeners.push(changed);
  }

  has(number) {
    return this.wanted.has(number);
  }

  // Of one kind: those that are wanted, or those that are not.
  numbers(wanted) {
    return [...this.wanted].filter(([, each]) => each === wanted).map(([number]) => number);
  }

  // One alone, or together with the others; what is chosen already is let go.
  choose(number, together) {
    const alone = this.wanted.size === 1;
    const chosen = this.wanted.has(number) && (together || alone);
    if (!together) this.wanted.clear();
    chosen ? this.wanted.delete(number) : this.wanted.set(number, true);
    this.changed();
  }

  turn(number) {
    this.wanted.set(number, !this.wanted.get(number));
    this.changed();
  }

  drop(number) {
    this.wanted.delete(number);
    this.changed();
  }

  clear() {
    this.wanted.clear();
    this.changed();
  }

  changed() {
    for (const each of this.listeners) each();
  }
}
