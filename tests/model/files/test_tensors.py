"""Files of weights by anyone: every usual form is read, and damage gets one sentence."""

import json
import os
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stellar.model.files.locating import find_file
from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tensors import open_state, read_state

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(4)}


class Code:
    """What a pickle may run when it is opened."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch was-run",)


def assert_read(path: Path) -> None:
    state = read_state(find_file(path))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in STATE.items())


def shard(folder: Path, suffix: str) -> None:
    """One file for each tensor, and the index that names them."""
    index = "model.safetensors" if suffix == ".safetensors" else "pytorch_model.bin"
    weight_map = {}
    for number, (name, tensor) in enumerate(STATE.items(), start=1):
        file = f"part-{number}-of-2{suffix}"
        if suffix == ".safetensors":
            save_file({name: tensor}, folder / file)
        else:
            torch.save({name: tensor}, folder / file)
        weight_map[name] = file
    (folder / f"{index}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_safetensors_alone_or_in_its_folder(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    assert_read(tmp_path / "model.safetensors")
    assert_read(tmp_path)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_torch_old_and_new(tmp_path: Path, suffix: str, zipped: bool) -> None:
    torch.save(STATE, tmp_path / f"x{suffix}", _use_new_zipfile_serialization=zipped)
    assert_read(tmp_path / f"x{suffix}")
    assert_read(tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards(tmp_path: Path, suffix: str) -> None:
    shard(tmp_path, suffix)
    assert_read(tmp_path)
    (tmp_path / f"part-2-of-2{suffix}").unlink()
    with pytest.raises(WeightsError, match=f"lacks part-2-of-2{suffix}"):
        read_state(find_file(tmp_path))


def test_an_index_that_names_a_tensor_elsewhere(tmp_path: Path) -> None:
    shard(tmp_path, ".safetensors")
    save_file({"c": torch.ones(1)}, tmp_path / "part-2-of-2.safetensors")
    with pytest.raises(WeightsError, match=r"b\.bias is not in part-2-of-2\.safetensors"):
        read_state(find_file(tmp_path))


def test_an_index_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    save_file(STATE, tmp_path / "outside.safetensors")
    index = {"weight_map": {"a.weight": "../outside.safetensors"}}
    (inside / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"lacks outside\.safetensors"):
        read_state(find_file(inside))


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """A tensor whose bytes are gone harms nobody who does not need it."""
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(4), "z": torch.ones(100_000)}, path)
    state = open_state(path)
    os.truncate(path, path.stat().st_size - 100_000)
    assert set(state) == {"a", "z"}
    assert torch.equal(state["a"], torch.ones(4))


def test_tensors_do_not_change_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(10_000)}, path)
    tensor = read_state(path)["a"]
    with path.open("r+b") as file:
        file.seek(-40_000, os.SEEK_END)
        file.write(bytes(40_000))
    assert torch.equal(tensor, torch.ones(10_000))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": dict(STATE), "hyper_parameters": Code()}
    torch.save(content, tmp_path / "zip.ckpt", pickle_protocol=protocol)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(content, protocol=protocol))
    for name in ("zip.ckpt", "plain.ckpt"):
        with pytest.raises(WeightsError, match="nothing of it was run"):
            read_state(tmp_path / name)
    assert not (tmp_path / "was-run").exists()


def damaged(folder: Path, how: str) -> Path:
    """A file or folder with one thing wrong."""
    save_file(STATE, folder / "good.safetensors")
    torch.save(STATE, folder / "good.pth")
    whole = {suffix: (folder / f"good{suffix}").read_bytes() for suffix in (".safetensors", ".pth")}
    contents: dict[str, tuple[str, bytes]] = {
        "cut short": ("x.safetensors", whole[".safetensors"][:-8]),
        "cut in its header": ("x.safetensors", whole[".safetensors"][:20]),
        "empty": ("x.safetensors", b""),
        "text": ("x.safetensors", b"hello" * 40),
        "pickle cut short": ("x.pth", whole[".pth"][:-60]),
        "pickle empty": ("x.pth", b""),
        "pickle of text": ("x.pth", b"hello" * 40),
    }
    if how in contents:
        name, content = contents[how]
        (folder / name).write_bytes(content)
        return folder / name
    others: dict[str, dict[str, Tensor | int]] = {"numbers": {"epoch": 3}, "no tensors": {}}
    torch.save(others[how], folder / "x.pth")
    return folder / "x.pth"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut short", "cannot be read as safetensors"),
        ("cut in its header", "cannot be read as safetensors"),
        ("empty", "cannot be read as safetensors"),
        ("text", "cannot be read as safetensors"),
        ("pickle cut short", "damaged or cut short"),
        ("pickle empty", "damaged or cut short"),
        ("pickle of text", "damaged"),
        ("numbers", "'epoch' is not a tensor"),
        ("no tensors", "holds no named tensors"),
    ],
)
def test_damage_gets_a_sentence(tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        read_state(damaged(tmp_path, how))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_opened_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "circle.safetensors").symlink_to("circle.safetensors")
    with pytest.raises(WeightsError, match="Too many levels of symbolic links"):
        read_state(tmp_path / "circle.safetensors")


def test_what_training_code_keeps_beside_the_weights_does_no_harm(tmp_path: Path) -> None:
    """Command lines, and numbers and arrays of numpy, as in checkpoints of MAE and DINO."""
    beside = {
        "args": Namespace(lr=np.float64(1e-3), sizes=[1, 2], name="vit"),
        "best": np.float32(0.5),
        "losses": np.arange(4.0),
        "epoch": np.int64(3),
    }
    torch.save({"model": STATE, **beside}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth").keys() == STATE.keys()
    # As numpy 1 named them.
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as old,
        zipfile.ZipFile(tmp_path / "b.pth", "w") as new,
    ):
        for name in old.namelist():
            content = old.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            new.writestr(name, content)
    assert read_state(tmp_path / "b.pth").keys() == STATE.keys()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_nothing_of_a_malicious_pickle_runs(tmp_path: Path) -> None:
    for number, content in enumerate((Evil(tmp_path / "x"), {"args": Evil(tmp_path / "x")})):
        torch.save({"model": STATE, "more": content}, tmp_path / f"{number}.pth")
        with pytest.raises(WeightsError, match="nothing of it was run"):
            read_state(tmp_path / f"{number}.pth")
        assert not (tmp_path / "x").exists()
