"""The page in a real browser, by what a person does: point, click, drag, paint, type, resize."""

import re
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given import given_index, workbench_of
from PIL import Image

from browsing import Page, at_patch, drag, middle
from stellar.exploring import Finder, Server, Workbench

Opened = Callable[..., Any]
PICTURES = "#gallery li:not(.brought) button"
TIMES = "\N{MULTIPLICATION SIGN}"


PIXELS = """canvas => [[canvas.height, canvas.width, 4], [...canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data]]"""


def colours(page: Page) -> np.ndarray:
    """Of each patch, on the picture's canvas: red, green, blue and opacity."""
    shape, values = page.eval_on_selector(".stage > canvas", PIXELS)
    return np.array(values).reshape(shape)


def shade(page: Page) -> np.ndarray:
    """How dark each patch is made: 0 to 255."""
    return colours(page)[..., 3]


def until(page: Page, expression: str) -> None:
    """Waits for what becomes true. Playwright's own way is what the page's policy forbids: eval."""
    end = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def drawing(page: Page) -> str:
    return page.get_attribute(".drawing", "src")


def changed(page: Page, before: str) -> str:
    """The drawing, once it is another."""
    until(page, f"document.querySelector('.drawing').src !== {before!r}")
    return drawing(page)


def facts_begin(text: str) -> str:
    facts = r"document.querySelector('.facts').textContent.replace(/\s+/g, ' ')"
    return f"{facts}.startsWith({text!r})"


def maps(workbench: Workbench, key: str) -> np.ndarray:
    return workbench.look(key, 0).factors.maps[0].numpy()


def test_it_opens_and_keeps_the_token_out_of_sight(opened: Opened, address: str) -> None:
    page = opened(address)
    assert "token" not in page.url
    assert page.locator(".card").count() == 12
    assert page.locator(PICTURES).count() == 40
    size = f"48 {TIMES} 48"
    assert f"{size} pixels, seen as {size} in patches of 3" in page.inner_text(".facts")
    assert re.search(r"PSNR \d\d\.\d dB", page.inner_text(".drawn figcaption"))
    page.reload()
    page.wait_for_selector(".card")


def test_a_card_lights_its_map_and_a_pixel_its_card(
    opened: Opened, address: str, workbench: Workbench
) -> None:
    page, expected = opened(address), maps(workbench, "0")
    page.hover(".card[data-token='4']")
    dark = 255 * 0.8 * (1 - expected[4])
    assert np.abs(shade(page) - dark).max() <= 1
    owner = expected.argmax(axis=0)
    page.mouse.move(*at_patch(page, 2, 8))
    token = owner[2, 8]
    assert page.locator(".card.lit").get_attribute("data-token") == str(token)
    assert f"% token {token}'s" in page.inner_text(".which")
    assert np.abs(shade(page) - 255 * 0.8 * (1 - expected[token])).max() <= 1
    page.mouse.move(1, 1)
    assert (shade(page) == 0).all()
    page.mouse.click(*at_patch(page, 2, 8))
    page.mouse.move(1, 1)
    assert page.locator("[aria-pressed=true].card").get_attribute("data-token") == str(token)
    assert (shade(page) > 0).any()
    page.keyboard.press("Escape")
    assert page.locator("[aria-pressed=true].card").count() == 0


def test_segments_are_the_largest_map_of_each_patch(
    opened: Opened, address: str, workbench: Workbench
) -> None:
    page, owner = opened(address), maps(workbench, "0").argmax(axis=0)
    page.click("[data-value=segments]")
    page.mouse.move(1, 1)
    painted = colours(page)[..., :3]
    found = {token: {tuple(c) for c in painted[owner == token]} for token in np.unique(owner)}
    assert all(len(each) == 1 for each in found.values())
    assert len(set.union(*found.values())) == len(found)


def test_the_slider_goes_from_the_picture_to_the_drawing(opened: Opened, address: str) -> None:
    page = opened(address)
    page.locator(".between input").fill("75")
    assert "25%" in page.eval_on_selector(".over", "image => getComputedStyle(image).clipPath")
    assert page.eval_on_selector(".over", "image => image.naturalWidth") == 48
    style = "image => getComputedStyle(image).imageRendering"
    assert page.eval_on_selector(".drawing", style) == "pixelated"


