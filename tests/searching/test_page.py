"""The page of hits: whole in itself, whatever pictures are called."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_hand import embedding, random_tokens
from PIL import Image

import stellar
from stellar.cli.search import _as_table
from stellar.config import Fit
from stellar.searching import Example, Hit, Match
from stellar.searching.page import render_page, write_page

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;.jpg'


class Tags(HTMLParser):
    """Elements with their attributes, as a browser would read them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def hit(path: str = "a.jpg", size: tuple[int, int] | None = None, thumbnail: bytes = b"") -> Hit:
    values = np.array([[1, 0.5], [0.25, 0]], np.float16)
    matches = tuple(
        Match(token, 0.9 - 0.1 * token, (0.3, 0.3), 0.2, (0.0, 0.0, 1.0, 0.5), 0.44, values)
        for token in range(6)
    )
    return Hit(0.875, path, matches, size, thumbnail)


def jpeg() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (128, 64), "teal").save(buffer, format="JPEG")
    return buffer.getvalue()


def test_names_are_text_and_never_code() -> None:
    page = render_page(f"Most like {HOSTILE}", [hit(HOSTILE, (400, 200), jpeg())], "crop")
    tags = Tags(page)
    assert not {tag for tag, _ in tags.found} & {"script", "iframe", "object", "link"}
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert HOSTILE in tags.texts
    assert f"Most like {HOSTILE}" in tags.texts


def test_nothing_is_loaded_from_anywhere() -> None:
    page = render_page("anything", [hit(size=(400, 200), thumbnail=jpeg()), hit()], "crop")
    for _, attributes in Tags(page).found:
        assert (attributes.get("src") or "data:").startswith(
            "data:image/"
        ) or "src" not in attributes
        assert "href" not in attributes
    assert "http" not in page
    assert "@import" not in page
    assert "url(" not in page


def test_a_score_that_is_nearly_nothing_has_no_sign() -> None:
    nearly = replace(hit(), score=-0.0002)
    assert ">0.000</span>" in render_page("Most like a.jpg", [nearly], "crop")
    assert _as_table([nearly], whole=False).splitlines()[1].split()[0] == "0.000"


def test_what_explains_most_of_a_picture_comes_first() -> None:
    """Not what has the largest cosine, and explains next to nothing."""
    values = np.ones((2, 2), np.float16)

    def match(token: int, cosine: float, x: float, spread: float, share: float) -> Match:
        return Match(token, cosine, (x, 0.5), spread, (0.0, 0.0, 1.0, 1.0), share, values)

    thing, speck = match(0, 0.98, 0.2, 0.1, 0.4), match(1, 1.0, 0.9, 0.1, 0.0001)
    paper = match(2, 0.4, 0.5, 0.4, 0.6)
    found = Hit(1.0, "a.jpg", (speck, paper, thing), None, b"")
    assert found.strongest(3) == [thing, paper, speck]
    assert "left (0.20, 0.50)  " in _as_table([found], whole=False)
    captions = re.findall(r"<figcaption>token (\d)", render_page("x", [found], "crop"))
    assert captions == ["0", "2", "1"]


def test_what_is_scattered_lies_in_many_places() -> None:
    """Its centre says little, and is not told."""
    one = hit().matches[0]
    scattered = replace(hit(), matches=(replace(one, spread=0.3),))
    assert re.search(r"  in many places  +a\.jpg", _as_table([scattered], whole=False))
    assert "in many places, 44% of the picture" in render_page("x", [scattered], "crop")


def test_hits_and_matches_are_shown_in_short() -> None:
    found = hit(size=(400, 200), thumbnail=jpeg())
    assert repr(found) == "Hit(score 0.875, 'a.jpg', 400 x 200 pixels, 6 matches)"
    assert repr(hit()) == "Hit(score 0.875, 'a.jpg', unknown size, 6 matches)"
    assert repr(found.matches[0]) == "Match(token 0, cosine 0.900, upper-left, 44% of the picture)"


