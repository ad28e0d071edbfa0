"""Calls and files that no command can do anything with: one sentence, exit code 1, and nothing left
behind.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import stellar
from stellar.cli import main
from stellar.config import ModelConfig
from stellar.model import Stellar

SHORT = "pretrain --data scenes --preset demo --training.steps 1 --training.num-workers 0"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("RGB", (48, 48), (name == "a" and "red") or "blue").save(
            tmp_path / f"pictures/{name}.png"
        )
    return tmp_path / "pictures"


def refused(call: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence that a call gets."""
    capsys.readouterr()
    assert main(call.split()) == 1
    told = capsys.readouterr().err
    assert told.startswith("stellar: error: ")
    assert told.count("\n") == 1
    return told


def test_what_is_closed_to_a_user_is_named(
    open_folder: Path,
    without_rights: Callable[[], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where no command has a sentence of its own, as for a place of the result."""
    (open_folder / "closed").mkdir()
    call = f"{SHORT} --out {open_folder}/closed/run"
    refused(f"{SHORT} --out {__file__}", capsys)  # all that is needed is imported now
    (open_folder / "closed").chmod(0)
    with without_rights():
        told = refused(call, capsys)
    assert f"error: {open_folder}/closed is closed to this user (Permission denied); " in told


@pytest.mark.parametrize(
    "setting",
    [
        *(f"model.{name} {value}" for name in ("patch-size", "embed-dim", "num-heads", "depth")
          for value in (0, -1, 10**26)),
        "model.mlp-ratio -1", "model.mlp-ratio nan", "model.mlp-ratio inf", "model.norm-eps -1",
        "model.norm-eps nan", "model.depth 2000", "model.num-registers 99999999999999999999",
        "model.decoder.embed-dim 0", "model.decoder.num-heads -1", "model.decoder.depth -1",
        "model.decoder.mlp-ratio nan", "model.decoder.num-codes -1", "views.local-size 0",
        "views.num-masked 99999999999999999999", "objective.num-prototypes 99999999999999999999",
        "objective.koleo-weight inf", "objective.target-temperature inf", "training.beta1 1",
        "training.beta2 nan", "training.seed 99999999999999999999", "training.learning-rate inf",
        "training.final-learning-rate -1", "training.weight-decay inf",
        "training.batch-size 99999999999999999999", "training.num-workers 1025",
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    """One sentence that names the setting, as of a run.toml."""
    told = refused(f"{SHORT} --out {tmp_path / 'run'} --{setting}", capsys)
    assert setting.split()[0].replace("-", "_") in told or "mlp_ratio" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "call",
    [
        "embed stellar-scenes {pictures} --out {out}.parquet --num-workers -1",
        "embed stellar-scenes {pictures} --out {out}.parquet --share ²/3",
        "embed stellar-scenes {pictures} --out {out}.parquet --share 1/" + 5000 * "3",
        "embed stellar-scenes {pictures} --out {out}.parquet --device meta",
        "embed stellar-scenes {out}{{0..99999999999}}.tar --out {out}.parquet",
        "shard {pictures} --out {out} --seed -1",
        "shard {pictures} --out {out} --shard-size 99999999999999999999",
        "shard {pictures} --out {pictures}",
        "cost tiny --images inf",
        "export stellar-scenes --format torch-export --out {pictures}",
        "reconstruct stellar-scenes {pictures}/a.png --out {pictures}/a.png",
        "reconstruct stellar-scenes {pictures} --out {pictures}/sheet.png",
    ],
)
def test_calls_that_make_no_sense(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    before = {file: file.read_bytes() for file in pictures.iterdir()}
    refused(call.format(pictures=pictures, out=tmp_path / "out"), capsys)
    assert {file: file.read_bytes() for file in pictures.iterdir()} == before
    assert not list(tmp_path.glob("out*"))


def test_data_that_are_none_are_said_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    told = refused(f"evaluate nowhere --data= --out {out}", capsys)
    assert "expected a path or an address, got ''" in told
    refused(f"evaluate nowhere --data {tmp_path} --out {out}", capsys)
    for data, problem in (("", "expected a path or an address"), (tmp_path / "no", "not exist")):
        told = refused(
            f"align stellar-scenes --to nowhere --data={data} --out {out}.safetensors", capsys
        )
        assert problem in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["circle", "long", "through a file"])
def test_links_that_lead_nowhere_are_left_out(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    target = {"circle": "c.png", "long": "x" * 300, "through a file": "a.png/c.png"}[kind]
    (pictures / "c.png").symlink_to(target)
    out = tmp_path / "x.parquet"
    assert main(["embed", "stellar-scenes", str(pictures), "--out", str(out)]) == 0
    assert "1 could not be read" in capsys.readouterr().out
    assert out.with_name("x.parquet.unreadable.txt").read_text().startswith("c.png\t")
    (pictures / "c.png").unlink()
    out.unlink()
    assert main(["embed", "stellar-scenes", str(pictures), "--out", str(out)]) == 0
    assert not out.with_name("x.parquet.unreadable.txt").exists()


@pytest.mark.parametrize("name", ["a.csv", "folder/a.tar"])
def test_pipes_are_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / name)
    where = tmp_path / name if name.endswith("csv") else tmp_path / "folder"
    command = "evaluate stellar-scenes --data" if name.endswith("csv") else "embed stellar-scenes"
    assert main(f"{command} {where} --out {tmp_path / 'out'}".split()) == 1
    assert "no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["stdout", "both"])
def test_closed_streams_end_nothing(closed: str) -> None:
    command = f'exec "{sys.executable}" -m stellar --version >&-'
    done = subprocess.run(
        ["sh", "-c", command + (" 2>&-" if closed == "both" else "")], capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = stellar.load("stellar-scenes", purpose="reconstruct")
    name, tensor = next(iter(model.named_parameters()))
    with torch.no_grad():
        tensor.view(-1)[0] = float("nan")
    model.save_pretrained(tmp_path / "spoiled")
    with pytest.raises(stellar.UserError, match=f"not finite: {name}"):
        stellar.load(tmp_path / "spoiled")


def test_weights_without_tensors_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({}, tmp_path / "empty.safetensors")
    refused(f"info {tmp_path / 'empty.safetensors'}", capsys)


@pytest.mark.parametrize(
    "config",
    [
        "[" * 100_000,
        '{"model": {"patch_size": -1}}',
        '{"model": {"embed_dim": 1000000000000}}',
        '{"model": {"depth": 1000000000000}}',
        '{"model": {"mlp_ratio": -1}}',
    ],
)
def test_configurations_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str
) -> None:
    stellar.load("stellar-scenes").save_pretrained(tmp_path / "model")
    (tmp_path / "model/config.json").write_text(config)
    assert "config.json" in refused(f"info {tmp_path / 'model'}", capsys)


@pytest.mark.parametrize("wrong", ['"num_images": "many"', '"steps": -1', '"metrics": [1]'])
def test_a_history_that_makes_no_sense(tmp_path: Path, wrong: str) -> None:
    from stellar.model.files.config_json import read_history
    from stellar.model.files.strict_loading import WeightsError

    whole = '"data": "", "num_images": 1, "init": "", "steps": 1, "total_steps": 1, "batch_size": 1'
    (tmp_path / "config.json").write_text(f'{{"history": {{{whole}, {wrong}}}}}')
    with pytest.raises(WeightsError, match="tells no history that can be read"):
        read_history(tmp_path / "config.json")


def test_a_class_that_cannot_be_read_is_told(
    tmp_path: Path, small: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    Stellar(small).save_pretrained(tmp_path / "model")
    for part in ("train", "val"):
        for label, colour in (("red", "red"), ("blue", "blue")):
            folder = tmp_path / "data" / part / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (48, 48), colour).save(folder / f"{number}.png")
    (tmp_path / "data/val/red/0.png").write_text("nothing")
    short = "--num-seeds 1 --epochs 1 --num-workers 0 --num-drawn 1"
    model, out = tmp_path / "model", tmp_path / "out"
    call = f"evaluate {model} --data {tmp_path / 'data'} --out {out} {short}"
    assert main(call.split()) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "1 of 6 test pictures could not be read and are left out, as val/red/0.png" in told
    for number in range(3):
        (tmp_path / f"data/train/red/{number}.png").write_text("nothing")
    assert "no train picture of the class red can be read" in refused(call, capsys)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("model", [None, 3, [], {}])
def test_what_names_no_model(model: Any) -> None:
    sentence = f"a model is a name or a path, as stellar-scenes or runs/photos, got {model}"
    with pytest.raises(stellar.UserError, match=f"{re.escape(sentence)}$"):
        stellar.load(model)