def test_painting_draws_and_undo_takes_it_back(opened: Opened, address: str) -> None:
    page = opened(address)
    before = drawing(page)
    page.click(".tool [data-value=paint]")
    drag(page, at_patch(page, 5, 1), at_patch(page, 5, 9))
    assert "Choose a token first" in page.inner_text("#messages")
    assert drawing(page) == before
    page.click(".card[data-token='4']")
    drag(page, at_patch(page, 5, 1), at_patch(page, 5, 9))
    changed(page, before)
    until(page, "!document.querySelector('.undo').disabled")
    page.mouse.move(1, 1)
    end = time.monotonic() + 20
    while shade(page)[5, 1:11].any():
        assert time.monotonic() < end
    painted = drawing(page)
    page.click(".tool [data-value=erase]")
    drag(page, at_patch(page, 5, 1), at_patch(page, 5, 5))
    changed(page, painted)
    page.keyboard.press("Control+z")
    until(page, f"document.querySelector('.drawing').src === {painted!r}")
    page.click(".reset")
    until(page, f"document.querySelector('.drawing').src === {before!r}")
    assert page.is_disabled(".reset")
    page.keyboard.press("Control+z")
    until(page, f"document.querySelector('.drawing').src === {painted!r}")
    page.keyboard.press("Control+Shift+z")
    until(page, f"document.querySelector('.drawing').src === {before!r}")


def test_weight_remove_duplicate_and_move(opened: Opened, address: str) -> None:
    page = opened(address)
    before = drawing(page)
    page.click(".card[data-token='4']")
    page.locator(".acts input").focus()
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    changed(page, before)
    until(page, "!document.querySelector('.undo').disabled")
    page.click(".remove")
    page.wait_for_selector(".card.gone[data-token='4']")
    page.click(".reset")
    until(page, f"document.querySelector('.drawing').src === {before!r}")
    page.click(".duplicate")
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    copied = drawing(page)
    assert page.get_attribute(".tool [data-value=move]", "aria-checked") == "true"
    drag(page, at_patch(page, 4, 4), at_patch(page, 8, 4))
    moved = changed(page, copied)
    page.focus(".stage")
    page.keyboard.press("ArrowUp")
    changed(page, moved)


def test_a_copy_that_is_pointed_at_can_be_undone(opened: Opened, address: str) -> None:
    """By its card, and on the picture."""
    page = opened(address)
    page.click(".card[data-token='4']")
    page.click(".duplicate")
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    page.hover(".card[data-token='12']")
    page.keyboard.press("Control+z")
    page.wait_for_selector(".card[data-token='12']", state="detached")
    page.click(".card[data-token='4']")
    page.click(".duplicate")
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    page.click(".tool [data-value=paint]")
    drag(page, at_patch(page, 5, 1), at_patch(page, 5, 9))
    settled(page)
    page.click(".tool [data-value=look]")
    page.mouse.move(*at_patch(page, 5, 5))
    page.wait_for_selector(".card.lit[data-token='12']")
    for _ in range(2):
        page.keyboard.press("Control+z")
    page.wait_for_selector(".card[data-token='12']", state="detached")
    page.click(f"{PICTURES} >> nth=3")
    until(page, "document.querySelector('.facts').textContent.includes('/0/3 ')")
    assert page.locator(".message.error").count() == 0


def test_what_is_done_before_an_answer_comes_chooses_its_own_token(
    opened: Opened, address: str
) -> None:
    page = opened(address)
    page.click(".card[data-token='4']")
    page.click(".remove")
    page.wait_for_selector(".card.gone[data-token='4']")
    clicks = "names => names.forEach(name => document.querySelector(name).click())"
    page.evaluate(clicks, [".reset", ".duplicate"])
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    page.click(".card[data-token='4']")
    page.evaluate(clicks, [".reset", ".duplicate", ".duplicate"])
    page.wait_for_selector(".card[data-token='13'][aria-pressed=true]")


def test_a_token_goes_over_the_shelf_to_another_picture(opened: Opened, address: str) -> None:
    page = opened(address)
    drag(page, middle(page, ".card[data-token='4']"), middle(page, "#shelf"))
    page.wait_for_selector(".kept")
    page.click(f"{PICTURES} >> nth=2")
    until(page, "document.querySelector('.facts').textContent.includes('/0/2 ')")
    before = drawing(page)
    drag(page, middle(page, ".kept"), middle(page, ".card[data-token='1']"))
    changed(page, before)
    page.wait_for_selector(".card[data-token='1'][aria-pressed=true]")
    page.click(".python")
    page.wait_for_selector("#code[open]")
    code = page.inner_text("#code pre")
    assert (
        "edits.replaced(factors, 1, model.encode(scenes.read(0), fit='crop').sparse[:, 4])" in code
    )
    page.keyboard.press("Escape")
    page.click(".reset")
    until(page, f"document.querySelector('.drawing').src === {before!r}")
    drag(page, middle(page, ".card[data-token='0']"), middle(page, ".card[data-token='1']"))
    changed(page, before)


