"""CLEVRTex in its true layout: numbered folders, indices in masks, shapes in JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stellar.config import ModelConfig
from stellar.data import DataError, MaskedSplits, open_data
from stellar.evaluation.evaluate import fingerprint_of

Save = Callable[..., Path]


def opened(root: Path) -> MaskedSplits:
    splits = open_data(root, ModelConfig())
    assert isinstance(splits, MaskedSplits)
    return splits


@pytest.fixture
def clevrtex(tmp_path: Path, save: Save) -> Path:
    """20 pictures in two folders of ten; the other images that are rendered lie beside them."""
    root = tmp_path / "clevrtex_full"
    for number in range(20):
        stem = root / f"{number // 10}/CLEVRTEX_full_{number:06}"
        save(stem.with_suffix(".png"), number)
        save(Path(f"{stem}_flat.png"), [[0, 1, 2], [2, 3, 0]], palette=True)
        save(Path(f"{stem}_depth_0001.png"), 0)
        shapes = ("monkey", "cube", "monkey")
        objects = [
            {"shape": shape, "index": place, "size": "small", "material": "poliigonbricks01"}
            for place, shape in enumerate(shapes, start=1)
        ]
        content = {"objects": objects, "ground_material": "whitemarble"}
        stem.with_suffix(".json").write_text(json.dumps(content))
    return root


def test_objects_have_the_class_of_their_shape(clevrtex: Path) -> None:
    splits = opened(clevrtex)
    assert splits.classes == ("background", "cube", "cylinder", "monkey", "sphere")
    for source in (splits.train, splits.test):
        masks = source.masks(1)
        assert masks.instances.tolist() == [[0, 1, 2], [2, 3, 0]]
        assert masks.classes.tolist() == [[0, 3, 1], [1, 3, 0]]


def test_the_split_is_the_published_one(clevrtex: Path) -> None:
    splits = opened(clevrtex.parent)
    assert [splits.test.name(i) for i in range(len(splits.test))] == [
        "0/CLEVRTEX_full_000000.png",
        "0/CLEVRTEX_full_000001.png",
    ]
    assert len(splits.train) == 16
    assert splits.train.name(0) == "0/CLEVRTEX_full_000004.png"
    assert splits.train.name(15) == "1/CLEVRTEX_full_000019.png"


@pytest.mark.parametrize("changed", ["CLEVRTEX_full_000000.json", "CLEVRTEX_full_000000_flat.png"])
def test_another_mask_or_description_has_another_fingerprint(
    clevrtex: Path, save: Save, changed: str
) -> None:
    before = fingerprint_of(opened(clevrtex))
    assert fingerprint_of(opened(clevrtex)) == before
    if changed.endswith(".png"):
        save(clevrtex / "0" / changed, [[0, 1, 2], [2, 3, 3]], palette=True)
    else:
        file = clevrtex / "0" / changed
        file.write_text(file.read_text().replace("monkey", "sphere"))
    assert fingerprint_of(opened(clevrtex)) != before


@pytest.mark.parametrize("lost", ["0/CLEVRTEX_full_000003_flat.png", "1/CLEVRTEX_full_000012.json"])
def test_what_is_missing_is_named_with_the_tree(clevrtex: Path, lost: str) -> None:
    (clevrtex / lost).unlink()
    with pytest.raises(DataError, match=f"lacks {lost}; expected CLEVRTex as"):
        opened(clevrtex)


def test_few_pictures_have_no_tenth(clevrtex: Path) -> None:
    for file in clevrtex.glob("*/CLEVRTEX_full_0000[01][1-9]*"):
        file.unlink()
    with pytest.raises(DataError, match="holds 2 pictures; at least 10 are needed"):
        opened(clevrtex)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([{"shape": "cube", "index": 1}], "does not describe the object 2 of its mask"),
        ([{"shape": "bottle", "index": 1}], "an index from 1 to 255 and a shape of cube, cyl"),
        ([{"shape": "cube", "index": 256}], "an index from 1 to 255"),
        ([{"shape": "cube", "index": -255}], "an index from 1 to 255"),
        ([{"shape": "background", "index": 1}], "a shape of cube, cylinder"),
        ([{"shape": "cube", "index": 1}] * 2, "another object has the same index"),
        ([{"shape": "cube"}], "'index' is missing"),
        *(
            ([{"shape": "cube", "index": index}], "'index' must be a whole number")
            for index in (None, True, [1], "1", 1.0)
        ),
    ],
)
def test_what_is_wrong_is_named(clevrtex: Path, objects: list, message: str) -> None:
    file = clevrtex / "0/CLEVRTEX_full_000000.json"
    file.write_text(json.dumps({"objects": objects}))
    with pytest.raises(DataError, match=message):
        opened(clevrtex)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"objects": null}', "\xff"])
def test_a_description_that_is_none_is_refused(clevrtex: Path, text: str) -> None:
    file = clevrtex / "0/CLEVRTEX_full_000000.json"
    file.write_text(text, "latin-1")
    with pytest.raises(DataError, match=file.name):
        opened(clevrtex)
