"""COCO in its true layout: panoptic annotations and instances, each by an oracle of pixels."""

import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from stellar.cli import main
from stellar.config import ModelConfig
from stellar.data import DataError, MaskedSplits, open_data
from stellar.errors import MissingPackage
from stellar.evaluation.evaluate import fingerprint_of
from stellar.images import UnreadableImage

SIZE = (6, 8)
"""Height and width of every picture."""
TURNED = (8, 6)
CATEGORIES = [
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
]
STUFF = [{"id": 187, "name": "sky-other-merged", "supercategory": "sky", "isthing": 0}]
"""Beside the same categories, which are things there."""


def opened(root: Path) -> MaskedSplits:
    splits = open_data(root, ModelConfig())
    assert isinstance(splits, MaskedSplits)
    return splits


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """A polygon around whole pixels."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def runs(mask: np.ndarray) -> dict[str, Any]:
    """A run-length code without compression: runs of 0 and 1 in turn, column by column."""
    counts, last = [], 0
    for value in mask.T.flatten().tolist():
        if value != last or not counts:
            counts += [0] * (1 + (not counts and value))
        counts[-1] += 1
        last = value
    return {"size": list(mask.shape), "counts": counts}


def write_pictures(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Two pictures a split, and what a file says of them."""
    images = {}
    for split, numbers in (("train2017", (9, 25)), ("val2017", (139, 285))):
        (root / split).mkdir(parents=True)
        images[split] = []
        for number in numbers:
            name = f"{number:012}.jpg"
            Image.new("RGB", TURNED, (number % 256,) * 3).save(root / split / name)
            images[split].append(
                {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
            )
    (root / "annotations").mkdir()
    return images


@pytest.fixture
def write_instances(tmp_path: Path) -> Callable[..., Path]:
    """A COCO folder; the first picture of each split has these annotations, the second none."""

    def write(annotations: list[dict[str, Any]], categories: list[dict] = CATEGORIES) -> Path:
        for split, images in write_pictures(tmp_path / "coco").items():
            found = [
                {"id": place, "image_id": images[0]["id"], "iscrowd": 0, **each}
                for place, each in enumerate(annotations)
            ]
            content = {"images": images, "annotations": found, "categories": categories}
            file = tmp_path / f"coco/annotations/instances_{split}.json"
            file.write_text(json.dumps(content))
        return tmp_path / "coco"

    return write


@pytest.fixture
def write_panoptic(tmp_path: Path) -> Callable[..., Path]:
    """A COCO folder in which every picture has this mask of segments."""

    def write(mask: np.ndarray, segments: list[dict[str, Any]], beside: bool = False) -> Path:
        root = tmp_path / "coco"
        colours = np.stack([mask % 256, mask // 256 % 256, mask // 65536], axis=2).astype(np.uint8)
        for split, images in write_pictures(root).items():
            folder = root / ("" if beside else "annotations") / f"panoptic_{split}"
            folder.mkdir()
            annotations = []
            for image in images:
                name = image["file_name"].replace("jpg", "png")
                Image.fromarray(colours).save(folder / name)
                annotations.append(
                    {"image_id": image["id"], "file_name": name, "segments_info": segments}
                )
            things = [{**category, "isthing": 1} for category in CATEGORIES]
            content = {"images": images, "annotations": annotations, "categories": things + STUFF}
            (root / f"annotations/panoptic_{split}.json").write_text(json.dumps(content))
        return root

    return write


OBJECTS = [
    {"category_id": 18, "segmentation": box(1, 1, 4, 4)},
    {"category_id": 1, "segmentation": box(0, 0, 6, 5)},
]


def test_categories_have_gaps_and_the_smaller_object_is_on_top(
    write_instances: Callable[..., Path],
) -> None:
    root = write_instances(OBJECTS)
    splits = opened(root)
    assert splits.classes == ("background", "person", "dog", "toothbrush")
    assert splits.train.name(0) == "train2017/000000000009.jpg"
    assert splits.test.name(1) == "val2017/000000000285.jpg"
    classes = torch.zeros(SIZE, dtype=torch.uint8)
    classes[:5, :6] = 1
    classes[1:4, 1:4] = 2
    for source in (splits.train, splits.test):
        masks = source.masks(0)
        assert torch.equal(masks.classes, classes)
        assert torch.equal(masks.instances, classes.int())
        copy = pickle.loads(pickle.dumps(source))
        assert torch.equal(copy.masks(0).classes, classes), "in another process"
        empty = source.masks(1)
        assert not empty.classes.any()
        assert not empty.instances.any()
    assert "COCO, instances" in splits.description
    assert opened(root.parent).classes == splits.classes


def test_other_annotations_of_the_same_pictures_have_another_fingerprint(
    write_instances: Callable[..., Path],
) -> None:
    root = write_instances(OBJECTS)
    before = fingerprint_of(opened(root))
    assert fingerprint_of(opened(root)) == before
    file = root / "annotations/instances_val2017.json"
    file.write_text(file.read_text().replace('"category_id": 18', '"category_id": 90'))
    assert fingerprint_of(opened(root)) != before


def test_outlines_of_every_kind_are_the_same_pixels(write_instances: Callable[..., Path]) -> None:
    from pycocotools import mask

    square = np.zeros(SIZE, np.uint8)
    square[1:4, 1:4] = 1
    packed = mask.encode(np.asfortranarray(square))
    text = {"size": list(SIZE), "counts": cast(bytes, packed["counts"]).decode()}
    root = write_instances([{"category_id": 90, "segmentation": text}])
    file = root / "annotations/instances_val2017.json"
    found = [opened(root).test.masks(0)]
    for outline in (runs(square), box(1, 1, 4, 4), box(1, 1, 4, 2) + box(1, 2, 4, 4)):
        content = json.loads(file.read_text())
        content["annotations"][0]["segmentation"] = outline
        file.write_text(json.dumps(content))
        found.append(opened(root).test.masks(0))
    for masks in found:
        assert torch.equal(masks.classes, torch.from_numpy(3 * square))
        assert torch.equal(masks.instances, torch.from_numpy(square).int())


def test_a_crowd_is_ignored_except_where_an_object_is(
    write_instances: Callable[..., Path],
) -> None:
    crowd = np.zeros(SIZE, np.uint8)
    crowd[:, :3] = 1
    lone = {"category_id": 18, "segmentation": box(1, 1, 5, 4)}
    root = write_instances([lone, {"category_id": 1, "iscrowd": 1, "segmentation": runs(crowd)}])
    masks = opened(root).test.masks(0)
    classes = torch.zeros(SIZE, dtype=torch.uint8)
    classes[:, :3] = 255
    classes[1:4, 1:5] = 2
    assert torch.equal(masks.classes, classes)
    assert torch.equal(masks.instances > 0, classes == 2)


def test_hundreds_of_objects_keep_their_numbers(write_instances: Callable[..., Path]) -> None:
    """300 of one picture: more than 8 bits hold."""
    root = write_instances([])
    side = 40
    Image.new("RGB", (side, side)).save(root / "val2017/000000000139.jpg")
    file = root / "annotations/instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"][0] |= {"height": side, "width": side}
    content["annotations"] = [
        {"id": n, "image_id": 139, "category_id": 1, "iscrowd": 0,
         "segmentation": box(2 * (n % 20), 2 * (n // 20), 2 * (n % 20) + 2, 2 * (n // 20) + 2)}
        for n in range(300)
    ]  # fmt: skip
    file.write_text(json.dumps(content))
    instances = opened(root).test.masks(0).instances
    assert instances.unique().tolist() == list(range(301))
    assert (instances[instances > 0].bincount()[1:] == 4).all()


def test_annotations_are_turned_with_their_picture(write_instances: Callable[..., Path]) -> None:
    root = write_instances(OBJECTS)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = opened(root).test.masks(0)
    Image.new("RGB", TURNED).save(root / "val2017/000000000139.jpg", exif=exif)
    source = opened(root).test
    turned = source.masks(0)
    assert source.read(0).shape[1:] == turned.classes.shape == TURNED
    assert torch.equal(turned.classes, stored.classes.rot90(-1))
    assert torch.equal(turned.instances, stored.instances.rot90(-1))


SEGMENTS = [
    {"id": 66051, "category_id": 18, "iscrowd": 0},
    {"id": 7, "category_id": 187, "iscrowd": 0},
    {"id": 300, "category_id": 1, "iscrowd": 1},
    {"id": 256, "category_id": 18, "iscrowd": 0},
]
MASK = np.array([[66051, 7, 300, 256, 0, 0, 7, 7]] * 6)


@pytest.mark.parametrize("beside", [False, True])
def test_panoptic_segments_are_things_stuff_or_nothing(
    write_panoptic: Callable[..., Path], beside: bool
) -> None:
    splits = opened(write_panoptic(MASK, SEGMENTS, beside))
    assert splits.classes == ("person", "dog", "toothbrush", "sky-other-merged")
    for source in (splits.train, splits.test):
        masks = source.masks(1)
        assert masks.classes.tolist() == [[1, 3, 255, 1, 255, 255, 3, 3]] * 6
        assert masks.instances.tolist() == [[2, 0, 0, 1, 0, 0, 0, 0]] * 6
    assert "COCO, panoptic: 4 classes" in splits.description


def test_other_panoptic_annotations_have_another_fingerprint(
    write_panoptic: Callable[..., Path],
) -> None:
    root = write_panoptic(MASK, SEGMENTS)
    before = fingerprint_of(opened(root))
    assert fingerprint_of(opened(root)) == before
    mask, file = (root / f"annotations/panoptic_val2017{end}" for end in ("", ".json"))
    kept = file.read_text()
    file.write_text(kept.replace('"iscrowd": 1', '"iscrowd": 0'))
    assert fingerprint_of(opened(root)) != before
    file.write_text(kept)
    Image.new("RGB", TURNED, (7, 0, 0)).save(mask / "000000000139.png")
    assert fingerprint_of(opened(root)) != before


def test_panoptic_goes_before_instances_where_both_are_whole(
    write_panoptic: Callable[..., Path],
) -> None:
    root = write_panoptic(MASK, SEGMENTS)
    for split in ("train2017", "val2017"):
        content = json.loads((root / f"annotations/panoptic_{split}.json").read_text())
        content |= {"annotations": [], "categories": CATEGORIES}
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    assert "panoptic" in opened(root).description
    (root / "annotations/panoptic_val2017").rename(root / "elsewhere")
    assert "instances" in opened(root).description


def test_a_segment_that_is_not_annotated_is_refused(write_panoptic: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="holds the segment 256, which its annotation lacks"):
        opened(write_panoptic(MASK, SEGMENTS[:3]))


def test_sizes_must_agree(
    write_instances: Callable[..., Path], write_panoptic: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_instances(OBJECTS)
    Image.new("RGB", (3, 2)).save(root / "val2017/000000000139.jpg")
    with pytest.raises(UnreadableImage, match=r"it is 8 x 6, but its picture .* is 3 x 2"):
        opened(root)
    root.rename(tmp_path / "before")
    with pytest.raises(UnreadableImage, match=r"it is 2 x 1, but its picture .* is 8 x 6"):
        opened(write_panoptic(np.array([[7, 7]]), SEGMENTS))


def many(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"class {number}"} for number in range(1000, 1000 + count)]


@pytest.mark.parametrize(
    ("annotations", "categories", "message"),
    [
        (
            [{"category_id": 2, "segmentation": box(0, 0, 3, 3)}],
            CATEGORIES,
            "no category has the number 2, in ",
        ),
        ([{"category_id": 1, "segmentation": [[0, 0, 3, 3]]}], CATEGORIES, "polygons of 3 points"),
        ([{"category_id": 1}], CATEGORIES, "'segmentation' is missing"),
        (
            [{"category_id": 1, "segmentation": {"size": [3, 3], "counts": [0, 9]}}],
            CATEGORIES,
            "run-length code of 6 x 8 pixels",
        ),
        ([], many(255), "must have 1 to 254 categories, but it has 255"),
        ([], [], "must have 1 to 254 categories, but it has 0"),
        ([], [*CATEGORIES, {"id": 3, "name": "dog"}], "has dog several times"),
        ([], [*CATEGORIES, {"id": 18, "name": "cat"}], "needs a number of its own"),
        ([], [{"id": 3}], "'name' is missing, in {'id': 3}"),
    ],
)
def test_what_is_wrong_is_named(
    write_instances: Callable[..., Path], annotations: list, categories: list, message: str
) -> None:
    root = write_instances(annotations, categories)
    with pytest.raises(DataError, match=message):
        opened(root)


@pytest.mark.parametrize(
    "outline",
    [
        None, 5, "abcdefgh", [], [[]],
        [1, 2, 3, 4, 5, 6],
        [["0", "0", "3", "0", "3", "3"]],
        [[None] * 6],
        [[[0, 0], [3, 0], [3, 3], [0, 3], [0, 2], [0, 1]]],
        [[0, 0, 1e8, 0, 1e8, 1e8]],
        [[0, 0, 3, 0, 3, 12.5]],
        [[0, 0, 3, 0, float("nan"), 3]],
        [[0, 0, 3, 0, float("inf"), 3]],
        {"size": None, "counts": [48]},
        {"size": "68", "counts": [48]},
        *({"size": [6, 8], "counts": counts} for counts in (
            None, [], [10, 5], [10, 500], [60, -12], ["a"], [24.0, 24.0],
            "", "zzzzz", "0", "é€", "P",
        )),
    ],
)  # fmt: skip
def test_an_outline_that_is_none_is_found_before_anything_is_measured(
    write_instances: Callable[..., Path], outline: Any
) -> None:
    """Drawn, some would be memory that nobody wrote, and others take gigabytes."""
    root = write_instances([OBJECTS[0], {"category_id": 1, "segmentation": outline}])
    with pytest.raises(DataError, match=r"must be polygons of 3 points .*, in {'category_id': 1, "):
        opened(root)


def test_polygons_may_reach_over_the_border(write_instances: Callable[..., Path]) -> None:
    root = write_instances([{"category_id": 1, "segmentation": box(-1, 3, 9, 7)}])
    assert opened(root).test.masks(0).classes.tolist() == [[0] * 8] * 3 + [[1] * 8] * 3


Content = dict[str, Any]


def change(root: Path, kind: str, changed: Callable[[Content], object]) -> None:
    """Edit both annotation files."""
    for split in ("train2017", "val2017"):
        file = root / f"annotations/{kind}_{split}.json"
        content = json.loads(file.read_text())
        changed(content)
        file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("annotations", {"image_id": "139"}, "no picture has the 'id' '139', in "),
        ("annotations", {"image_id": 999}, "no picture has the 'id' 999, in "),
        ("annotations", {"image_id": [1]}, "'image_id' must be a whole number or text"),
        ("annotations", {"category_id": [1]}, r"'category_id' must be .*, but it is \[1\], in "),
        ("annotations", {"iscrowd": "0"}, "'iscrowd' must be 0 or 1, but it is '0', in "),
        ("categories", {"isthing": "0"}, "'isthing' must be 0 or 1, but it is '0', in "),
        ("categories", {"id": float("inf")}, "'id' must be a whole number, but it is inf"),
        ("categories", {"name": None}, "'name' must be text, but it is None"),
        ("images", {"id": None}, "'id' must be a whole number or text, but it is None"),
        ("images", {"id": 1}, "another picture has the same 'id' or "),
        ("images", {"file_name": "a.jpg"}, "another picture has .* or 'file_name', in "),
        ("images", {"height": float("inf")}, "'height' must be a whole number, but it is inf"),
        ("images", {"height": -48}, "'height' x 'width' must be 1 to 100000000 pixels"),
        ("images", {"height": 10**30}, "'height' x 'width' must be 1 to 100000000 pixels"),
        ("images", {"file_name": "\ud800.jpg"}, "must be the name of a file within the folder"),
        ("images", {"file_name": "../a.jpg"}, "must be the name of a file within the folder"),
    ],
)
def test_a_field_of_another_kind_is_named(
    write_instances: Callable[..., Path], part: str, values: Content, message: str
) -> None:
    """None of these may lose an annotation, or take one thing for another."""
    root = write_instances(OBJECTS)
    change(root, "instances", lambda content: [each.update(values) for each in content[part]])
    with pytest.raises(DataError, match=message):
        opened(root)


@pytest.mark.parametrize("text", ["[" * 200_000, "", "[]", '{"images": 5}', '{"images": [5]}'])
def test_what_is_no_annotation_file_is_refused(
    write_instances: Callable[..., Path], text: str
) -> None:
    root = write_instances(OBJECTS)
    (root / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_train2017\.json"):
        opened(root)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"file_name": None}, "'file_name' must be text"),
        ({"file_name": 5}, "'file_name' must be text"),
        ({"file_name": "/etc/hostname"}, "must be the name of a file within the folder"),
        ({"file_name": "../../a.png"}, "must be the name of a file within the folder"),
        ({"file_name": "\ud800.png"}, "must be the name of a file within the folder"),
        ({"file_name": "a\0.png"}, "must be the name of a file within the folder"),
        ({"segments_info": None}, "'segments_info' must be a list of objects"),
        ({"segments_info": {}}, "'segments_info' must be a list of objects"),
        ({"segments_info": [None]}, "'segments_info' must be a list of objects"),
        ({"segments_info": ["a"]}, "'segments_info' must be a list of objects"),
        ({"segments_info": [{"category_id": 1}]}, "'id' is missing"),
        ({"segments_info": [{"id": [7], "category_id": 1}]}, "'id' must be a whole number"),
        ({"segments_info": [{"id": 7, "category_id": 1}] * 2}, "several segments have the 'id' 7"),
        ({"segments_info": [{"id": 7, "category_id": 1, "iscrowd": "0"}]}, "must be 0 or 1"),
    ],
)
def test_a_panoptic_field_of_another_kind_is_named(
    write_panoptic: Callable[..., Path], values: Content, message: str
) -> None:
    root = write_panoptic(MASK, SEGMENTS)
    change(
        root, "panoptic", lambda content: [each.update(values) for each in content["annotations"]]
    )
    with pytest.raises(DataError, match=message):
        opened(root)


