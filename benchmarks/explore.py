"""The page of `stellar explore`: how soon it answers, for the shipped model on its scenes.

    python benchmarks/explore.py

First the server alone, then what a person waits for in Chromium: from the event to the picture on
the page. Medians and the slowest of ROUNDS; there is no plain way to compare with.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

import stellar
from browsing import launched
from stellar.data import open_embedded
from stellar.exploring import Finder, Gallery, Server, Workbench
from stellar.exploring.finder import Sought
from stellar.exploring.payload import of_concepts
from stellar.exploring.steps import Move, Paint, Scale
from stellar.exploring.workbench import Named
from table import header, table

ROUNDS, NUM_SCENES = 30, 500
DRAWN = """(before) => new Promise((done) => {
    const image = document.querySelector(".drawing");
    const look = () =>
        image.src !== before && image.complete ? done() : requestAnimationFrame(look);
    look();
})"""
"""Waits until the drawing is another, and decoded."""


def milliseconds(run: Callable[[int], object]) -> list[float]:
    """Of each round; the first does not count."""
    times = []
    for index in range(ROUNDS + 1):
        start = perf_counter()
        run(index)
        times.append(1000 * (perf_counter() - start))
    return times[1:]


def on_the_server(finder: Finder) -> Iterator[tuple[str, list[float]]]:
    workbench = finder.workbench
    yield "server: a picture that is new", milliseconds(lambda index: workbench.look(str(index), 0))
    yield (
        "server: a token is painted",
        milliseconds(
            lambda index: workbench.look("0", 0, [Paint(1, tuple(range(index + 1)), 1.0)])
        ),
    )
    steps = [Scale(0, 1.1), Move(1, 1, 0)] * 50
    yield "server: after 100 steps", milliseconds(lambda _: workbench.look("0", 0, steps))
    yield (
        "server: a thumbnail",
        milliseconds(lambda index: workbench.gallery.thumbnail(str(index), 3)),
    )
    finder.search("0")  # makes the index
    start = perf_counter()
    of_concepts(finder)
    yield "server: the concepts of 500 pictures, once", [1000 * (perf_counter() - start)]
    yield (
        "server: a search by one token, 500 pictures",
        milliseconds(lambda index: finder.search(str(index), wanted=Sought([1]))),
    )


def in_the_browser(page: Any) -> Iterator[tuple[str, list[float]]]:
    box = page.locator(".stage").bounding_box()

    def stroke(index: int) -> None:
        before = page.get_attribute(".drawing", "src")
        column, row = index % 10, 2 + index // 10
        page.mouse.move(box["x"] + (column + 1) / 12 * box["width"],
                        box["y"] + (row + 0.5) / 12 * box["height"])  # fmt: skip
        page.evaluate(DRAWN, before)

    page.click(".card[data-token='4']")
    page.click(".tool [data-value=paint]")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    yield "browser: from the brush to the drawing", milliseconds(stroke)
    page.mouse.up()

    def another(index: int) -> None:
        before = page.get_attribute(".drawing", "src")
        page.locator("#gallery button").nth(index + 1).click()
        page.evaluate(DRAWN, before)

    yield "browser: from a click to another picture", milliseconds(another)


@contextmanager
def opened(finder: Finder) -> Iterator[Any]:
    """The page in Chromium."""
    from playwright.sync_api import sync_playwright

    with Server(finder, 0).answering() as address, sync_playwright() as playwright:
        browser = launched(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(address)
        page.wait_for_selector(".card")
        yield page
        browser.close()


def main() -> None:
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SCENES)
    finder = Finder(Workbench([Named("stellar-scenes", model)], Gallery(scenes, "scenes")))
    print(header("The page of stellar explore"), flush=True)
    rows = list(on_the_server(finder))
    with opened(finder) as page:
        rows += in_the_browser(page)
    finder.close()
    shown = [[what, f"{median(times):.0f}", f"{max(times):.0f}"] for what, times in rows]
    print(table(["", "median, ms", "slowest of 30, ms"], shown))


if __name__ == "__main__":
    main()
