// One of several buttons is chosen, by the mouse or by arrow keys, as in any group of radio buttons.

// How far arrow keys go in a list.
export const ALONG = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

// Whether a click means this together with what is chosen already.
export const together = (event) => event.shiftKey || event.metaKey || event.ctrlKey;

export function choice(root, changed) {
  const buttons = [...root.querySelectorAll("[role=radio]")];

  function set(value) {
    const known = buttons.some((button) => button.dataset.value === value);
    buttons.forEach((button, place) => {
      const on = button.dataset.value === value;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on || (!known && place === 0) ? 0 : -1;
    });
  }

  function pick(button) {
    set(button.dataset.value);
    changed(button.dataset.value);
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest("[role=radio]");
    if (button) pick(button);
  });
  root.addEventListener("keydown", (event) => {
    const by = ALONG[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!by || at < 0) return;
    const next = buttons[(at + by + buttons.length) % buttons.length];
    next.focus();
    pick(next);
    event.preventDefault();
    event.stopPropagation();
  });
  set(buttons.find((button) => button.getAttribute("aria-checked") === "true").dataset.value);
  return { set };
}
