"""MOVi as TFRecord files, which Google's protocol buffers write here."""

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

from stellar.config import ModelConfig
from stellar.data import DataError, MaskedSplits, open_data
from stellar.data.labelled.tfrecord import features_of
from stellar.evaluation.evaluate import fingerprint_of
from stellar.images import UnreadableImage

FRAMES = 24


def _example_class() -> Any:
    """tf.train.Example, of fields and types as TensorFlow declares them."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")

    def declare(parent: Any, name: str, *fields: tuple[str, int, int, str]) -> Any:
        message = parent.add(name=name)
        for number, (field, kind, label, of) in enumerate(fields, start=1):
            message.field.add(
                name=field, number=number, type=kind, label=label, type_name=of or None
            )
        return message

    one, many, nested = types.LABEL_OPTIONAL, types.LABEL_REPEATED, types.TYPE_MESSAGE
    declare(file.message_type, "BytesList", ("value", types.TYPE_BYTES, many, ""))
    declare(file.message_type, "FloatList", ("value", types.TYPE_FLOAT, many, ""))
    declare(file.message_type, "Int64List", ("value", types.TYPE_INT64, many, ""))
    lists = ("bytes_list", "float_list", "int64_list")
    kinds = (".t.BytesList", ".t.FloatList", ".t.Int64List")
    declare(
        file.message_type, "Feature",
        *((name, nested, one, kind) for name, kind in zip(lists, kinds, strict=True)),
    )  # fmt: skip
    features = declare(
        file.message_type, "Features", ("feature", nested, many, ".t.Features.FeatureEntry")
    )
    entry = declare(
        features.nested_type, "FeatureEntry",
        ("key", types.TYPE_STRING, one, ""), ("value", nested, one, ".t.Feature"),
    )  # fmt: skip
    entry.options.map_entry = True
    declare(file.message_type, "Example", ("features", nested, one, ".t.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = _example_class()


def example(features: Mapping[str, list]) -> bytes:
    """Serialized; the type of its first value is that of a list."""
    message = EXAMPLE()
    for name, values in features.items():
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}[type(values[0])]
        getattr(message.features.feature[name], kind).value.extend(values)
    return message.SerializeToString()


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def write_records(path: Path, records: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = (len(data).to_bytes(8, "little") + b"crc1" + data + b"crc2" for data in records)
    path.write_bytes(b"".join(parts))


def segmentation(frame: int) -> np.ndarray:
    return np.roll(np.array([[0, 1, 2, 0], [0, 1, 2, 2]], np.uint8), frame, axis=1)


def video(**labels: list) -> dict[str, list]:
    """Frames whose grey is their number, and what else lies in a record."""
    return {
        "metadata/video_name": [b"7"],
        "depth": [bytes(300)] * FRAMES,
        "camera/focal_length": [35.0],
        "instances/visibility": [300, 0, 70_000],
        "video": [png(np.full((2, 4, 3), 10 * t, np.uint8)) for t in range(FRAMES)],
        "segmentations": [png(segmentation(t)) for t in range(FRAMES)],
        **{f"instances/{name}": values for name, values in labels.items()},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Two files of three training videos in all, and one video for validation."""

    def made(variant: str, content: dict[str, list]) -> Path:
        root = tmp_path / variant / "128x128/1.0.0"
        record = example(content)
        for number, records in enumerate(([record, record], [record])):
            file = root / f"{variant}-train.tfrecord-{number:05}-of-00002"
            write_records(file, records)
        write_records(root / f"{variant}-validation.tfrecord-00000-of-00001", [record])
        (root / "features.json").write_text("{}")
        return root

    return made


def opened(root: Path) -> MaskedSplits:
    splits = open_data(root, ModelConfig())
    assert isinstance(splits, MaskedSplits)
    return splits


def test_every_frame_is_tested_and_one_of_each_video_learned(write: Callable[..., Path]) -> None:
    root = write("movi_e", video(category=[1, 14]))
    splits = opened(root)
    assert (len(splits.train), len(splits.test)) == (3, FRAMES)
    assert [splits.train.read(i).unique().tolist() for i in range(3)] == [[0], [10], [20]]
    for number in range(FRAMES):
        assert splits.test.read(number).shape == (3, 2, 4)
        assert splits.test.read(number).unique().tolist() == [10 * number]
        masks = splits.test.masks(number)
        expected = segmentation(number)
        assert masks.instances.tolist() == expected.tolist()
        assert masks.classes.tolist() == np.array([0, 2, 15])[expected].tolist()
    assert splits.classes[:3] == ("background", "Action Figures", "Bag")
    assert len(splits.classes) == 18
    assert "movi_e" in splits.description
    assert len(opened(root.parent).test) == FRAMES
    copy = pickle.loads(pickle.dumps(splits.test))
    assert copy.masks(3).classes.equal(splits.test.masks(3).classes), "in another process"
    assert splits.test.name(5).startswith("movi_e-validation.tfrecord-00000-of-00001, byte 12")