def test_a_token_that_was_put_elsewhere_is_still_itself_on_the_shelf(
    opened: Opened, address: str, workbench: Workbench
) -> None:
    """With the map that it has in its own picture."""
    page, expected = opened(address), maps(workbench, "0")
    page.click(".card[data-token='4']")
    page.click(".take")
    page.click(f"{PICTURES} >> nth=2")
    until(page, "document.querySelector('.facts').textContent.includes('/0/2 ')")
    page.click(".card[data-token='1']")
    before = drawing(page)
    page.click(".put")
    changed(page, before)
    page.click(".kept + .away")
    page.click(".duplicate")
    page.wait_for_selector(".card[data-token='12'][aria-pressed=true]")
    page.click(".take")
    assert page.get_attribute(".kept", "title") == "Token 4 of scenes/heldout/0/0"
    shape, values = page.eval_on_selector(".kept canvas", PIXELS)
    shown = np.array(values).reshape(shape)[..., 3]
    assert np.abs(shown - 255 * 0.8 * (1 - expected[4])).max() <= 1


def test_it_searches_by_tokens_at_a_place_and_opens_what_it_finds(
    opened: Opened, address: str
) -> None:
    pytest.importorskip("lancedb")
    page = opened(address)
    assert "like the whole" in page.inner_text(".asked")
    page.click(".go")
    page.wait_for_selector(".hit")
    whole = page.locator(".hit").evaluate_all("hits => hits.map((hit) => hit.title)")
    assert len(whole) == 12
    assert "scenes/heldout/0/0.png" not in whole
    page.click(".card[data-token='4']")
    page.click(".card[data-token='1']", modifiers=["Shift"])
    assert page.locator(".chip").all_inner_texts() == ["with token 4", "with token 1"]
    page.click(".chip >> nth=1")
    assert page.locator(".chip").all_inner_texts() == ["with token 4", "without token 1"]
    page.click(".place")
    drag(page, at_patch(page, 0, 0), at_patch(page, 11, 5))
    page.wait_for_selector(".box")
    found = ["with token 4", "without token 1", f"at the place {TIMES}"]
    assert page.locator(".chip").all_inner_texts() == found
    page.click(".go")
    until(
        page,
        f"document.querySelector('.hit').title !== {whole[0]!r} || "
        "[...document.querySelectorAll('.hit')].length < 12",
    )
    name = page.get_attribute(".hit >> nth=0", "title")
    page.click(".hit >> nth=0")
    until(page, facts_begin(name.removesuffix(".png")))
    page.wait_for_selector(".card[aria-pressed=true]")


def test_concepts_are_looked_at_and_searched_for(opened: Opened, address: str) -> None:
    pytest.importorskip("lancedb")
    page = opened(address)
    page.click(f"{PICTURES} >> nth=2")
    until(page, "document.querySelector('.facts').textContent.includes('/0/2 ')")
    page.click(".card[data-token='4']")
    page.click("#ways >> text=Concepts")
    page.wait_for_selector(".pick")
    assert page.locator(".pick").count() == 24
    assert page.locator(".pen").count() == 0
    assert page.locator("#views").is_hidden()
    assert page.locator(".place").is_hidden()
    assert re.fullmatch(
        r"Concept 0\nin \d+ of 40 pictures, \d+\.\d% of all patches",
        page.inner_text(".pick >> nth=0").replace("\n\n", "\n"),
    )
    page.click(".pick[data-concept='5']")
    page.wait_for_selector("#search .hit")
    assert page.inner_text("#search .hint").startswith("Like concept 5: the best of 40 pictures.")
    page.click(".pick[data-concept='6']", modifiers=["Shift"])
    until(
        page,
        "document.querySelector('#search .hint').textContent.includes('concept 5 and concept 6')",
    )
    page.click("[data-name='concept 6']")
    assert page.locator("[data-name]").all_inner_texts() == ["with concept 5", "without concept 6"]
    assert page.locator(".pick[aria-pressed=true]").count() == 2
    page.click(".go")
    until(page, "document.querySelector('#search .hint').textContent.includes('without concept 6')")
    page.click(".asked .away >> nth=0")
    assert page.locator(".asked > *").all_inner_texts() == [
        "Choose a concept", "without concept 6", TIMES,
    ]  # fmt: skip
    assert page.is_disabled(".go")
    assert page.locator("#search .hit").count() == 0
    assert page.inner_text("#search .hint") == "In 40 pictures."
    page.keyboard.press("Escape")
    assert page.locator(".pick[aria-pressed=true]").count() == 0
    page.dblclick(".pick[data-concept='5']")
    page.wait_for_timeout(300)
    assert page.locator("#search .hit").count() == 0
    example = page.locator("#concepts li:has([data-concept='5']) .hit >> nth=0")
    name = example.get_attribute("title")
    example.click()
    until(page, facts_begin(name.removesuffix(".png")))
    which = "document.querySelector('.which').textContent"
    until(page, rf"/^Token \d+ is chosen, of concept 5\.$/.test({which})")
    assert page.locator("#concepts").is_hidden()
    page.go_back()
    page.wait_for_selector("#concepts:not([hidden])")
    page.go_back()
    until(page, "document.querySelector('.facts').textContent.includes('/0/2 ')")
    assert page.locator("#views").is_visible()


