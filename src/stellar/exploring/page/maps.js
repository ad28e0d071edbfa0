// Maps of tokens: read, summed, and painted on a canvas of one pixel a patch. Nothing is smoothed.

const DARKEST = 0.8; // of what is taken from a patch that a token has no part in

// Width to height, as it is shown: what is very wide or high is pressed together.
export const clamped = (aspect) => Math.min(2.5, Math.max(0.5, aspect));

export function decoded(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// One map a token, from all of them in a row.
export function split(values, grid) {
  const size = grid[0] * grid[1];
  return Array.from({ length: values.length / size }, (_, token) =>
    values.subarray(token * size, (token + 1) * size));
}

export function sum(maps) {
  return maps[0].map((_, patch) => Math.min(1, maps.reduce((total, map) => total + map[patch], 0)));
}

// The token that has the largest share of each patch.
export function largest(maps) {
  return Array.from(maps[0], (_, patch) => {
    let best = 0;
    for (let token = 1; token < maps.length; token++) if (maps[token][patch] > maps[best][patch]) best = token;
    return best;
  });
}

// Dark where the tokens are not.
export function paintShade(canvas, grid, map) {
  paint(canvas, grid, (patch) => [0, 0, 0, 255 * DARKEST * (1 - Math.min(1, map[patch]))]);
}

// The more of a patch, on average, the more of this colour; the largest has all of it.
export function paintHeat(canvas, grid, map) {
  const most = Math.max(...map, 1e-9);
  paint(canvas, grid, (patch) => [47, 107, 235, 255 * map[patch] / most]);
}

// Every patch in the colour of its `owner`, the largest token; those of other tokens than the `lit` ones are fainter.
export function paintSegments(canvas, grid, owner, colours, lit) {
  paint(canvas, grid, (patch) => {
    const strong = lit.length === 0 || lit.includes(owner[patch]);
    return [...colours[owner[patch] % colours.length], strong ? 165 : 45];
  });
}

// Some patches in a colour, on top of what is there.
export function paintPatches(canvas, grid, patches, colour) {
  const context = canvas.getContext("2d");
  context.fillStyle = `rgb(${colour.join(" ")} / 0.75)`;
  for (const patch of patches) context.fillRect(patch % grid[1], Math.floor(patch / grid[1]), 1, 1);
}

export function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function paint(canvas, grid, colourOf) {
  [canvas.height, canvas.width] = grid;
  const context = canvas.getContext("2d");
  const image = context.createImageData(grid[1], grid[0]);
  for (let patch = 0; patch < grid[0] * grid[1]; patch++) image.data.set(colourOf(patch), 4 * patch);
  context.putImageData(image, 0, 0);
}
