// Tokens that are dragged with the mouse or a pen, from cards or the shelf, onto cards or the shelf.
// On a touch screen a drag scrolls: there the buttons do the same.

const FAR = 6; // pixels that are still a click

// What an element gives when it is dragged: a token. Or nothing.
const given = new WeakMap();
// What an element does with a token that is dropped on it.
const taking = new WeakMap();

export const gives = (element, token) => given.set(element, token);
export const takes = (element, accept) => taking.set(element, accept);

let dragged = null;
let ended = false;

document.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.pointerType === "touch") return;
  const source = event.target.closest("[data-gives]");
  if (source && given.has(source)) dragged = { source, x: event.clientX, y: event.clientY, ghost: null };
});

document.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const far = Math.hypot(event.clientX - dragged.x, event.clientY - dragged.y) > FAR;
  if (!dragged.ghost && far) dragged.ghost = ghostOf(dragged.source);
  if (!dragged.ghost) return;
  event.preventDefault();
  dragged.ghost.style.translate = `${event.clientX + 8}px ${event.clientY + 8}px`;
  mark(target(event));
});

document.addEventListener("pointerup", (event) => {
  if (!dragged) return;
  const { source, ghost } = dragged;
  const onto = ghost && target(event);
  stop();
  if (!ghost) return;
  ended = true;
  setTimeout(() => (ended = false), 0);
  const token = onto && onto !== source && given.get(source)();
  if (token) taking.get(onto)(token);
});

// The click that ends a drag is none.
document.addEventListener("click", (event) => ended && event.stopPropagation(), { capture: true });
document.addEventListener("pointercancel", stop);
document.addEventListener("keydown", (event) => event.key === "Escape" && stop());

function target(event) {
  const under = document.elementFromPoint(event.clientX, event.clientY);
  const found = under?.closest("[data-takes]");
  return found && taking.has(found) ? found : null;
}

function mark(element) {
  for (const marked of document.querySelectorAll(".receiving")) marked.classList.remove("receiving");
  if (element && element !== dragged?.source) element.classList.add("receiving");
}

function ghostOf(source) {
  const mini = source.querySelector(".mini");
  const ghost = mini.cloneNode(true);
  const [from, to] = [mini.querySelector("canvas"), ghost.querySelector("canvas")];
  to.getContext("2d").drawImage(from, 0, 0);
  ghost.classList.add("ghost");
  document.body.append(ghost);
  document.body.classList.add("dragging");
  return ghost;
}

function stop() {
  dragged?.ghost?.remove();
  dragged = null;
  document.body.classList.remove("dragging");
  mark(null);
}
