"""The pictures of docs/explore.md: the page of `stellar explore` in each of its states.

    python recipes/screenshots.py --out docs/images/explore

It needs Playwright and a Chromium (browsing.py), and takes half a minute.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

import stellar
from browsing import at_patch, drag, launched, middle
from stellar.data import open_embedded
from stellar.exploring import Finder, Gallery, Server, Workbench
from stellar.exploring.own_index import build_own_index
from stellar.exploring.workbench import Named
from stellar.storage import place_file

NUM_SCENES = 500
NAMES = {9: "red", 8: "pink", 10: "yellow", 11: "teal"}
"""Of concepts."""
SETTLED = 400
"""Milliseconds after which nothing on the page changes any more."""


@contextmanager
def served(*models: Named) -> Iterator[str]:
    """The address of a page on the scenes, and an index of them."""
    model = models[0].model
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SCENES)
    with TemporaryDirectory() as folder:
        index = build_own_index(model, scenes, "crop", folder)
        finder = Finder(Workbench(models, Gallery(scenes, "scenes")), index)
        with Server(finder, 0).answering() as address:
            yield address


def look(page: Any) -> None:
    page.mouse.move(*at_patch(page, 4, 11))


def segments(page: Any) -> None:
    page.click("[data-value=segments]")
    page.locator(".between input").fill("35")


def paint(page: Any) -> None:
    page.click(".card[data-token='4']")
    page.click(".tool [data-value=paint]")
    drag(page, at_patch(page, 7, 1), at_patch(page, 7, 13.5))


def replace(page: Any) -> None:
    drag(page, middle(page, ".card[data-token='4']"), middle(page, "#shelf"))
    page.click("#gallery li:nth-child(4) button")
    page.wait_for_timeout(SETTLED)
    drag(page, middle(page, ".kept"), middle(page, ".card[data-token='4']"))
    page.wait_for_timeout(SETTLED)
    page.click(".duplicate")
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    page.click("#messages button")


def search(page: Any) -> None:
    page.click(".card[data-token='4']")
    page.click(".place")
    drag(page, at_patch(page, -0.4, 7.5), at_patch(page, 7.4, 15.4))
    page.click(".go")
    page.wait_for_selector(".hit")
    page.mouse.move(1, 1)


def concepts(page: Any) -> None:
    page.click("#ways a[href='#concepts']")
    page.wait_for_selector(".pick")
    for number, name in NAMES.items():
        page.click(f"#concepts li:has([data-concept='{number}']) .pen")
        page.fill(".naming input", name)
        page.press(".naming input", "Enter")
        page.wait_for_selector(".naming", state="detached")
    page.click(f".pick[data-concept='{next(iter(NAMES))}']")
    page.wait_for_selector("#search .hit")
    page.evaluate("document.querySelector('#concepts').scrollTo(0, 340)")
    page.mouse.move(1, 1)


def python(page: Any) -> None:
    paint(page)
    page.click(".python")
    page.wait_for_selector("#code[open]")


STATES = {
    "look": look, "segments": segments, "paint": paint, "replace": replace, "search": search,
    "python": python, "concepts": concepts,
}  # fmt: skip


def shot(page: Any, file: Path) -> None:
    """The window, in 256 colours."""
    page.wait_for_timeout(SETTLED)
    image = Image.open(BytesIO(page.screenshot())).convert("RGB").quantize(256)
    place_file(file, lambda path: image.save(path, format="PNG", optimize=True))
    print(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images/explore"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    model = stellar.load("stellar-scenes")
    shipped = Named("stellar-scenes", model)
    untrained = Named("untrained", stellar.Stellar(model.config).eval().requires_grad_(False))
    with sync_playwright() as started:
        browser = launched(started)

        def opened(address: str, width: int = 1280, height: int = 800, **how: Any) -> Any:
            page = browser.new_page(viewport={"width": width, "height": height}, **how)
            page.goto(address)
            page.wait_for_selector(".card")
            page.wait_for_timeout(SETTLED)
            return page

        with served(shipped) as address:
            for name, act in STATES.items():
                page = opened(address)
                act(page)
                shot(page, out / f"{name}.png")
                page.close()
            page = opened(address, 390, 844, color_scheme="dark", device_scale_factor=2)
            page.click(".card[data-token='4']")
            shot(page, out / "phone.png")
        with served(shipped, untrained) as address:
            page = opened(address, color_scheme="dark")
            page.click(".view:nth-child(1) .card[data-token='4']")
            shot(page, out / "compare.png")
        browser.close()


if __name__ == "__main__":
    main()
