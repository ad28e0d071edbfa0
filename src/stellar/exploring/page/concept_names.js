// What concepts are called, and who gives them names.

import { ask } from "./api.js";
import { trying } from "./messages.js";

const LONGEST = 60;

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
    const answer = await trying(() => ask("/api/concepts/name", { concept: number, name }));
    if (answer) this.know(answer.names);
    return Boolean(answer);
  }

  // A field for the name of a concept; `done` is called when it is left.
  field(number, done) {
    const form = Object.assign(document.createElement("form"), { className: "naming" });
    const field = Object.assign(document.createElement("input"), {
      type: "text", value: this.names[number] ?? "", maxLength: LONGEST, placeholder: "What is it?", autocomplete: "off",
    });
    field.setAttribute("aria-label", `Name of concept ${number}`);
    const save = Object.assign(document.createElement("button"), { textContent: "Save" });
    form.append(field, save);
    form.onsubmit = async (event) => {
      event.preventDefault();
      save.disabled = true;
      if (await this.give(number, field.value)) done();
      save.disabled = false;
    };
    form.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      done();
    };
    return form;
  }
}
