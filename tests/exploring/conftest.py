"""A page's server at work, and a visitor who was let in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from visiting import Visitor

import stellar
from stellar.data import ImageFolder, open_embedded
from stellar.errors import UserError
from stellar.exploring import Finder, Gallery, Server, Workbench
from stellar.exploring.finder import Wording
from stellar.exploring.workbench import Named
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.searching.words import Origin, Words

NUM_SCENES = 40


@pytest.fixture(scope="session")
def workbench() -> Workbench:
    """The model and the scenes that come along; they stay as they are."""
    model = stellar.load("stellar-scenes")
    scenes = open_embedded("scenes", "heldout", model.config, length=NUM_SCENES)
    return Workbench([Named("stellar-scenes", model)], Gallery(scenes, "scenes"))


@pytest.fixture(scope="session")
def finder(workbench: Workbench) -> Iterator[Finder]:
    finder = Finder(workbench)
    yield finder
    finder.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty pictures as files, wider than high."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(30):
        pixels = rng.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((80, 60), Image.Resampling.NEAREST)
        picture.save(tmp_path / f"photos/{index:02}.png")
    return tmp_path / "photos"


@contextmanager
def serving(finder: Finder) -> Iterator[str]:
    """The address of a server that answers."""
    pytest.importorskip("uvicorn")
    with Server(finder, port=0).answering() as address:
        yield address


@pytest.fixture(scope="session")
def address(finder: Finder) -> Iterator[str]:
    with serving(finder) as address:
        yield address


def wording_of(workbench: Workbench) -> Wording:
    """A tower in whose space tokens are what they are: a text "3 4" says the token 4 of picture 3,
    and any other text is one that it cannot be asked.
    """
    model = workbench.models[0].model
    width = model.config.embed_dim
    origin = Origin("tokens", fingerprint(model), "crop")

    def texts(given: Sequence[str]) -> np.ndarray:
        places = [text.split() for text in given]
        if any(len(place) != 2 for place in places):
            raise UserError("the tower is not here")
        return np.stack(
            [
                workbench.encoded(key, 0).factors.sparse[0, int(token)].numpy()
                for key, token in places
            ]
        )

    bias = np.zeros(width, np.float32)
    return Wording(Words(np.eye(width, dtype=np.float32), bias, origin), texts)


@pytest.fixture(scope="session")
def worded(workbench: Workbench) -> Iterator[Finder]:
    """The same, with words for what is in the pictures."""
    worded = Finder(workbench, wording=wording_of(workbench))
    yield worded
    worded.close()


@pytest.fixture(scope="session")
def worded_address(worded: Finder) -> Iterator[str]:
    with serving(worded) as address:
        yield address


@pytest.fixture(scope="session")
def mixed_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page of two models, on a folder of two photographs, one wide, and of what is none."""
    folder = tmp_path_factory.mktemp("mixed")
    colours = np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8)
    wide = Image.fromarray(colours).resize((270, 180))
    wide.save(folder / "a <b>wide<b>.jpg")
    wide.crop((0, 0, 90, 180)).save(folder / "b.png")
    (folder / "c.jpg").write_bytes(b"no picture")
    model = stellar.load("stellar-scenes")
    torch.manual_seed(0)
    other = Stellar(replace(model.config, num_sparse_tokens=4)).eval().requires_grad_(False)
    models = [Named("stellar-scenes", model), Named("untrained", other)]
    finder = Finder(Workbench(models, Gallery(ImageFolder(folder), "mixed")))
    with closing(finder), serving(finder) as address:
        yield address


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a window of its own. Nothing may go wrong on the page, and nothing may be
    asked of anybody else.
    """
    windows, wrong = [], []

    def go(address: str, width: int = 1280, height: int = 860, **settings: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **settings)
        windows.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith((address.partition("?")[0], "data:"))
                or wrong.append(asked.url))  # fmt: skip
        page.goto(address)
        page.wait_for_selector(".card")
        return page

    yield go
    for context in windows:
        context.close()
    assert not wrong


@pytest.fixture
def visitor(address: str) -> Visitor:
    return Visitor(address).let_in()