def test_concepts_are_named_where_names_last(opened: Opened, photos: Path) -> None:
    finder = Finder(workbench_of(photos), given_index(photos), num_concepts=5)
    with Server(finder, 0).answering() as address:
        page = opened(address)
        page.click("#ways >> text=Concepts")
        page.click(".pick[data-concept='1']")
        page.wait_for_selector("#search .hit")
        pen = page.locator("#concepts li >> nth=1 >> .pen")
        assert pen.inner_text() == "Name"
        pen.click()
        field = page.locator(".naming input")
        assert page.evaluate("document.activeElement.ariaLabel") == "Name of concept 1"
        field.fill("7")
        field.press("Enter")
        page.wait_for_selector(".naming small >> text=7 is no name for a concept")
        field.fill("an <i>old</i> boat")
        field.press("Enter")
        until(page, "document.activeElement.textContent === 'Rename'")
        assert page.inner_text(".pick >> nth=1").startswith("an <i>old</i> boat\n")
        assert page.locator("[data-name]").all_inner_texts() == ["with an <i>old</i> boat"]
        page.click("[data-name]")
        page.click("[data-name]")
        page.click(".go")
        hint = "document.querySelector('#search .hint').textContent"
        until(page, f"{hint}.startsWith('Like an <i>old</i> boat: ')")
        pen.click()
        field.fill("another")
        field.press("Escape")
        assert page.locator(".naming").count() == 0
        pen.click()
        page.click(".pen >> nth=2")  # one is open at a time
        assert page.locator(".naming").count() == 1
        page.click(".naming >> text=Cancel")
        assert page.locator(".naming").count() == 0
        assert page.locator("[data-name]").count() == 1  # which Escape would let go
        page.click("#concepts li >> nth=1 >> .hit >> nth=0")
        page.click(".card[aria-pressed=true] >> nth=0")  # of several one
        until(
            page, r"document.querySelector('.which').textContent.endsWith('of an <i>old</i> boat.')"
        )
        page.go_back()
        page.reload()
        page.wait_for_selector(".pick >> text=an <i>old</i> boat")
        pen.click()
        field.fill("")
        page.click(".naming button")
        page.wait_for_selector(".pick >> text=Concept 1")


def test_the_longest_name_fits(opened: Opened, photos: Path) -> None:
    finder = Finder(workbench_of(photos), given_index(photos), num_concepts=5)
    finder.name_concept(1, 60 * "x")
    with Server(finder, 0).answering() as address:
        for width in (1280, 390):
            page = opened(address, width)
            page.click("#ways >> text=Concepts")
            page.click(".pick[data-concept='1']")
            page.wait_for_selector("#search .hit")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator(".chip >> nth=0").bounding_box()["x"] >= 0
            right = page.evaluate("document.querySelector('.chip').getBoundingClientRect().right")
            assert right <= width
            page.click("#concepts li >> nth=1 >> .hit >> nth=0")
            page.click(".card[aria-pressed=true] >> nth=0")
            until(page, "document.querySelector('.which').textContent.endsWith('xxx.')")
            which = page.locator(".which")
            assert which.evaluate("which => which.scrollWidth <= which.clientWidth")


def test_what_cannot_be_seen_is_not_done(opened: Opened, address: str) -> None:
    pytest.importorskip("lancedb")
    page = opened(address)
    before = drawing(page)
    page.click(".card[data-token='4']")
    page.click(".remove")
    edited = changed(page, before)
    page.click("#ways >> text=Concepts")
    page.click(".pick[data-concept='5']")
    page.wait_for_selector("#search .hit")
    page.keyboard.press("Control+z")
    page.click("#ways >> text=Picture")
    page.wait_for_timeout(300)
    assert drawing(page) == edited
    page.click(".card[data-token='1']")
    page.click(".tool [data-value=paint]")
    page.mouse.move(*at_patch(page, 2, 2))
    page.mouse.down()
    page.keyboard.press("Escape")
    page.mouse.up()
    texts = page.locator("[data-name]").all_inner_texts()
    assert texts == ["with token 1", "with concept 5"]
    page.keyboard.press("Escape")
    assert page.locator("[data-name]").count() == 0


