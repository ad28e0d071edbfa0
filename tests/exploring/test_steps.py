"""Steps of an edit: read from JSON, done, and written as Python that does the same."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import stellar
from stellar.data import open_pictures
from stellar.data.shards.writing import write_shards
from stellar.exploring import Workbench
from stellar.exploring.gallery import Gallery
from stellar.exploring.steps import KINDS, Move, Paint, Replace, Step, read_steps
from stellar.exploring.workbench import Named
from stellar.model import Stellar

EVERY_KIND = [
    {"kind": "replace", "token": 0, "picture": "3", "other": 2},
    {"kind": "paint", "token": 1, "patches": [0, 1, 2, 13], "share": 1},
    {"kind": "paint", "token": 1, "patches": [5], "share": 0.25},
    {"kind": "scale", "token": 2, "factor": 2.5},
    {"kind": "move", "token": 3, "rows": -1, "columns": 2},
    {"kind": "duplicate", "token": 4, "rows": 1, "columns": -3},
    {"kind": "scale", "token": 6, "factor": 0},
]


def drawn(workbench: Workbench, key: str, steps: Sequence[Step] = ()) -> Tensor:
    drawing = workbench.look(key, 0, steps).drawing
    assert drawing is not None
    return drawing


def test_json_becomes_steps() -> None:
    assert {step["kind"] for step in EVERY_KIND} == KINDS.keys()
    steps = read_steps(EVERY_KIND)
    assert steps[0] == Replace(0, "3", 2)
    assert steps[1] == Paint(1, (0, 1, 2, 13), 1.0)
    assert steps[4] == Move(3, -1, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a list of at most 1,000 steps"),
        (1001 * [EVERY_KIND[3]], "a list of at most 1,000 steps"),
        ([3], "step 1 must be one of replace, paint, .* got None"),
        ([EVERY_KIND[0], {"kind": "burn"}], "step 2 must be one of .* got 'burn'"),
        ([{"kind": "move", "token": 1}], r"step 1 \(move\) needs columns, rows"),
        ([{**EVERY_KIND[3], "factor": "2"}], "step 1: factor must be a number, got '2'"),
        ([{**EVERY_KIND[3], "more": 1}], "step 1: more is not a setting"),
        ([{**EVERY_KIND[1], "patches": [1, None]}], "step 1: patches must be a list"),
    ],
)
def test_what_are_no_steps_gets_a_sentence(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_steps(given)


def test_the_python_of_an_edit_draws_the_same(workbench: Workbench) -> None:
    steps = read_steps(EVERY_KIND)
    code = workbench.as_python("5", 0, steps)
    names: dict[str, Any] = {}
    exec(code, names)
    assert torch.allclose(names["picture"], drawn(workbench, "5", steps), atol=1e-5)
    assert not torch.allclose(names["picture"], drawn(workbench, "5"), atol=0.05)


@pytest.mark.parametrize("kind", ["files", "a folder", "shards"])
def test_pictures_of_any_kind_are_opened_again(
    workbench: Workbench, tmp_path: Path, kind: str
) -> None:
    """Also of files of one name in two folders."""
    for number in (0, 1):
        (tmp_path / f"photos/{number}").mkdir(parents=True)
        pixels = workbench.gallery.read(str(number), 3).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}/same.png")
    named: Any = tmp_path / "photos"
    if kind == "files":
        named = [str(tmp_path / f"photos/{number}/same.png") for number in (0, 1)]
    elif kind == "shards":
        write_shards(named, tmp_path / "shards")
        named = tmp_path / "shards"
    (model,) = workbench.models
    gallery = Gallery(open_pictures(named, model.model.config), kind)
    others = Workbench(workbench.models, gallery)
    assert gallery.name("0") != gallery.name("1")
    assert gallery.key_of(gallery.name("0")) == "0"
    for key in ("0", "1"):
        names: dict[str, Any] = {}
        exec(others.as_python(key, 0, []), names)
        assert torch.allclose(names["picture"], drawn(others, key), atol=1e-5)


def test_a_second_model_of_another_size_sees_the_same_scenes(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = workbench.models
    torch.manual_seed(0)
    larger = Stellar(replace(first.model.config, image_size=96)).eval().requires_grad_(False)
    both = Workbench([first, Named("larger", larger)], workbench.gallery)
    monkeypatch.setattr(stellar, "load", lambda name: {"larger": larger}[name])
    names: dict[str, Any] = {}
    exec(both.as_python("5", 1, []), names)
    expected = both.look("5", 1).drawing
    assert expected is not None
    assert torch.allclose(names["picture"], expected, atol=1e-5)


def test_the_model_is_loaded_as_it_was(workbench: Workbench) -> None:
    model = workbench.models[0].model
    named = Named("photos", model, "runs/photos", tokenizer="vqgan.pt", revision="main")
    code = Workbench([named], workbench.gallery).as_python("5", 0, [])
    call = "stellar.load('runs/photos', tokenizer='vqgan.pt', revision='main')"
    assert f"model = {call}\n" in code


def test_without_steps_it_draws_the_picture(workbench: Workbench) -> None:
    code = workbench.as_python("7", 0, [])
    assert "edits" not in code
    names: dict[str, Any] = {}
    exec(code, names)
    assert torch.allclose(names["picture"], drawn(workbench, "7"), atol=1e-5)
