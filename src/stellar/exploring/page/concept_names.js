// What concepts are called, and who gives them names.

import { ask } from "./api.js";

const LONGEST = 120; // what a name may be is for the server to say

export class ConceptNames {
  constructor(canName) {
    this.canName = canName;
    this.names = [];
    this.listeners = [];
  }

  listen(changed) {
    this.listeners.push(changed);
  }

  know(names) {
    this.names = names;
    for (const each of this.listeners) each();
  }

  of(number) {
    return this.names[number] || `concept ${number}`;
  }

  async give(number, name) {
    this.know((await ask("/api/concepts/name", { concept: number, name })).names);
  }

  // A field for the name of a concept; `done` is called when it is left. One is open at a time.
  field(number, done) {
    this.leave?.();
    const form = document.createElement("form");
    form.className = "naming";
    form.innerHTML = '<input type="text" placeholder="What is it?" autocomplete="off"><button>Save</button>' +
      '<button type="button">Cancel</button><small role="alert"></small>';
    const [field, save, cancel, wrong] = form.children;
    Object.assign(field, { value: this.names[number] ?? "", maxLength: LONGEST });
    field.setAttribute("aria-label", `Name of concept ${number}`);
    const leave = () => {
      this.leave = null;
      form.remove();
      done();
    };
    this.leave = leave;
    cancel.onclick = leave;
    form.onsubmit = async (event) => {
      event.preventDefault();
      save.disabled = true;
      wrong.textContent = "";
      try {
        await this.give(number, field.value);
        if (form.isConnected) leave();
      } catch (error) {
        wrong.textContent = error.message;
      }
      save.disabled = false;
    };
    form.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      leave();
    };
    return form;
  }
}
