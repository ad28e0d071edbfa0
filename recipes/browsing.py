"""A browser on the page of `stellar explore`, and what a hand does there: for the page's pictures,
its tests, and how soon it answers (benchmarks/explore.py).
"""

import shutil
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""What a browser of the machine may be called."""
Page = Any
"""Playwright's."""
Point = tuple[float, float]
"""On the screen, in pixels."""


def chromium_path(playwright: Any) -> str:
    """The machine's browser, or where `playwright install chromium` puts one."""
    return next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)


def launched(playwright: Any) -> Any:
    """That browser."""
    return playwright.chromium.launch(
        executable_path=chromium_path(playwright), args=["--no-sandbox"]
    )


def at_patch(page: Page, row: float, column: float) -> Point:
    """The middle of a patch of the picture, of which cards know the grid from the start."""
    box = page.locator(".stage").first.bounding_box()
    canvas = page.locator(".card .mini canvas").first
    rows, columns = canvas.evaluate("canvas => [canvas.height, canvas.width]")
    return (box["x"] + (column + 0.5) / columns * box["width"],
            box["y"] + (row + 0.5) / rows * box["height"])  # fmt: skip


def middle(page: Page, selector: str) -> Point:
    """Of the first element."""
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: Point, end: Point) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=8)
    page.mouse.up()
