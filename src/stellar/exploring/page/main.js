// The page: pictures at the left, what models see in one of them, and at the right what is kept and
// found.

import { bring, get } from "./api.js";
import { Gallery } from "./gallery.js";
import { say, trying } from "./messages.js";
import { Search } from "./search.js";
import { Shelf } from "./shelf.js";
import { View } from "./view.js";

history.replaceState(null, "", location.pathname + location.hash); // the token stays out of sight

const start = await trying(() => get("/api/start"));
if (start) begin();

function begin() {
  document.getElementById("about").textContent = `${start.count.toLocaleString()} pictures of ${start.title}`;
  const shelf = new Shelf(document.getElementById("shelf"));
  let search;
  const views = start.models.map((model, number) =>
    new View(model, number, start.colours, shelf, () => number === 0 && search?.describe()));
  document.getElementById("views").append(...views.map((view) => view.root));
  document.body.classList.toggle("two", views.length > 1);
  for (const view of views) view.use("look");
  const open = (key, chosen = []) => {
    gallery.mark(key);
    history.replaceState(null, "", `#${encodeURIComponent(key)}`);
    views.forEach((view, number) => view.open(key, number === 0 ? chosen : []));
    search.describe();
  };
  search = new Search(document.getElementById("search"), start, views[0], open);
  const gallery = new Gallery(document.getElementById("gallery"), open);

  const receive = async (file) => {
    if (!file) return;
    const picture = await trying(() => bring(file));
    if (!picture) return;
    gallery.add(picture);
    open(picture.key);
  };
  receiving(receive);
  keys(views);
  gallery.fill();
  open(decodeURIComponent(location.hash.slice(1)) || "0");
  addEventListener("hashchange", () => open(decodeURIComponent(location.hash.slice(1)) || "0"));
}

// Files that are dropped on the page, pasted or chosen.
function receiving(receive) {
  const zone = document.getElementById("drop");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    zone.hidden = false;
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.hidden = true; });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    zone.hidden = true;
    receive(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => receive(event.clipboardData?.files[0]));
  const field = document.getElementById("bring");
  field.addEventListener("change", () => { receive(field.files[0]); field.value = ""; });
}

function keys(views) {
  addEventListener("keydown", (event) => {
    const typing = event.target.matches("input[type=search]");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
      event.preventDefault();
      (views.find((view) => view.root.contains(document.activeElement)) ?? views[0]).undo();
    } else if (event.key === "Escape") {
      for (const view of views) if (view.chosen.length) view.choose(view.chosen[0], view.chosen.length > 1);
    }
  });
  const dialog = document.getElementById("code");
  dialog.querySelector(".copy").onclick = async (event) => {
    try {
      await navigator.clipboard.writeText(dialog.querySelector("pre").textContent);
      event.target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(dialog.querySelector("pre"));
      say("The browser lets no page copy: press Ctrl-C.");
    }
  };
}