def test_pictures_may_have_names_for_numbers(write_instances: Callable[..., Path]) -> None:
    def named(content: Content) -> None:
        for each in content["images"]:
            each["id"] = f"picture {each['id']}"
        for each in content["annotations"]:
            each["image_id"] = f"picture {each['image_id']}"

    root = write_instances(OBJECTS)
    expected = opened(root).test.masks(0).classes
    change(root, "instances", named)
    assert torch.equal(opened(root).test.masks(0).classes, expected)


def test_254_categories_are_told_apart(write_instances: Callable[..., Path]) -> None:
    last = {"category_id": 1253, "segmentation": box(0, 0, 8, 6)}
    splits = opened(write_instances([last], many(254)))
    assert splits.classes[254] == "class 1253"
    assert splits.test.masks(0).classes.unique().tolist() == [254]


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("val2017/000000000285.jpg", "pictures that are not in .*000000000285.jpg"),
        ("annotations/instances_train2017.json", "nor the instances of both"),
    ],
)
def test_what_is_missing_is_named(
    write_instances: Callable[..., Path], lost: str, message: str
) -> None:
    root = write_instances(OBJECTS)
    (root / lost).unlink()
    with pytest.raises(DataError, match=message):
        opened(root)


def test_instances_need_pycocotools(
    write_instances: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_instances(OBJECTS)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingPackage, match=r'pip install "stellar-vision\[coco\]"'):
        opened(root)


def test_the_command_of_the_docs(
    write_instances: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test of pictures with masks, on two pictures a split of which one has no objects."""
    docs = (Path(__file__).parents[3] / "docs/data.md").read_text()
    (command,) = re.findall(r"^stellar (evaluate .* --data coco)$", docs, flags=re.M)
    write_instances(OBJECTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stellar.evaluation.evaluators.presence.STEPS", 5)
    short = "--num-seeds 1 --epochs 1 --num-workers 0 --device cpu"
    assert main([*command.split(), *short.split()]) == 0
    report = json.loads((tmp_path / "evaluation/report.json").read_text())
    assert report["data"].startswith("COCO, instances: 3 classes")
    (model,) = report["models"]
    found = {(score["test"], score["name"]): score["value"] for score in model["scores"]}
    for name in ("ARI", "FG-ARI", "mBO^i", "mBO^c", "mIoU"):
        assert -1 <= found["localisation", name] <= 1
    for name in ("mIoU, U, k = 1", "mIoU, Z, k = 30"):
        assert 0 <= found["kNN segmentation", name] <= 100
    assert 0 <= found["factorization", "S to class, kNN"] <= 1
    assert "mIoU, U" in {name for test, name in found if test == "segmentation"}
