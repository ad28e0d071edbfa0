// Questions to the server: answers are JSON, and an error is one sentence.

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

const BUSY = 503;
const AGAIN_AFTER = 400; // milliseconds

// A server that is busy is asked again.
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
  if (response.ok) return response;
  const told = (await response.text()).trim();
  throw new Refused(sentence(told), response.status);
}

function sentence(told) {
  try {
    return JSON.parse(told).error;
  } catch {
    return told;
  }
}

const json = async (path, options) => (await answer(path, options)).json();

export const get = (path) => json(path);

export const bytes = async (path) => (await answer(path)).blob();

export const ask = (path, question) =>
  json(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });

export const bring = (file) =>
  json(`/api/bring?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });

export const pictureURL = (key, what, model = 0) =>
  `/api/pictures/${encodeURIComponent(key)}/${what}?model=${model}`;
