"""Which file a name or a path stands for; what is on this machine, or nowhere, asks no network."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stellar.model.files.known_models import REPOSITORY
from stellar.model.files.locating import (
    WEIGHTS,
    find_file,
    find_weights,
    locate,
    locate_backbone,
    locate_model,
)
from stellar.model.files.strict_loading import WeightsError

STATE = {"a": torch.ones(2)}


def test_a_hub_id_is_looked_up_where_it_is_expected(
    tmp_path: Path, hub_cache: Path, place_in_hub_cache: Callable[..., Path]
) -> None:
    """A model of ours is named as hf://you/pets, so that no path is taken for it."""
    save_file(STATE, tmp_path / "x")
    snapshot = place_in_hub_cache(hub_cache, "you/pets", {WEIGHTS: tmp_path / "x"})
    for located in (locate("you/pets"), locate_backbone("you/pets"), locate_model("hf://you/pets")):
        assert located.from_hub
        assert located.path == snapshot / WEIGHTS
    with pytest.raises(WeightsError, match="you/pets does not exist"):
        locate_model("you/pets")
    for find in (locate, locate_model):
        with pytest.raises(WeightsError, match="holds several models; name one: stellar-b16"):
            find(REPOSITORY)


def test_a_path_that_exists_goes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("stellar-b16", "stellar-scenes", "you/pets"):
        Path(name).mkdir(parents=True)
        save_file(STATE, Path(name) / WEIGHTS)
        for find in (locate, locate_model, locate_backbone):
            located = find(name)
            assert located.path == Path(name) / WEIGHTS
            assert not located.from_hub


def test_folders_without_one_clear_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="found none"):
        find_file(tmp_path)
    for name in ("a.pth", "b.pth"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(WeightsError, match=r"found a\.pth, b\.pth; name one of them"):
        find_file(tmp_path)
    (tmp_path / "x.h5").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="is not a file of weights"):
        find_file(tmp_path / "x.h5")
    with pytest.raises(WeightsError, match="does not exist"):
        find_file(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_file_that_may_not_be_read(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]], name: str
) -> None:
    file = open_folder / name
    save_file(STATE, file) if file.suffix == ".safetensors" else torch.save(STATE, file)
    file.chmod(0)
    with without_rights(), pytest.raises(WeightsError, match="ermission denied"):
        find_file(file)


def test_a_folder_that_may_not_be_read(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0)
    with without_rights(), pytest.raises(WeightsError, match="cannot be read: Permission"):
        find_weights(open_folder / "closed")


@pytest.mark.parametrize("find", [locate, locate_backbone])
def test_a_model_in_a_folder_that_lets_nobody_look_is_not_called_missing(
    open_folder: Path,
    without_rights: Callable[[], AbstractContextManager[None]],
    find: Callable[[str], object],
) -> None:
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0)
    said = r"/closed cannot be read \(Permission denied\); make it readable"
    with without_rights(), pytest.raises(WeightsError, match=said):
        find(str(open_folder / "closed/run"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "stellar-scene",
            "published model; did you mean 'stellar-scenes'? Expected a run folder, ",
        ),
        ("runs/qqqq", "published model. Expected a run folder, "),
    ],
)
def test_what_is_no_model_is_said_in_whole_sentences(name: str, said: str) -> None:
    with pytest.raises(WeightsError) as error:
        locate_model(name)
    assert said in str(error.value)
