"""`stellar.load`: by name from the hub's cache, by path, for a purpose; what is damaged gets one
sentence.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import stellar
from stellar.cli import main
from stellar.config import (
    ConfigError,
    DecoderConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    ViewConfig,
)
from stellar.data.sources import whole_path
from stellar.model import MissingDecoder, MissingTokenizer, Stellar
from stellar.model.files.config_json import CONFIG
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.known_models import REPOSITORY, TOKENIZER_FILE, TOKENIZER_REPOSITORY
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.published_layout import PUBLISHED
from stellar.model.files.saving import save_model
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel
from stellar.training.setup import prepare

Place = Callable[..., Path]
VQ = VQGANConfig(channels=32, multipliers=(1, 1, 1), num_blocks=1, code_dim=8, num_codes=20)


@pytest.fixture
def trained(small: ModelConfig, small_objective: ObjectiveConfig) -> PretrainingModel:
    return PretrainingModel(small, small_objective)


@pytest.fixture
def codes(small: ModelConfig) -> ModelConfig:
    """The small model, with a code head."""
    decoder = DecoderConfig(num_codes=20, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0)
    return replace(small, decoder=decoder)


@pytest.fixture
def published(tmp_path: Path, trained: PretrainingModel) -> Path:
    """A folder as the hub's repository is: manifest and safetensors."""
    stellar.save_published(trained, tmp_path / "published", "stellar-b16")
    return tmp_path / "published"


def place_published(cache: Path, folder: Path, place: Place, branch: str = "main") -> Path:
    return place(cache, REPOSITORY, {file.name: file for file in folder.iterdir()}, branch)


def assert_same(model: Stellar, other: Stellar) -> None:
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        ours, theirs = model.encode(images), other.encode(images)
    assert torch.equal(ours.dense, theirs.dense)
    assert torch.allclose(ours.spatial, theirs.spatial, atol=1e-6)


def test_a_published_name_comes_from_the_cache(
    hub_cache: Path, published: Path, trained: PretrainingModel, place_in_hub_cache: Place
) -> None:
    place_published(hub_cache, published, place_in_hub_cache)
    for local_files_only in (False, True):
        model = stellar.load("stellar-b16", local_files_only=local_files_only)
        assert_same(model, trained)
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(WeightsError, match="stellar-l16 is not among the models of microsoft"):
        stellar.load("stellar-l16")


def test_a_revision_pins_the_weights(
    hub_cache: Path, tmp_path: Path, small: ModelConfig, place_in_hub_cache: Place
) -> None:
    models = {"main": Stellar(small), "v1": Stellar(small)}
    for branch, model in models.items():
        stellar.save_published(model, tmp_path / branch, "stellar-b8")
        place_published(hub_cache, tmp_path / branch, place_in_hub_cache, branch)
    assert_same(stellar.load("stellar-b8"), models["main"])
    assert_same(stellar.load("stellar-b8", revision="v1"), models["v1"])
    for load in (stellar.load, stellar.load_backbone):
        with pytest.raises(WeightsError, match="a revision belongs to a published model"):
            load(tmp_path, revision="v1")


def test_what_is_not_cached_gets_a_sentence(hub_cache: Path) -> None:
    with pytest.raises(WeightsError, match="can be had neither from the cache nor"):
        stellar.load("stellar-h16")
    with pytest.raises(WeightsError, match="did you mean 'stellar-b16'"):
        stellar.load("stelar-b16")
    assert not hub_cache.exists()


def test_every_form_of_a_model_on_the_disk(
    tmp_path: Path, published: Path, trained: PretrainingModel
) -> None:
    ours, lightning = tmp_path / "ours", tmp_path / "lightning"
    for folder in (ours, lightning):
        folder.mkdir()
    save_model(ours, trained)
    state = PUBLISHED.write(trained.state_dict())
    torch.save(
        {"state_dict": {f"model.{name}": t for name, t in state.items()}, "global_step": 7},
        lightning / "last.ckpt",
    )
    (lightning / CONFIG).write_text((ours / CONFIG).read_text())
    for path in (
        ours, ours / WEIGHTS, published, published / "stellar-b16.safetensors", lightning,
        lightning / "last.ckpt", str(ours),
    ):  # fmt: skip
        assert_same(stellar.load(path), trained)


