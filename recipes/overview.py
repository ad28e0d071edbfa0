"""The picture of docs/search.md: concepts of held-out scenes, as the page of `stellar concepts` has
them.

    python recipes/overview.py --out docs/images/concepts.png

It needs Playwright and a Chromium (browsing.py), and takes a minute.
"""

import argparse
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

import stellar
from browsing import launched
from stellar.data import open_embedded
from stellar.images import to_pillow
from stellar.searching.page import write_overview
from stellar.storage import place_file

NUM_SCENES = 500
SHOWN = slice(6, 12)
"""Of the concepts: behind four kinds of paper."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SCENES)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenes").mkdir()
        for number in range(NUM_SCENES):
            to_pillow(scenes.read(number)).save(folder / f"scenes/{number:03d}.png")
        stellar.embed(model, folder / "scenes", folder / "scenes.parquet")
        stellar.build_index(folder / "scenes.parquet", folder / "index", folder / "scenes")
        index = stellar.open_index(folder / "index")
        write_overview(folder / "c.html", "scenes.index", index.concepts(), "crop")
        with sync_playwright() as playwright, launched(playwright) as browser:
            page = browser.new_page(viewport={"width": 1168, "height": 900})
            page.goto((folder / "c.html").as_uri())
            boxes = [card.bounding_box() for card in page.locator(".card").all()[SHOWN]]
            top, bottom = boxes[0]["y"], boxes[-1]["y"] + boxes[-1]["height"]
            clip = {"x": 8, "y": top - 16, "width": 1152, "height": bottom - top + 32}
            picture = page.screenshot(full_page=True, clip=clip)
    image = Image.open(BytesIO(picture)).convert("RGB")
    place_file(out, lambda path: image.save(path, optimize=True))


if __name__ == "__main__":
    main()
