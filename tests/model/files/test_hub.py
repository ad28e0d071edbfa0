"""Files from the hub's cache, in its true layout; nothing here reaches a network."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import save_file

from stellar.model.files.hub import fetch
from stellar.model.files.strict_loading import WeightsError

Place = Callable[..., Path]


def test_cached_files_are_found_offline(
    hub_cache: Path, tmp_path: Path, place_in_hub_cache: Place
) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    (tmp_path / "config.json").write_text("{}")
    files = {name: tmp_path / name for name in ("config.json",)}
    snapshot = place_in_hub_cache(
        hub_cache, "me/model", files | {"model.safetensors": tmp_path / "x.safetensors"}
    )
    assert fetch("me/model").samefile(snapshot)
    assert fetch("me/model", local_files_only=True, patterns=("config.json",)).samefile(snapshot)
    assert fetch("me/model", revision=snapshot.name).samefile(snapshot)


def test_a_revision_is_another_snapshot(
    hub_cache: Path, tmp_path: Path, place_in_hub_cache: Place
) -> None:
    for branch in ("main", "v1"):
        save_file({"a": torch.full((2,), float(len(branch)))}, tmp_path / "x")
        place_in_hub_cache(hub_cache, "me/model", {"model.safetensors": tmp_path / "x"}, branch)
    assert fetch("me/model") != fetch("me/model", revision="v1")
    with pytest.raises(WeightsError, match="me/model at v2 can be had neither"):
        fetch("me/model", revision="v2")


def test_pickles_do_where_there_are_no_safetensors(
    hub_cache: Path, tmp_path: Path, place_in_hub_cache: Place
) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x")
    place_in_hub_cache(hub_cache, "me/old", {"pytorch_model.bin": tmp_path / "x"})
    assert (fetch("me/old") / "pytorch_model.bin").is_file()


def test_a_cache_that_lacks_the_file(
    hub_cache: Path, tmp_path: Path, place_in_hub_cache: Place
) -> None:
    (tmp_path / "x").write_text("{}")
    place_in_hub_cache(hub_cache, "me/half", {"config.json": tmp_path / "x"})
    with pytest.raises(WeightsError, match=r"no stellar\.safetensors is there"):
        fetch("me/half", patterns=("stellar.safetensors",))


@pytest.mark.parametrize("repo", ["me/never", "a/b/c", "not a name"])
def test_what_cannot_be_had_gets_a_sentence(hub_cache: Path, repo: str) -> None:
    with pytest.raises(WeightsError, match="can be had neither from the cache nor") as caught:
        fetch(repo)
    assert "\n" not in str(caught.value)
    assert not hub_cache.exists()


def test_no_connection_gets_a_sentence(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not offline by choice, but nobody answers."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to anywhere")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsError, match="can be had neither from the cache nor"):
        fetch("me/never")
    assert not hub_cache.exists()


def test_an_error_without_a_word_gets_a_sentence(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As timeouts are."""

    def wait(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", wait)
    with pytest.raises(WeightsError, match=r"the Hugging Face hub \(TimeoutError\); check"):
        fetch("me/never")
    assert not hub_cache.exists()


@pytest.mark.parametrize("proxy", ["socks5://localhost:1", "socks://localhost:1", "nonsense"])
def test_a_proxy_that_cannot_be_used_is_one_sentence(proxy: str, tmp_path: Path) -> None:
    """The hub's library raises ImportError for one, ValueError for another."""
    environment = {
        **os.environ,
        "ALL_PROXY": proxy,
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    call = [sys.executable, "-m", "stellar", "info", "stellar-b16"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "can be had neither from the cache nor from the Hugging Face hub" in done.stderr
    assert "Traceback" not in done.stderr
