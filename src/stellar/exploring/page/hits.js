// A picture that was found, in small, light where it matched; a click opens it.

import { clamped, decoded, paintShade } from "./maps.js";

// `open` is called with the key of the picture and the tokens of it to choose.
export function hitButton(hit, open) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "hit", title: hit.name });
  button.append(shaded(hit));
  button.disabled = hit.key === null;
  if (button.disabled) button.title = `${hit.name} is not among these pictures`;
  button.onclick = () => open(hit.key, hit.tokens);
  return button;
}

function shaded(hit) {
  const image = document.createElement("span");
  image.className = "mini";
  image.style.aspectRatio = clamped(hit.aspect);
  if (hit.thumbnail) {
    const [left, top, width, height] = hit.frame;
    const picture = Object.assign(document.createElement("img"), { src: hit.thumbnail, alt: "" });
    Object.assign(picture.style, {
      inset: "auto", left: `${(-100 * left) / width}%`, top: `${(-100 * top) / height}%`,
      width: `${100 / width}%`, height: `${100 / height}%`, maxWidth: "none",
    });
    image.append(picture);
  }
  const canvas = document.createElement("canvas");
  paintShade(canvas, hit.grid, decoded(hit.map));
  image.append(canvas);
  return image;
}