def test_a_folder_of_several_published_models_asks_which(
    published: Path, trained: PretrainingModel
) -> None:
    """Each of its files is loaded by its path."""
    file = published / "stellar-b16.safetensors"
    save_file(load_file(file), published / "stellar-l16.safetensors")
    manifest = json.loads((published / CONFIG).read_text())
    entry = manifest["models"]["stellar-b16"]
    manifest["models"]["stellar-l16"] = entry | {"weights": "stellar-l16.safetensors"}
    (published / CONFIG).write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="name one of them"):
        stellar.load(published)
    assert_same(stellar.load(published / "stellar-l16.safetensors"), trained)


def test_a_path_never_leads_to_a_network_call(
    tmp_path: Path, codes: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the tokenizer that a code head misses, and without offline mode."""

    def called(*_: object, **__: object) -> None:
        raise AssertionError("a network call")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, called)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    save_model(tmp_path, Stellar(codes))
    for purpose in ("encode", "reconstruct"):
        stellar.load(tmp_path, purpose=purpose)
    with pytest.raises(WeightsError, match="does not exist"):
        stellar.load("runs/nowhere")


def test_a_purpose_builds_what_it_needs(published: Path, trained: PretrainingModel) -> None:
    images = torch.rand(1, 3, 16, 16)
    encoder = stellar.load(published, purpose="encode")
    names = {name.split(".")[0] for name, _ in encoder.named_parameters()}
    assert names == {"encoder", "factorization"}
    assert_same(encoder, trained)
    with pytest.raises(MissingDecoder, match="purpose='reconstruct'"):
        encoder.reconstruct(encoder.encode(images))

    whole = stellar.load(published)
    assert type(whole) is Stellar
    with torch.no_grad():
        drawn = whole.reconstruct(whole.encode(images))
        assert torch.allclose(drawn, trained.reconstruct(trained.encode(images)), atol=1e-6)

    again = stellar.load(published, purpose="pretrain")
    assert isinstance(again, PretrainingModel)
    assert again.teacher is None
    assert all(parameter.requires_grad for parameter in again.parameters())
    state = trained.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    assert fingerprint(again) == fingerprint(encoder) == fingerprint(whole)


@pytest.mark.parametrize("layout", ["ours", "published"])
def test_a_teacher_comes_along(
    tmp_path: Path, small: ModelConfig, small_objective: ObjectiveConfig, layout: str
) -> None:
    objective = replace(small_objective, teacher="constant")
    model = PretrainingModel(small, objective)
    assert model.teacher is not None
    with torch.no_grad():
        model.teacher.encoder.cls_token.add_(1)
    if layout == "ours":
        save_model(tmp_path, model, {"objective": asdict(objective)})
    else:
        stellar.save_published(model, tmp_path)
    loaded = stellar.load(tmp_path, purpose="pretrain")
    assert isinstance(loaded, PretrainingModel)
    assert loaded.teacher is not None
    assert torch.equal(loaded.teacher.encoder.cls_token, model.teacher.encoder.cls_token)
    assert not any(parameter.requires_grad for parameter in loaded.teacher.parameters())
    assert loaded.encoder.cls_token.requires_grad


def test_a_loaded_model_learns_once_it_is_told_to(tmp_path: Path, small: ModelConfig) -> None:
    save_model(tmp_path, Stellar(small))
    model = stellar.load(tmp_path, purpose="encode").requires_grad_(True).train()
    model(torch.rand(2, 3, 16, 16)).sparse.mean(dim=1).sum().backward()
    assert model.encoder.cls_token.grad is not None


def test_without_heads_training_cannot_go_on(tmp_path: Path, small: ModelConfig) -> None:
    stellar.save_published(Stellar(small), tmp_path)
    assert_same(stellar.load(tmp_path), stellar.load(tmp_path, purpose="encode"))
    with pytest.raises(WeightsError, match="has no heads to go on training with"):
        stellar.load(tmp_path, purpose="pretrain")


def test_half_precision_files_give_a_model_in_full_precision(published: Path) -> None:
    file = published / "stellar-b16.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file)
    assert {p.dtype for p in stellar.load(published).parameters()} == {torch.float32}


def tokenizer_file(folder: Path) -> Path:
    torch.save(VQGAN(VQ).state_dict(), folder / TOKENIZER_FILE)
    return folder / TOKENIZER_FILE


def test_a_tokenizer_is_given_cached_or_missed(
    hub_cache: Path, tmp_path: Path, codes: ModelConfig, place_in_hub_cache: Place
) -> None:
    save_model(tmp_path, Stellar(codes))
    images = torch.rand(1, 3, 16, 16)
    without = stellar.load(tmp_path)
    with pytest.raises(MissingTokenizer, match="pass the path of maskgit-vqgan"):
        without.reconstruct(without.encode(images))
    given = stellar.load(tmp_path, tokenizer=tokenizer_file(tmp_path))
    drawn = given.reconstruct(given.encode(images))
    assert drawn.shape == images.shape
    place_in_hub_cache(hub_cache, TOKENIZER_REPOSITORY, {TOKENIZER_FILE: tmp_path / TOKENIZER_FILE})
    cached = stellar.load(tmp_path)
    assert torch.equal(cached.reconstruct(cached.encode(images)), drawn)
    assert stellar.load(tmp_path, purpose="encode").tokenizer is None


def test_a_tokenizer_of_other_codes_is_refused(
    hub_cache: Path, tmp_path: Path, codes: ModelConfig, place_in_hub_cache: Place
) -> None:
    """Before anything is trained for it, or drawn with it."""
    file = tokenizer_file(tmp_path)
    apart = replace(codes, decoder=replace(codes.decoder, num_codes=64))
    said = r"has 20 codes, and the decoder names 64 \(model.decoder.num_codes\); set them alike"
    save_model(tmp_path, Stellar(apart))
    with pytest.raises(WeightsError, match=said):
        stellar.load(tmp_path, tokenizer=file)
    own = replace(apart, decoder=replace(apart.decoder, tokenizer=str(file)))
    run = RunConfig(data="scenes", model=own, views=ViewConfig(local_size=8))
    with pytest.raises(stellar.UserError, match=said):
        prepare(run)
    place_in_hub_cache(hub_cache, TOKENIZER_REPOSITORY, {TOKENIZER_FILE: file})
    with pytest.raises(stellar.UserError, match=said):
        prepare(replace(run, model=apart))


def test_a_tokenizer_that_has_no_effect_is_said(
    tmp_path: Path, small: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    save_model(tmp_path, Stellar(small))
    assert stellar.load(tmp_path, tokenizer=tokenizer_file(tmp_path)).tokenizer is None
    assert f"no effect on {tmp_path}" in caplog.text


def test_a_run_finds_the_published_tokenizer(
    hub_cache: Path, tmp_path: Path, codes: ModelConfig, place_in_hub_cache: Place
) -> None:
    run = RunConfig(data="scenes", model=codes, views=ViewConfig(local_size=8))
    with pytest.raises(ConfigError, match=r"fun-research/TiTok .* set model.decoder.tokenizer"):
        prepare(run)
    place_in_hub_cache(hub_cache, TOKENIZER_REPOSITORY, {TOKENIZER_FILE: tokenizer_file(tmp_path)})
    found = prepare(run).model.tokenizer
    assert found is not None
    assert found.codes(torch.rand(1, 3, 16, 16)).shape == (1, 16)


def test_a_checkpoint_brings_its_own_tokenizer(tmp_path: Path, codes: ModelConfig) -> None:
    """As the published training code saved them, tokenizer and all."""
    model = Stellar(codes, VQGAN(VQ))
    state = {f"model.{name}": t for name, t in PUBLISHED.write(model.state_dict()).items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    save_model(tmp_path, model)
    (tmp_path / WEIGHTS).unlink()
    loaded, images = stellar.load(tmp_path / "last.ckpt"), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        drawn = model.reconstruct(model.encode(images))
        assert torch.allclose(loaded.reconstruct(loaded.encode(images)), drawn)


def test_weights_are_taken_not_copied(tmp_path: Path, small: ModelConfig) -> None:
    """A module on the meta device holds the very tensors that were read."""
    given = Stellar(small).state_dict()
    with torch.device("meta"):
        model = Stellar(small)
    load_weights(model, given)
    for name, tensor in model.state_dict().items():
        assert tensor.data_ptr() == given[name].data_ptr()
    save_model(tmp_path, model)
    assert_same(stellar.load(tmp_path), model)


class Code:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch was-run",)


def damage(folder: Path, how: str) -> Path:
    """The published folder with one thing wrong; what a user would then type."""
    file = folder / "stellar-b16.safetensors"
    state: dict[str, Tensor] = load_file(file)
    key = "encoder.encoder.layer.0.attention.attention.key.bias"
    if how == "cut short":
        os.truncate(file, file.stat().st_size // 2)
    elif how == "wrong shape":
        save_file(state | {"dense_proj.bias": torch.zeros(5)}, file)
    elif how == "wrong dtype":
        save_file(state | {"dense_proj.bias": torch.zeros(24, dtype=torch.int8)}, file)
    elif how == "renamed key":
        save_file({name.replace("dense_proj", "dense_prj"): t for name, t in state.items()}, file)
    elif how == "missing key":
        save_file({name: t for name, t in state.items() if name != key}, file)
    elif how == "missing shard":
        index = {"weight_map": dict.fromkeys(state, "model-1-of-2.safetensors")}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        file.unlink()
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "a pickle with code":
        torch.save({"state_dict": state, "hyper_parameters": Code()}, folder / "last.ckpt")
        return folder / "last.ckpt"
    elif how == "a directory":
        file.unlink()
        file.mkdir()
    elif how == "another model's manifest":
        manifest = json.loads((folder / CONFIG).read_text())
        manifest["models"]["stellar-b16"]["embed_dim"] = 1024
        (folder / CONFIG).write_text(json.dumps(manifest))
    elif how == "a broken manifest":
        (folder / CONFIG).write_text('{"models": [')
    elif how == "another network":
        save_file({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, file)
    return folder


DAMAGES = {
    "cut short": "cannot be read as safetensors",
    "wrong shape": "factorization.dense_proj.bias (5,) instead of (24,)",
    "wrong dtype": "not of floating point: factorization.dense_proj.bias torch.int8",
    "renamed key": "'dense_prj.bias' is not a parameter of a published STELLAR model",
    "missing key": "the weights lack encoder.blocks.0.attn.k.bias",
    "missing shard": "lacks model-1-of-2.safetensors",
    "empty": "cannot be read as safetensors",
    "a pickle with code": "nothing of it was run",
    "a directory": "holds no model",
    "another model's manifest": "embed_dim is 1024 in config.json and 24 in the tensors",
    "a broken manifest": "cannot be read as JSON",
    "another network": "is not a parameter of a published STELLAR model",
}


@pytest.mark.parametrize("command", ["info", "embed", "reconstruct", "convert"])
@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_files_get_a_sentence_and_leave_nothing(
    published: Path,
    how: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = published.parent / "here"
    (here / "photos").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(here / "photos/a.png")
    monkeypatch.chdir(here)
    arguments = {"info": [], "embed": ["photos"], "reconstruct": ["photos"]}.get(
        command, ["--out", "converted"]
    )
    model = damage(published, how)
    assert main([command, str(model), *arguments]) == 1
    error = capsys.readouterr().err
    assert DAMAGES[how] in error
    assert error.count("\n") == 1
    assert sorted(str(path) for path in Path().rglob("*")) == ["photos", "photos/a.png"]


def test_a_file_that_may_not_be_read(
    open_folder: Path,
    without_rights: Callable[[], AbstractContextManager[None]],
    small: ModelConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = stellar.save_published(Stellar(small), open_folder / "model")
    assert main(["info", str(file)]) == 0
    file.chmod(0)
    with without_rights():
        assert main(["info", str(file)]) == 1
    assert "cannot be read: Permission denied" in capsys.readouterr().err


def test_commands_take_names_and_revisions_offline(
    tmp_path: Path, published: Path, place_in_hub_cache: Place
) -> None:
    snapshot = place_published(tmp_path / "hub", published, place_in_hub_cache, "v1")
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "stellar", "info", "stellar-b16", "--revision", "v1"],
        capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{snapshot}/stellar-b16.safetensors" in done.stdout
    assert "12 prototypes" in done.stdout


def test_embed_and_reconstruct_take_a_name(
    hub_cache: Path,
    tmp_path: Path,
    published: Path,
    place_in_hub_cache: Place,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place_published(hub_cache, published, place_in_hub_cache)
    (tmp_path / "photos").mkdir()
    for name in "ab":
        Image.new("RGB", (20, 16), (200, 10, 10)).save(tmp_path / f"photos/{name}.png")
    photos, out = str(tmp_path / "photos"), str(tmp_path / "x.parquet")
    assert main(["embed", "stellar-b16", photos, "--out", out, "--num-workers", "0"]) == 0
    sheet = str(tmp_path / "sheet.png")
    assert main(["reconstruct", "stellar-b16", photos, "--out", sheet]) == 0
    assert "mean PSNR" in capsys.readouterr().out
    assert stellar.read_embeddings(out).tokens.shape == (2, 3, 24)


def test_convert_writes_what_is_loaded_again(tmp_path: Path, published: Path) -> None:
    out = tmp_path / "converted"
    assert main(["convert", str(published), "--out", str(out), "--name", "mine"]) == 0
    assert sorted(file.name for file in out.iterdir()) == [CONFIG, "mine.safetensors"]
    before, after = (
        load_file(file)
        for file in (published / "stellar-b16.safetensors", out / "mine.safetensors")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())


def test_a_run_starts_from_a_published_name(
    hub_cache: Path, published: Path, trained: PretrainingModel, place_in_hub_cache: Place
) -> None:
    place_published(hub_cache, published, place_in_hub_cache)
    config = RunConfig(
        data="scenes", init="stellar-b16", model=trained.config, objective=trained.objective,
        views=ViewConfig(local_size=8, masking_ratio=0.5),
    )  # fmt: skip
    assert_same(prepare(config).model, trained)


def test_devices_are_chosen_as_in_training(tmp_path: Path, small: ModelConfig) -> None:
    save_model(tmp_path, Stellar(small))
    chosen = stellar.load(tmp_path, device="auto").device
    assert chosen.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert stellar.load(tmp_path, device=torch.device("cpu")).device.type == "cpu"
    for unknown in ("gpu", ""):
        with pytest.raises(stellar.UserError, match=f"there is no device '{unknown}'; choose auto"):
            stellar.load(tmp_path, device=unknown)
    for device in ("meta", *(() if torch.cuda.is_available() else ("cuda",))):
        with pytest.raises(stellar.UserError, match=f"device '{device}' cannot be used .* choose"):
            stellar.load(tmp_path, device=device)


def test_home_is_a_tilde(
    tmp_path: Path, small: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what is read and for what is written."""
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home / "photos", here):
        folder.mkdir(parents=True)
    Image.new("RGB", (20, 16)).save(home / "photos/a.png")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    Stellar(small).save_pretrained("~/model")
    model = stellar.load(Path("~/model"))
    stellar.save_published(model, "~/published")
    stellar.embed(model, "~/photos", "~/photos.parquet")
    assert stellar.read_embeddings("~/photos.parquet").paths == ["a.png"]
    assert len(model.encode("~/photos/a.png").cls) == 1
    assert stellar.reconstruct(model, "~/photos").names == ["a.png"]
    assert whole_path("~/photos") == str(home / "photos")
    assert not list(here.iterdir())
    with pytest.raises(stellar.UserError, match=r"home folder .* not known|no such user"):
        stellar.load("~nobody-of-this-name/model")
