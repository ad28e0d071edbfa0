// The page: pictures at the left, what models see in one of them, and at the right what is kept and
// found.

import { bring, get } from "./api.js";
import { ConceptNames } from "./concept_names.js";
import { Concepts } from "./concepts.js";
import { pictures } from "./counted.js";
import { Gallery } from "./gallery.js";
import { say, trying } from "./messages.js";
import { Search } from "./search.js";
import { Shelf } from "./shelf.js";
import { View } from "./view.js";

history.replaceState(null, "", location.pathname + location.hash); // the token stays out of sight

const PICTURE = "#picture=";
const CONCEPTS = "#concepts";
const start = await trying(() => get("/api/start"));
if (start) begin();

function begin() {
  document.getElementById("about").textContent = `${pictures(start.count)} of ${start.title}`;
  const shelf = new Shelf(document.getElementById("shelf"));
  const names = new ConceptNames(start.canName);
  let search;
  const views = start.models.map((model, number) =>
    new View(model, number, start.colours, shelf, names, () => number === 0 && search?.describe()));
  document.getElementById("views").append(...views.map((view) => view.root));
  document.body.classList.toggle("two", views.length > 1);
  for (const view of views) view.tools.use("look");
  const show = (key, chosen = [], concept = null) => {
    gallery.mark(key)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    for (const error of document.querySelectorAll(".message.error")) error.remove();
    views.forEach((view, number) => number === 0 ? view.open(key, chosen, concept) : view.open(key));
    search.describe();
    document.querySelector("#ways a").href = PICTURE + encodeURIComponent(key);
  };
  const open = (key, chosen = [], concept = null) => {
    if (chosen.length || concept !== null) search.concepts.clear(); // from here, tokens are looked for
    if (key !== addressed()) history.pushState(null, "", PICTURE + encodeURIComponent(key));
    turn(false);
    show(key, chosen, concept);
  };
  search = new Search(document.getElementById("search"), start, views[0], names, open);
  const gallery = new Gallery(document.getElementById("gallery"), open);
  const openExample = (key, concept) => open(key, [], concept);
  const concepts = new Concepts(document.getElementById("concepts"), start, search, names, openExample, (indexed) => {
    search.know(indexed);
    views[0].refresh();
  });
  const route = () => {
    const all = location.hash === CONCEPTS;
    turn(all);
    if (all) concepts.show();
    else if (addressed() !== null || !location.hash) show(addressed() ?? "0");
    search.describe();
  };

  const receive = async (file) => {
    if (!file) return;
    const picture = await trying(() => bring(file));
    if (!picture) return;
    gallery.add(picture);
    open(picture.key);
  };
  receiving(receive);
  keys(views, search);
  start.brought.toReversed().forEach((picture) => gallery.add(picture));
  gallery.fill();
  if (addressed() === null) show("0"); // also to go back to
  route();
  addEventListener("popstate", route);
}

// To what is in all pictures, or back to one of them.
function turn(all) {
  document.getElementById("concepts").hidden = !all;
  document.getElementById("views").hidden = all;
  document.querySelectorAll("#ways a").forEach((way, number) => way.setAttribute("aria-current", String((number === 1) === all)));
}

// The key of the picture that the address names, or null.
function addressed() {
  try {
    return location.hash.startsWith(PICTURE) ? decodeURIComponent(location.hash.slice(PICTURE.length)) : null;
  } catch {
    return null;
  }
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

async function copied(dialog) {
  try {
    await navigator.clipboard.writeText(dialog.querySelector("pre").textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(dialog.querySelector("pre"));
    return false;
  }
}

function keys(views, search) {
  const dialog = document.getElementById("code");
  addEventListener("keydown", (event) => {
    if (dialog.open || event.target.matches?.("input[type=search], input[type=text]")) return;
    const view = views.find((each) => each.root.contains(document.activeElement)) ?? views[0];
    const [key, control] = [event.key.toLowerCase(), event.ctrlKey || event.metaKey];
    if (control && "yz".includes(key) && view.hidden) return;
    else if (control && (key === "y" || (key === "z" && event.shiftKey))) view.redo();
    else if (control && key === "z") view.undo();
    else if (key === "escape") views.map((each) => each.letGo()).some(Boolean) || search.concepts.clear();
    else return;
    event.preventDefault();
  });
  const copy = dialog.querySelector(".copy");
  document.addEventListener("code", async () => {
    copy.textContent = (await copied(dialog)) ? "Copied" : "Copy";
  });
  copy.onclick = async () => {
    if (await copied(dialog)) copy.textContent = "Copied";
    else say("The browser lets no page copy: the lines are chosen, press Ctrl-C.");
  };
}