def test_other_records_of_the_same_places_have_another_fingerprint(
    write: Callable[..., Path],
) -> None:
    before = fingerprint_of(opened(write("movi_e", video(category=[1, 14]))))
    assert fingerprint_of(opened(write("movi_e", video(category=[1, 14])))) == before
    assert fingerprint_of(opened(write("movi_e", video(category=[1, 13])))) != before


@pytest.mark.parametrize("as_text", [False, True])
def test_shapes_and_colours_as_numbers_or_as_names(
    write: Callable[..., Path], as_text: bool
) -> None:
    numbers = {"shape_label": [2, 0], "color_label": [7, 1]}
    texts = {"shape_label": [b"sphere", b"cube"], "color_label": [b"yellow", b"brown"]}
    splits = opened(write("movi_a", video(**(texts if as_text else numbers))))
    masks = splits.test.masks(0)
    assert splits.classes == ("background", "cube", "cylinder", "sphere")
    assert masks.classes.tolist() == [[0, 3, 1, 0], [0, 3, 1, 1]]
    assert masks.labels == {"colour": (7, 1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (video(), "its record lacks instances/category"),
        (video(category=[1]), "not all of its objects are of a known kind"),
        (video(category=[1, 17]), "not all of its objects are of a known kind"),
        (video(category=[b"Bag", b"Cat"]), "not all of its objects are of a known kind"),
        (video(category=[1, 2]) | {"segmentations": [b"no PNG"]}, "cannot read movi_e-"),
        (video(category=[1, 2]) | {"segmentations": [1]}, "holds numbers where PNG files are"),
        (
            video(category=[1, 2]) | {"segmentations": [png(np.zeros((1, 4), np.uint8))]},
            "its mask is 4 x 1, but its picture is 4 x 2",
        ),
    ],
)
def test_what_is_wrong_is_named(
    write: Callable[..., Path], content: dict[str, list], message: str
) -> None:
    with pytest.raises(UnreadableImage, match=message):
        opened(write("movi_e", content))


def test_frames_that_are_not_there_are_counted(write: Callable[..., Path]) -> None:
    content = video(category=[1, 2])
    source = opened(write("movi_e", content | {"video": content["video"][:12]})).test
    assert source.read(11).unique().tolist() == [110]
    with pytest.raises(UnreadableImage, match="its record holds 12 frames, not 24"):
        source.read(12)


def test_every_object_needs_every_label(write: Callable[..., Path]) -> None:
    with pytest.raises(UnreadableImage, match="1 have a colour, but 2 are seen"):
        opened(write("movi_a", video(shape_label=[1, 2], color_label=[1])))


def test_the_folder_is_any_one_of_the_tree(write: Callable[..., Path], tmp_path: Path) -> None:
    write("movi_e", video(category=[1, 2]))
    for folder in ("", "movi_e", "movi_e/128x128", "movi_e/128x128/1.0.0"):
        assert len(opened(tmp_path / folder).test) == FRAMES
    write("movi_d", video(category=[1, 2]))
    several = r"several data sets of MOVi; choose one of movi_d/128x128/1\.0\.0, movi_e/128x128/1"
    with pytest.raises(DataError, match=several):
        opened(tmp_path)
    assert "movi_e" in opened(tmp_path / "movi_e").description


def test_what_is_missing_or_cut_off_is_named(write: Callable[..., Path]) -> None:
    root = write("movi_e", video(category=[1, 2]))
    file = root / "movi_e-validation.tfrecord-00000-of-00001"
    content = file.read_bytes()
    for size in (len(content) - 1, 5):
        file.write_bytes(content[:size])
        with pytest.raises(DataError, match="is cut off, or no TFRecord file"):
            opened(root)
    file.unlink()
    with pytest.raises(DataError, match="holds no videos of movi_e-validation; expected MOVi as"):
        opened(root)


def test_damaged_examples_are_no_surprise() -> None:
    """Whatever byte is wrong: features, or a ValueError."""
    names = ("segmentations", "instances/category")
    small = {"segmentations": [b"abc"] * 3, "instances/category": [1, 300], "depth": [0.5]}
    whole = example(small)
    assert features_of(memoryview(whole), names)["instances/category"] == [1, 300]
    for place in range(len(whole)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            damaged = whole[:place] + bytes([value]) + whole[place + 1 :]
            for part in (damaged, whole[:place]):
                try:
                    features_of(memoryview(part), names)
                except ValueError:
                    continue