def test_a_map_lies_where_the_model_looked() -> None:
    """Of 400 x 200 pixels it saw the square in the middle; squashed, all of them."""
    frames: dict[Fit, str] = {
        "crop": "left:25.000%;top:0.000%;width:50.000%;height:100.000%",
        "squash": "left:0.000%;top:0.000%;width:100.000%;height:100.000%",
    }
    for fit, frame in frames.items():
        maps = [
            attributes
            for tag, attributes in Tags(render_page("x", [hit(size=(400, 200))], fit)).found
            if tag == "img" and attributes.get("class") == "map"
        ]
        assert len(maps) == 4  # the best of six
        assert all(each["style"] == frame for each in maps)
        assert maps[0]["alt"] == "map of token 0, upper-left, 44% of the picture"


def test_a_map_has_a_pixel_for_each_patch() -> None:
    page = render_page("x", [hit()], "crop")
    import base64

    data = re.findall(r'src="data:image/png;base64,([^"]+)"', page)[0]
    shade = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert shade.shape == (2, 2, 2)
    assert not shade[..., 0].any()
    np.testing.assert_allclose(
        shade[..., 1] / 255, 0.8 * np.array([[0, 0.5], [0.75, 1]]), atol=0.01
    )
    assert "image-rendering: pixelated" in page
    assert "and 2 more tokens" in page


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("matches", [1, 2, 6])
def test_a_card_is_no_wider_for_a_long_name(chromium: Any, width: int, matches: int) -> None:
    names = "a.jpg", "long folder/" * 12 + "a.jpg", "x" * 200 + ".jpg"
    hits = [replace(hit(name, (40, 90)), matches=hit().matches[:matches]) for name in names]
    page = chromium.new_page(viewport={"width": width, "height": 860})
    page.set_content(render_page("x", hits, "crop"))
    cards = [card.bounding_box()["width"] for card in page.locator(".card").all()]
    assert len(set(cards)) == 1
    assert cards[0] == pytest.approx(22 + 220 * min(matches, 4) if width > 390 else width - 28)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_every_picture_has_words() -> None:
    for tag, attributes in Tags(render_page("x", [hit(thumbnail=jpeg())], "crop")).found:
        if tag == "img":
            assert attributes["alt"]
    assert '<html lang="en">' in render_page("x", [], "crop")
    assert "prefers-color-scheme: dark" in render_page("x", [], "crop")


def test_the_picture_that_was_asked_with_is_shown_with_all_of_its_tokens() -> None:
    """As it is, then on it the map of each token, those that were asked for marked."""
    maps = np.zeros((3, 2, 2), np.float16)
    maps[1, 0, 0], maps[2] = 1, 0.5
    sparse = np.eye(3, 4, dtype=np.float32)
    example = Example(HOSTILE, sparse, maps, (400, 200), "crop", jpeg(), "a" * 64)
    tags = Tags(render_page("x", [], "crop", example, [1]))
    shown = [attributes["alt"] for tag, attributes in tags.found if tag == "img"]
    assert shown[0] == HOSTILE
    assert [text for text in shown if text != HOSTILE] == [
        "map of token 0, in many places, 0%",
        "map of token 1, upper-left, 25%",
        "map of token 2, in many places, 50%",
    ]
    assert shown.count(HOSTILE) == 4
    figures = [attributes.get("class") for tag, attributes in tags.found if tag == "figure"]
    assert figures == [None, None, "asked", None]
    bare = render_page("x", [], "crop", replace(example, thumbnail=b""), [1])
    assert bare.count("<figure") == 3  # the maps alone, where the index has no pictures
    assert not {tag for tag, _ in tags.found} & {"script", "iframe", "object", "link"}


@pytest.mark.parametrize("width", [1280, 390])
def test_the_picture_that_was_asked_with_fits_the_page(chromium: Any, width: int) -> None:
    rng = np.random.default_rng(0)
    maps, sparse = rng.random((16, 4, 4)).astype(np.float16), np.eye(16, dtype=np.float32)
    example = Example("long folder/" * 12 + "a.jpg", sparse, maps, (40, 90), "crop", jpeg(), "")
    page = chromium.new_page(viewport={"width": width, "height": 860})
    page.set_content(render_page("x", [hit()], "crop", example, [3]))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".query .asked").inner_text().startswith("token 3")
    page.close()


def test_a_search_becomes_a_page(tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    write_page(tmp_path / "hits.html", "Most like 003.jpg", index.search("003.jpg"), "crop")
    page = (tmp_path / "hits.html").read_text("utf-8")
    assert page.count("<li ") == 5
