// Questions to the server: answers are JSON, and an error is one sentence.

export class Refused extends Error {}

const BUSY = 503;
const AGAIN_AFTER = 400; // milliseconds

async function answer(path, options) {
  let response;
  for (let tries = 0; ; tries++) {
    try {
      response = await fetch(path, options);
    } catch {
      throw new Refused("The server does not answer; is stellar explore still running?");
    }
    if (response.status !== BUSY || tries === 5) break;
    await new Promise((go) => setTimeout(go, AGAIN_AFTER * 2 ** tries));
  }
  if (response.ok) return response.json();
  const told = (await response.text()).trim();
  throw new Refused(sentence(told));
}

function sentence(told) {
  try {
    return JSON.parse(told).error;
  } catch {
    return told;
  }
}

export const get = (path) => answer(path);

export const ask = (path, question) =>
  answer(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });

export const bring = (file) =>
  answer(`/api/bring?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });

export const pictureURL = (key, what, model = 0) =>
  `/api/pictures/${encodeURIComponent(key)}/${what}?model=${model}`;