def test_concepts_have_an_address_and_a_picture_to_go_back_to(opened: Opened, address: str) -> None:
    pytest.importorskip("lancedb")
    page = opened(address)
    page.goto(f"{page.url}#concepts")
    page.reload()
    page.wait_for_selector(".pick")
    page.click("#ways >> text=Picture")
    until(page, facts_begin("scenes/heldout/0/0"))
    assert page.locator("#views").is_visible()


def test_concepts_that_cannot_be_found_say_why(
    opened: Opened, finder: Finder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with Server(Finder(finder.workbench), 0).answering() as address:
        page = opened(address)
        page.click("#ways >> text=Concepts")
        assert page.inner_text("#concepts .hint").startswith("Searching needs LanceDB: pip install")
        assert page.locator(".pick").count() == 0


def test_it_searches_by_words_where_it_knows_some(
    opened: Opened, address: str, worded_address: str
) -> None:
    pytest.importorskip("lancedb")
    assert opened(address).locator(".words").is_hidden()
    page = opened(worded_address)
    page.fill(".words input", "3 2, 5 2")
    page.press(".words input", "Enter")
    page.wait_for_selector(".hit")
    assert page.inner_text("#search .hint").startswith("“3 2” and “5 2”: the best of 40 pictures.")
    assert page.locator(".hit").count() == 12
    page.fill(".words input", "3 2")
    page.click(".words button")
    until(page, "document.querySelector('.hit').title === 'scenes/heldout/0/3.png'")
    page.click(".hit >> nth=0")
    until(page, facts_begin("scenes/heldout/0/3"))
    page.wait_for_selector(".card[data-token='2'][aria-pressed=true]")
    page.fill(".words input", "boat")
    page.press(".words input", "Enter")
    page.wait_for_selector(".message.error >> text=the tower is not here")
    assert page.locator(".hit").count() == 12


def test_pictures_are_dropped_and_chosen(opened: Opened, address: str) -> None:
    page, buffer = opened(address), BytesIO()
    before = page.locator("#gallery .brought").count()
    Image.new("RGB", (90, 60), "teal").save(buffer, format="PNG")
    page.set_input_files(
        "#bring", {"name": "my cat.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    until(page, facts_begin(f"my cat.png 90 {TIMES} 60"))
    page.evaluate(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
            for (const kind of ["dragover", "drop"])
                dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, cancelable: true }));
        }""",
        list(buffer.getvalue()),
    )
    until(page, facts_begin("dropped.png"))
    assert page.locator("#gallery .brought").count() == before + 2
    page.set_input_files(
        "#bring", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    page.wait_for_selector(".message.error")
    assert "cannot read notes.txt" in page.inner_text(".message.error")


def test_names_are_filtered_and_none_is_said(opened: Opened, address: str) -> None:
    page = opened(address)
    page.fill("#gallery input", "heldout/0/3")
    until(page, f"document.querySelectorAll({PICTURES!r}).length === 11")
    page.fill("#gallery input", "zebra")
    page.wait_for_selector("#gallery .hint:not([hidden])")
    assert page.inner_text("#gallery .hint") == "No picture has “zebra” in its name."


def test_an_answer_that_a_newer_filter_overtook_lists_nothing_twice(
    opened: Opened, address: str
) -> None:
    page, held = opened(address), {"heldout": [], "scenes": []}
    until(page, f"document.querySelectorAll({PICTURES!r}).length === 40")
    page.route(re.compile(r"/api/pictures\?"),
               lambda route: held[route.request.url.rpartition("=")[2]].append(route))  # fmt: skip
    for text, routes in held.items():
        page.fill("#gallery input", text)
        end = time.monotonic() + 20
        while not routes:
            assert time.monotonic() < end
            page.wait_for_timeout(20)
    held["heldout"][0].continue_()
    page.wait_for_timeout(200)
    for shown in ("none", ""):  # as it comes into sight
        page.eval_on_selector("#gallery ul", f"list => list.style.display = '{shown}'")
        page.wait_for_timeout(200)
    assert len(held["scenes"]) == 1
    held["scenes"][0].continue_()
    until(page, f"document.querySelectorAll({PICTURES!r}).length === 40")


def test_it_is_used_with_the_keyboard_alone(opened: Opened, address: str) -> None:
    page = opened(address)
    page.focus(".card[data-token='0']")
    page.keyboard.press("ArrowRight")
    assert page.locator(".card.lit").get_attribute("data-token") == "1"
    page.keyboard.press("Enter")
    assert page.locator(".card[aria-pressed=true]").get_attribute("data-token") == "1"
    page.focus(f"{PICTURES} >> nth=0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('.facts').textContent.includes('/0/1 ')")
    page.focus(".stage")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".patch:not([hidden])")
    page.keyboard.press("Enter")
    assert page.locator(".card[aria-pressed=true]").count() == 1
    page.focus(".tool [data-value=look]")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.value") == "paint"
    before = drawing(page)
    page.focus(".stage")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    changed(page, before)
    page.focus(".take")
    page.keyboard.press("Enter")
    page.wait_for_selector(".kept")
    assert page.is_enabled(".put")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_two_models_side_by_side(opened: Opened, mixed_address: str) -> None:
    page = opened(mixed_address)
    assert page.locator(".view h2").all_inner_texts() == ["stellar-scenes", "untrained"]
    until(page, "document.querySelectorAll('.view:nth-child(2) .card').length === 4")
    boxes = [page.locator(".view").nth(view).bounding_box() for view in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] < boxes[1]["x"]
    drag(page, middle(page, ".card[data-token='1']"), middle(page, ".view:nth-child(2) .card"))
    assert "another model mean nothing" in page.inner_text(".message.error")
    assert f"<b>wide<b>.jpg\n270 {TIMES} 180 pixels" in page.inner_text(".facts >> nth=0")


def test_what_is_no_picture_says_so_and_the_page_goes_on(
    opened: Opened, mixed_address: str
) -> None:
    page = opened(mixed_address)
    page.click("#gallery button >> nth=2")
    problems = "[...document.querySelectorAll('.problem')].map((each) => each.innerText)"
    until(page, f"{problems}.every((text) => text.startsWith('cannot read '))")
    page.wait_for_selector("#gallery .unreadable")
    resting = "#search .row button, .tools button, .tools input, .between input"
    assert page.locator(f":is({resting}):enabled").count() == 0
    assert page.inner_text(".asked") == "There is no picture to look for"
    page.click("#gallery button >> nth=1")
    until(page, facts_begin("b.png"))
    assert page.locator(".problem:not([hidden])").count() == 0
    assert page.locator(f":is({resting}):disabled").count() == 0
    assert "like the whole" in page.inner_text(".asked")


def test_pictures_of_a_busy_server_are_asked_for_again(opened: Opened, address: str) -> None:
    page, refused = opened(address), set()

    def busy_once(route: Any) -> None:
        if route.request.url in refused:
            return route.continue_()
        refused.add(route.request.url)
        return route.fulfill(status=503, json={"error": "the machine is busy"})

    page.route(re.compile(r"/(thumbnail|view)\?"), busy_once)
    page.reload()
    page.wait_for_selector(".card")
    for shown in (f"{PICTURES} img", ".picture", ".card img"):
        until(page, f"document.querySelector({shown!r}).naturalWidth === 48")
    until(page, f"[...document.querySelectorAll({f'{PICTURES} img'!r})].slice(0, 6)"
          ".every((image) => image.naturalWidth === 48)")  # fmt: skip
    assert page.locator("#gallery .unreadable").count() == 0
    page.hover(".card[data-token='2']")
    assert page.eval_on_selector(".picture", "image => image.naturalWidth") == 48


def test_a_server_that_is_gone_is_said(opened: Opened, address: str) -> None:
    page = opened(address)
    page.route("**/api/look", lambda route: route.abort())
    page.click(".card[data-token='1']")
    page.click(".remove")
    page.wait_for_selector(".message.error")
    assert "is stellar explore still running?" in page.inner_text(".message.error")
    page.unroute("**/api/look")
    page.click(".remove")
    page.wait_for_selector(".card.gone")


@pytest.mark.parametrize("width", [360, 720, 1000, 1180, 1600])
def test_it_fits_every_width(opened: Opened, mixed_address: str, width: int) -> None:
    page = opened(mixed_address, width)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    page.set_viewport_size({"width": width - 20, "height": 700})
    assert page.evaluate(wide) <= width - 20
    assert page.locator(".stage").first.bounding_box()["width"] > 90
    if width in (360, 1180):
        pytest.importorskip("lancedb")
        page.click("#ways >> text=Concepts")
        page.wait_for_selector(".pick")
        assert page.evaluate(wide) <= width - 20
        assert page.locator(".examples .hit").first.bounding_box()["width"] > 30


def test_nothing_jumps_when_a_token_is_pointed_at_or_chosen(opened: Opened, address: str) -> None:
    page = opened(address)
    places = """[...document.querySelectorAll(".stage, .card, .tools button, .go")].map((each) => {
        const { x, y, width, height } = each.getBoundingClientRect();
        return [x, y, width, height];
    })"""
    before = page.evaluate(places)
    for act in (
        lambda: page.hover(".card[data-token='2']"),
        lambda: page.click(".card[data-token='2']"),
        lambda: page.click(".tool [data-value=paint]"),
        lambda: page.mouse.move(*at_patch(page, 3, 3)),
        lambda: page.click("[data-value=segments]"),
        lambda: page.click(f"{PICTURES} >> nth=5"),
    ):
        act()
        page.wait_for_timeout(150)
        assert page.evaluate(places) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_dark(opened: Opened, address: str, scheme: str) -> None:
    """WCAG AA: a contrast of 4.5 to what is behind."""
    page = opened(address, color_scheme=scheme)
    page.click(".card[data-token='1']")
    assert len(read(page)) > 20
    if find_spec("lancedb"):
        page.click("#ways >> text=Concepts")
        page.click(".pick[data-concept='3']")
        page.wait_for_selector("#search .hit")
        assert any("Concept 23" in text for text in read(page))


def read(page: Page) -> list[str]:
    """All texts that are to be seen, once each can be read."""
    found = page.evaluate(
        """() => [...document.querySelectorAll("h1, h2, p, small, b, button, label, span, nav a")]
            .filter((each) => each.innerText?.trim() && !each.disabled && each.checkVisibility())
            .map((each) => {
                const paper = (element) => getComputedStyle(element).backgroundColor;
                let behind = each;
                while (paper(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
                return [each.innerText, getComputedStyle(each).color, paper(behind)];
            })"""
    )
    for text, ink, paper in found:
        lighter, darker = sorted((luminance(ink), luminance(paper)), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, text
    return [text for text, _, _ in found]


def luminance(colour: str) -> float:
    values = np.array([float(value) for value in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_who_wants_no_motion_gets_none(opened: Opened, address: str) -> None:
    page = opened(address, reduced_motion="reduce")
    page.evaluate("document.querySelector('.view').setAttribute('aria-busy', 'true')")
    name = "getComputedStyle(document.querySelector('.view'), '::before').animationName"
    assert page.evaluate(name) == "none"


def test_a_finger_chooses_and_scrolls(opened: Opened, address: str) -> None:
    page = opened(address, 390, 800, has_touch=True, is_mobile=True)
    page.tap(".card[data-token='2']")
    page.wait_for_selector(".card[data-token='2'][aria-pressed=true]")
    page.tap(".take")
    page.wait_for_selector(".kept")
    page.tap(".card[data-token='1']")
    before = drawing(page)
    page.tap(".put")
    changed(page, before)


def stroke_of(page: Page, token: int, row: int, start: int, end: int) -> None:
    """Paints, and waits until it is done."""
    before = drawing(page)
    if not page.locator(f".card[data-token='{token}'][aria-pressed=true]").count():
        page.click(f".card[data-token='{token}']")
    page.click(".tool [data-value=paint]")
    drag(page, at_patch(page, row, start), at_patch(page, row, end))
    changed(page, before)
    settled(page)


def settled(page: Page) -> None:
    """No answer is waited for."""
    page.wait_for_timeout(100)
    until(page, "!document.querySelector('[aria-busy]')")
    page.wait_for_load_state("networkidle")


def steps_of(page: Page) -> int:
    """In the Python of the edit."""
    page.click(".python")
    page.wait_for_selector("#code[open]")
    code = page.inner_text("#code pre")
    page.keyboard.press("Escape")
    page.wait_for_selector("#code", state="hidden")
    return code.count("factors = edits.")


def test_what_fails_takes_nothing_away(opened: Opened, address: str) -> None:
    page = opened(address)
    for row in (2, 8):
        stroke_of(page, 4, row, 1, 4)
    page.route("**/api/look", lambda route: route.abort())
    drag(page, at_patch(page, 5, 1), at_patch(page, 5, 9))
    page.wait_for_selector(".message.error")
    page.keyboard.press("Control+z")
    page.wait_for_timeout(200)
    page.unroute("**/api/look")
    assert steps_of(page) == 2
    stroke_of(page, 4, 5, 1, 9)
    assert steps_of(page) == 3


def test_escape_ends_a_stroke_and_nothing_else(opened: Opened, address: str) -> None:
    page = opened(address)
    stroke_of(page, 4, 2, 1, 4)
    before = drawing(page)
    page.mouse.move(*at_patch(page, 8, 1))
    page.mouse.down()
    page.mouse.move(*at_patch(page, 8, 6), steps=4)
    page.keyboard.press("Escape")
    page.mouse.move(*at_patch(page, 8, 9), steps=4)
    page.mouse.up()
    until(page, f"document.querySelector('.drawing').src === {before!r}")
    assert steps_of(page) == 1
    assert page.locator(".card[aria-pressed=true]").count() == 1
    page.click(".card[data-token='1']", modifiers=["Shift"])
    page.keyboard.press("Escape")
    assert page.locator(".card[aria-pressed=true]").count() == 0


def test_edits_are_kept_with_their_pictures(opened: Opened, address: str) -> None:
    page = opened(address)
    stroke_of(page, 4, 2, 1, 4)
    edited = drawing(page)
    page.click(f"{PICTURES} >> nth=0")
    assert drawing(page) == edited
    page.click(f"{PICTURES} >> nth=1")
    until(page, "document.querySelector('.facts').textContent.includes('/0/1 ')")
    assert steps_of(page) == 0
    page.go_back()
    until(page, f"document.querySelector('.drawing').src === {edited!r}")
    assert steps_of(page) == 1


@pytest.mark.parametrize("hash_", ["#%", "#views", "#picture=%", "#picture=nothing", "#<b>"])
def test_any_address_opens_something(opened: Opened, address: str, hash_: str) -> None:
    page = opened(address)
    page.goto(f"{address.partition('?')[0]}{hash_}")
    page.reload()
    page.wait_for_selector(".problem:not([hidden]), .card")
    page.click(f"{PICTURES} >> nth=3")
    until(page, "document.querySelector('.facts').textContent.includes('/0/3 ')")


def test_the_skip_link_leads_to_the_picture(opened: Opened, address: str) -> None:
    page = opened(address)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.id") == "views"
    assert page.locator(".problem:not([hidden])").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "stage"


def test_until_there_is_an_answer_nothing_of_another_picture_is_shown_or_done(
    opened: Opened, address: str
) -> None:
    page = opened(address)
    page.click(".card[data-token='4']")
    held = []
    page.route("**/api/look", lambda route: held.append(route))
    page.click(f"{PICTURES} >> nth=1")
    page.mouse.move(1, 1)
    page.wait_for_selector(".view.stale")
    assert not page.is_visible(".drawing")
    assert not page.is_visible(".card >> nth=0")
    assert (shade(page) == 0).all()
    assert page.is_disabled(".remove")
    assert page.is_disabled(".python")
    page.keyboard.press("Control+z")
    page.keyboard.press("Escape")
    page.mouse.click(*at_patch(page, 3, 3))
    held[0].continue_()
    page.unroute("**/api/look")
    page.wait_for_selector(".view:not(.stale)")
    until(page, "document.querySelector('.facts').textContent.includes('/0/1 ')")


def test_hits_say_what_was_asked(opened: Opened, address: str) -> None:
    pytest.importorskip("lancedb")
    page = opened(address)
    page.click(".card[data-token='4']")
    page.click(".go")
    page.wait_for_selector(".hit")
    page.click(f"{PICTURES} >> nth=2")
    until(page, "document.querySelector('.facts').textContent.includes('/0/2 ')")
    assert page.inner_text("#search .hint").startswith("Like token 4 of scenes/heldout/0/0: the")


def test_a_place_is_drawn_with_the_keyboard(opened: Opened, address: str) -> None:
    page = opened(address)
    page.focus(".place")
    page.keyboard.press("Enter")
    assert page.get_attribute(".place", "aria-pressed") == "true"
    assert page.locator(".tool [tabindex='0']").count() == 1
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".box:not([hidden])")
    size = page.eval_on_selector(".box", "box => [box.style.width, box.style.height]")
    assert size == ["12.5%", "12.5%"]  # two of 16 patches
    assert page.get_attribute(".place", "aria-pressed") == "false"
    page.click(".place")
    page.click(".tool [data-value=paint]")
    assert page.get_attribute(".place", "aria-pressed") == "false"


def test_the_picture_stays_in_sight_of_the_last_of_many_tokens(
    opened: Opened, address: str
) -> None:
    page = opened(address)
    last = page.locator(".card").last
    last.focus()
    card, stage = last.bounding_box(), page.locator(".stage").bounding_box()
    height = page.viewport_size["height"]
    assert stage["y"] >= 0
    assert stage["y"] + stage["height"] <= card["y"]
    assert card["y"] + card["height"] <= height
    last.hover()
    lit = page.locator(".card.lit").get_attribute("data-token")
    assert lit == last.get_attribute("data-token")
    page.locator(".card").first.focus()
    first, stage = page.locator(".card").first.bounding_box(), page.locator(".panes").bounding_box()
    assert stage["y"] + stage["height"] <= first["y"]


def test_the_last_token_stays_when_all_are_removed_but_one(opened: Opened, address: str) -> None:
    page = opened(address)
    for token in range(11):
        page.click(f".card[data-token='{token}']")
        page.click(".remove")
        page.wait_for_selector(f".card.gone[data-token='{token}']")
        assert page.is_disabled(".remove")
    settled(page)
    assert page.locator(".card.gone").count() == 11
    page.click(".card[data-token='11']")
    assert page.is_disabled(".remove")
