// What is said at the edge of the page: errors stay until they are closed, other words go.

const SHOWN = 6000; // milliseconds
const MOST = 3;

export function say(text, kind = "note") {
  const box = document.getElementById("messages");
  for (const old of box.children) if (old.firstChild.textContent === text) old.remove();
  const message = document.createElement("div");
  message.className = `message ${kind}`;
  if (kind === "error") message.setAttribute("role", "alert");
  message.append(Object.assign(document.createElement("p"), { textContent: text }));
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
  close.setAttribute("aria-label", "Close this message");
  close.onclick = () => message.remove();
  message.append(close);
  box.append(message);
  while (box.children.length > MOST) box.firstChild.remove();
  if (kind !== "error") setTimeout(() => message.remove(), SHOWN);
}

// Do it, and say what went wrong.
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, "error");
    return null;
  }
}
