// The pointer and the keys on a picture: which patch they are at, and what they do there.

// `on` has hover(patch or null), press(patch), enter(patch, point), arrow(step), which says whether it
// did something, and for strokes begin(patch, point), drag(patch, point) and end(patch, point); a
// point is x, y from 0 to 1. `strokes()` says whether a press begins
// one. `grid()` is the picture's, or null.
export function pointing(stage, grid, strokes, on) {
  let stroke = false;
  let stroked = false; // the click that ends a stroke is none
  let cursor = null;

  function at(event) {
    const box = stage.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    const point = [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
    const [rows, columns] = grid();
    const row = Math.min(rows - 1, Math.floor(point[1] * rows));
    const column = Math.min(columns - 1, Math.floor(point[0] * columns));
    return [row * columns + column, point];
  }

  stage.addEventListener("pointermove", (event) => {
    if (!grid()) return;
    const [patch, point] = at(event);
    if (stroke) on.drag(patch, point);
    else on.hover(patch);
  });
  stage.addEventListener("pointerleave", () => !stroke && on.hover(null));
  stage.addEventListener("pointerdown", (event) => {
    stroked = strokes();
    if (!grid() || event.button !== 0 || !stroked) return;
    stage.setPointerCapture(event.pointerId);
    stroke = true;
    on.begin(...at(event));
  });
  stage.addEventListener("pointerup", (event) => {
    if (!stroke) return;
    stroke = false;
    on.end(...at(event));
  });
  stage.addEventListener("pointercancel", () => {
    if (stroke) on.end(null, null);
    stroke = false;
  });
  stage.addEventListener("click", (event) => {
    if (grid() && !stroked) on.press(at(event)[0]);
  });
  stage.addEventListener("keydown", (event) => {
    if (!grid()) return;
    const [rows, columns] = grid();
    const step = { ArrowRight: [0, 1], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowUp: [-1, 0] }[event.key];
    if (step) {
      event.preventDefault();
      if (on.arrow(step)) return;
      cursor ??= Math.floor(rows / 2) * columns + Math.floor(columns / 2);
      const row = Math.min(rows - 1, Math.max(0, Math.floor(cursor / columns) + step[0]));
      const column = Math.min(columns - 1, Math.max(0, (cursor % columns) + step[1]));
      cursor = row * columns + column;
      on.hover(cursor);
    } else if ((event.key === "Enter" || event.key === " ") && cursor !== null) {
      event.preventDefault();
      on.enter(cursor, [((cursor % columns) + 0.5) / columns, (Math.floor(cursor / columns) + 0.5) / rows]);
    }
  });
  stage.addEventListener("blur", () => { cursor = null; on.hover(null); });
}
