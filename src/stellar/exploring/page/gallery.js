// The pictures to choose from: more of them appear as they are scrolled to.

import { get, pictureURL } from "./api.js";
import { ALONG } from "./choice.js";
import { show } from "./images.js";
import { trying } from "./messages.js";

const AT_ONCE = 60;
const PAUSE = 200; // milliseconds of no typing, before names are looked for

export class Gallery {
  constructor(root, open) {
    this.list = root.querySelector("ul");
    this.hint = root.querySelector(".hint");
    this.open = open;
    this.filter = "";
    this.round = 0;
    const field = root.querySelector("input");
    let waiting;
    field.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.fill(field.value.trim()), PAUSE);
    });
    this.end = document.createElement("li");
    this.end.className = "end";
    new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && this.more(), {
      root: this.list, rootMargin: "400px",
    }).observe(this.end);
    this.list.addEventListener("keydown", (event) => this.step(event));
  }

  async fill(filter = "") {
    this.filter = filter;
    this.round += 1;
    for (const item of this.list.querySelectorAll(".brought")) {
      const name = item.firstChild.getAttribute("aria-label").toLowerCase();
      item.hidden = !name.includes(filter.toLowerCase());
    }
    this.total = Infinity;
    this.loaded = 0;
    this.list.replaceChildren(...this.list.querySelectorAll(".brought"), this.end);
    await this.more();
  }

  async more() {
    const round = this.round;
    if (this.loading === round || this.loaded >= this.total) return;
    this.loading = round;
    const name = encodeURIComponent(this.filter);
    const found = await trying(() =>
      get(`/api/pictures?start=${this.loaded}&count=${AT_ONCE}&name=${name}`));
    if (round !== this.round) return; // another filter is being answered
    this.loading = null;
    if (!found) return;
    this.total = found.total;
    this.loaded += found.pictures.length;
    this.end.before(...found.pictures.map((picture) => this.item(picture)));
    this.hint.hidden = this.list.querySelectorAll("li:not([hidden]) button").length > 0;
    this.hint.textContent = `No picture has “${this.filter}” in its name.`;
    this.mark(this.current);
    if (this.near()) await this.more();
  }

  near() {
    const [end, list] = [this.end.getBoundingClientRect(), this.list.getBoundingClientRect()];
    return end.top < list.bottom + 400 && end.left < list.right + 400;
  }

  item({ key, name }, brought = false) {
    const item = document.createElement("li");
    item.classList.toggle("brought", brought);
    const button = Object.assign(document.createElement("button"), { type: "button", title: name });
    button.dataset.key = key;
    button.setAttribute("aria-label", name);
    const image = Object.assign(document.createElement("img"), { alt: "", loading: "lazy" });
    show(image, pictureURL(key, "thumbnail"));
    image.addEventListener("refused", () => button.classList.add("unreadable"));
    button.append(image);
    button.onclick = () => this.open(key);
    item.append(button);
    return item;
  }

  add(picture) {
    this.list.prepend(this.item(picture, true));
    this.list.scrollTo({ top: 0, left: 0 });
  }

  mark(key) {
    this.current = key;
    const buttons = [...this.list.querySelectorAll("button")];
    const current = buttons.find((button) => button.dataset.key === key);
    for (const button of buttons) {
      button.setAttribute("aria-current", String(button === current));
      button.tabIndex = button === (current ?? buttons[0]) ? 0 : -1; // one stop, then arrow keys
    }
    return current;
  }

  step(event) {
    const by = ALONG[event.key];
    if (!by) return;
    const buttons = [...this.list.querySelectorAll("li:not([hidden]) button")];
    buttons[buttons.indexOf(document.activeElement) + by]?.focus();
    event.preventDefault();
  }
}
