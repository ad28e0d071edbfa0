// Images of the server. An <img> asks once, and does not say why it failed: a server that was busy is
// asked again, and of what cannot be shown its element is told, by the event "refused".

import { bytes } from "./api.js";

const NONE = [404, 422]; // there is no such picture, or it cannot be read

export function show(image, url) {
  image.dataset.url = url;
  image.src = url;
}

document.addEventListener("error", async ({ target: image }) => {
  const url = image.dataset?.url;
  if (!url || !image.src.endsWith(url)) return;
  try {
    const data = await bytes(url);
    if (image.dataset.url === url) image.src = URL.createObjectURL(data);
  } catch (error) {
    if (NONE.includes(error.status)) image.dispatchEvent(new Event("refused"));
  }
}, { capture: true });
