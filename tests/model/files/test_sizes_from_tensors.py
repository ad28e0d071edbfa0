"""Sizes of published files, read off their tensors."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stellar
from stellar.cli import main
from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.strict_loading import WeightsError
from stellar.objective import PretrainingModel


def test_saved_in_the_published_layout_and_loaded_without_its_manifest(tmp_path: Path) -> None:
    """Sizes are read off the tensors, for the widths whose heads are known."""
    decoder = DecoderConfig(target="pixels", embed_dim=192, depth=1, num_heads=3)
    config = ModelConfig(
        image_size=32, patch_size=8, embed_dim=192, depth=2, num_heads=3, num_sparse_tokens=4,
        decoder=decoder,
    )  # fmt: skip
    model = Stellar(config)
    file = stellar.save_published(model, tmp_path / "new", "mine")
    (file.parent / "config.json").unlink()
    loaded = stellar.load(file)
    assert loaded.config == config
    assert fingerprint(loaded) == fingerprint(model)


def test_a_width_of_unknown_heads_needs_a_manifest(tmp_path: Path, small: ModelConfig) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(WeightsError, match="number of attention heads at width 24"):
        stellar.load(file)


@pytest.mark.parametrize(("field", "part"), [("do_recon", "decoder"), ("do_clustering", "heads")])
def test_a_manifest_says_what_the_file_holds(
    tmp_path: Path, small: ModelConfig, field: str, part: str
) -> None:
    """An entry that promises what is not there, or denies what is, is another file's."""
    model = PretrainingModel(small, ObjectiveConfig(num_prototypes=8))
    stellar.save_published(model if part == "heads" else Stellar(small), tmp_path)
    path = tmp_path / "config.json"
    manifest = json.loads(path.read_text())
    entry = manifest["models"]["stellar"]
    assert entry[field] is True
    assert entry["category"] == "main"
    entry[field] = False
    path.write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match=f"{field} is False in config.json and True in the"):
        stellar.load(tmp_path / "stellar.safetensors")


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("num_heads", (0, [], {}, "x", 5.5, True), "must say a whole number from 1 as num_heads"),
        ("num_decoder_heads", (0, "x"), "must say a whole number from 1 as num_decoder_heads"),
        ("spatial_temp", ("x", [], True), "must say a number as spatial_temp"),
        ("category", (None, [1], 5), "must say a text as category"),
        ("do_recon", ("true", 1, None, "a\nb\x1b[31m", "x" * 3000), "do_recon is .* and True in"),
        ("embed_dim", ("24", None, [1] * 3000), "embed_dim is .* and 24 in the tensors"),
        ("weights", ("other.safetensors",), "says nothing of stellar.safetensors, only of other"),
    ],
)
def test_odd_entries_get_one_short_sentence(
    tmp_path: Path, small: ModelConfig, field: str, values: tuple[Any, ...], message: str
) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    path = tmp_path / "config.json"
    manifest = json.loads(path.read_text())
    for value in values:
        manifest["models"]["stellar"][field] = value
        path.write_text(json.dumps(manifest))
        with pytest.raises(WeightsError, match=message) as caught:
            stellar.load(file)
        said = str(caught.value).replace(str(tmp_path), "")
        assert said.isprintable()
        assert len(said) < 250


def test_a_null_temperature_is_none_at_all(tmp_path: Path, small: ModelConfig) -> None:
    plain = replace(small, spatial_temperature=None)
    assert stellar.load(stellar.save_published(Stellar(plain), tmp_path)).config == plain


def test_an_empty_description_is_none(tmp_path: Path, small: ModelConfig) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="a stellar model: it has no table `model`"):
        stellar.load(file)


def test_the_category_stays_in_its_line(
    tmp_path: Path, small: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"main"', r'"a\nb\u001b[31m"'))
    assert main(["info", str(file)]) == 0
    assert re.search(r"category +a\\nb\\x1b\[31m\n", capsys.readouterr().out)


def test_the_category_is_told(
    tmp_path: Path, small: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    file = stellar.save_published(Stellar(small), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"main"', '"ablation"'))
    assert main(["info", str(file)]) == 0
    assert re.search(r"category +ablation\n", capsys.readouterr().out)
