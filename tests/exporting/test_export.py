"""Exported files compute what the model does, at every size, without torch; anything else is
refused and leaves nothing.
"""

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stellar import __version__
from stellar.cli.export import why_without_reconstruct
from stellar.config import ModelConfig
from stellar.errors import MissingPackage, UserError
from stellar.exporting import ExportError, export
from stellar.exporting.export import OLDEST
from stellar.exporting.formats import _quiet
from stellar.exporting.graphs import graphs
from stellar.model import VQGAN, Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.model.vqgan import VQGANConfig

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.skipif(torch.__version__ < OLDEST, reason=f"export needs torch {OLDEST}"),
]

DOCS = (Path(__file__).parents[2] / "docs/models.md").read_text()
RUN_WITHOUT_TORCH = """
import json, sys
import numpy as np
import onnxruntime
folder = sys.argv[1]
encode, reconstruct = (
    onnxruntime.InferenceSession(f"{folder}/pets-{name}.onnx") for name in ("encode", "reconstruct")
)
images = np.load(f"{folder}/images.npy")
cls, sparse, spatial, dense = encode.run(["cls", "sparse", "spatial", "dense"], {"images": images})
patch = json.loads(encode.get_modelmeta().custom_metadata_map["stellar"])["patch_size"]
grid = np.array(images.shape[2:], dtype=np.int64) // patch
inputs = {"sparse": sparse, "spatial": spatial, "grid": grid}
(drawn,) = reconstruct.run(["images"], inputs)
np.savez(f"{folder}/results.npz", cls=cls, sparse=sparse, spatial=spatial, dense=dense, drawn=drawn)
assert "torch" not in sys.modules
"""


@pytest.fixture
def codes(small: ModelConfig) -> Stellar:
    """A model with 6 px patches that draws the codes of a tokenizer with 4 px cells."""
    config = replace(
        small,
        depth=1,
        image_size=24,
        patch_size=6,
        decoder=replace(small.decoder, target="codes", num_codes=64),
    )
    sizes = VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1, code_dim=8, num_codes=64)
    return Stellar(config, VQGAN(sizes).eval())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.long
def test_onnx_runs_without_torch_and_computes_the_same(tmp_path: Path, small: ModelConfig) -> None:
    """Of a size and a batch that nothing was traced with, with every part that a model can have."""
    config = replace(
        small,
        depth=1,
        in_chans=4,
        image_mean=(0.1, 0.5, 0.9, 0.3),
        image_std=(0.2,) * 4,
        num_registers=2,
        layer_scale=True,
    )
    model = Stellar(config).requires_grad_(False)
    files = export(model, tmp_path / "pets.onnx")
    assert names(tmp_path) == {"pets-encode.onnx", "pets-reconstruct.onnx"}
    assert all(file.difference < 1e-4 for file in files)

    images = torch.rand(7, 4, 8, 28)
    np.save(tmp_path / "images.npy", images.numpy())
    subprocess.run([sys.executable, "-c", RUN_WITHOUT_TORCH, tmp_path], check=True)
    results = np.load(tmp_path / "results.npz")
    factors = model.encode(images)
    for name in ("cls", "sparse", "spatial", "dense"):
        np.testing.assert_allclose(results[name], getattr(factors, name).numpy(), atol=1e-4)
    np.testing.assert_allclose(results["drawn"], model.reconstruct(factors).numpy(), atol=1e-4)

    check_what_it_says_of_itself(tmp_path / "pets-encode.onnx", model)


@pytest.mark.long
@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_rotary_positions_are_exported_for_any_grid(
    tmp_path: Path, small: ModelConfig, format: str
) -> None:
    config = replace(small, depth=1, rope_theta=100.0, gated_mlp=True, num_registers=2)
    files = export(Stellar(config).requires_grad_(False), tmp_path / "pets", format)
    assert [file.path.stem for file in files] == ["pets-encode", "pets-reconstruct"]
    assert all(file.difference < 1e-4 for file in files)


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_a_model_without_tokens(tmp_path: Path, small: ModelConfig, format: str) -> None:
    model = Stellar(replace(small, depth=1, num_sparse_tokens=0)).requires_grad_(False)
    (file,) = export(model, tmp_path / "pets", format)
    assert file.difference < 1e-4


def test_what_another_model_drew_with_is_removed(
    tmp_path: Path, small: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    model = Stellar(replace(small, depth=1, num_sparse_tokens=0)).requires_grad_(False)
    for name in ("pets-reconstruct.pt2", "pets-reconstruct.onnx", "dogs-reconstruct.pt2"):
        (tmp_path / name).write_text("of another model")
    export(model, tmp_path / "pets", "torch-export")
    kept = {"pets-encode.pt2", "pets-reconstruct.onnx", "dogs-reconstruct.pt2"}
    assert names(tmp_path) == kept
    (told,) = [each.getMessage() for each in caplog.records if each.name.startswith("stellar")]
    assert told.startswith(f"{tmp_path / 'pets-reconstruct.pt2'} is removed")


@pytest.mark.parametrize("level", [logging.NOTSET, logging.ERROR])
def test_what_a_program_does_not_log_is_left_as_it_was(level: int) -> None:
    logging.disable(level)
    try:
        with _quiet():
            assert logging.root.manager.disable >= logging.WARNING
        assert logging.root.manager.disable == level
    finally:
        logging.disable(logging.NOTSET)


def check_what_it_says_of_itself(file: Path, model: Stellar) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    about = json.loads(session.get_modelmeta().custom_metadata_map["stellar"])
    assert about["model_sha256"] == fingerprint(model)
    assert about["stellar_version"] == __version__
    assert about["subtracted_inside"] == [0.1, 0.5, 0.9, 0.3]
    assert [axis.shape for axis in session.get_inputs()] == [["batch", 4, "height", "width"]]
    assert [(output.name, output.shape) for output in session.get_outputs()] == [
        ("cls", ["batch", 24]),
        ("sparse", ["batch", 3, 24]),
        ("spatial", ["batch", "patches", 3]),
        ("dense", ["batch", "patches", 24]),
    ]


def test_the_torch_export_of_the_docs_is_called_as_they_say(
    tmp_path: Path, small: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Stellar(replace(small, depth=1)).requires_grad_(False).eval()
    export(model, tmp_path / "photos", "torch-export")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL)
    (block,) = (block for block in blocks if "torch.export" in block)
    left: dict[str, Any] = {}
    exec(block, left)
    factors = model.encode(torch.zeros(1, 3, 96, 96))
    for name in ("cls", "sparse", "spatial", "dense"):
        assert torch.allclose(left[name], getattr(factors, name), atol=1e-4), name
    reconstruct = torch.export.load("photos-reconstruct.pt2").module()
    named = {name: left[name] for name in ("sparse", "spatial")}
    (images,) = reconstruct(**named, grid=torch.tensor(factors.grid))
    assert images.shape == (1, 3, 96, 96)


@pytest.mark.long
def test_torch_export_draws_codes(tmp_path: Path, codes: Stellar) -> None:
    files = export(codes, tmp_path / "pets", "torch-export")
    assert [file.path.name for file in files] == ["pets-encode.pt2", "pets-reconstruct.pt2"]
    encode, reconstruct = (torch.export.load(file.path).module() for file in files)
    factors = codes.encode(torch.rand(2, 3, 18, 30))
    assert encode(images=torch.rand(4, 3, 12, 36))[2].shape == (4, 2 * 6, 3)
    (drawn,) = reconstruct(
        sparse=factors.sparse, spatial=factors.spatial, grid=torch.tensor(factors.grid)
    )
    assert torch.allclose(drawn, codes.reconstruct(factors), atol=1e-4)
    assert not any("encoder" in name for name, _ in reconstruct.named_parameters())


def test_what_cannot_draw_is_encoded_only(small: ModelConfig, codes: Stellar) -> None:
    assert [graph.name for graph in graphs(codes)] == ["encode", "reconstruct"]
    codes.tokenizer = None
    without_tokens = Stellar(replace(small, num_sparse_tokens=0))
    for model in (codes, Stellar(small, draws=False), without_tokens):
        assert [graph.name for graph in graphs(model)] == ["encode"]


def test_the_command_says_why_there_is_no_reconstruct(small: ModelConfig, codes: Stellar) -> None:
    codes.tokenizer = None
    without_tokens = Stellar(replace(small, num_sparse_tokens=0))
    untaught = Stellar(small, draws=False)
    untaught.learned_to_draw = False
    assert "no tokens" in why_without_reconstruct(without_tokens)
    assert "no reconstruction term" in why_without_reconstruct(untaught)
    assert "--tokenizer FILE" in why_without_reconstruct(codes)


@pytest.mark.parametrize("weight", [1.01, float("nan")])
def test_a_graph_that_differs_is_refused(tmp_path: Path, small: ModelConfig, weight: float) -> None:
    model = Stellar(replace(small, depth=1))

    def change(_module: nn.Module, _inputs: object, result: torch.Tensor) -> torch.Tensor:
        return result if torch.compiler.is_exporting() else result * weight

    model.encoder.norm.register_forward_hook(change)
    (tmp_path / "pets-encode.pt2").write_text("an earlier one")
    with pytest.raises(ExportError, match="encode differs from the model by up to"):
        export(model, tmp_path / "pets", "torch-export")
    assert names(tmp_path) == {"pets-encode.pt2"}
    assert (tmp_path / "pets-encode.pt2").read_text() == "an earlier one"


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        ("pets.pt2", "onnx", r"pets.pt2 is a name for the format torch-export"),
        ("pets.onnx", "torch-export", r"end the name in .pt2"),
        ("nowhere/pets", "onnx", "nowhere does not exist"),
        ("long" * 75, "onnx", "long cannot be a path here"),
        ("name" * 60, "onnx", "reconstruct.onnx cannot be a path here"),
        ("pets", "onxx", "did you mean 'onnx'"),
    ],
)
def test_wrong_calls_get_a_sentence(
    tmp_path: Path, small: ModelConfig, path: str, format: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export(Stellar(small), tmp_path / path, format)
    assert names(tmp_path) == set()


def test_a_name_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gives one, got 'stellar-scenes'"):
        export("stellar-scenes", tmp_path / "pets")  # pyright: ignore


def test_missing_packages_are_named(
    tmp_path: Path, small: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackage, match=r"needs onnxscript: pip install"):
        export(Stellar(small), tmp_path / "pets")
    assert names(tmp_path) == set()


def test_checks_cover_other_batches_and_sizes(small: ModelConfig) -> None:
    for graph in graphs(Stellar(small)):
        shapes = [tuple(next(iter(inputs.values())).shape) for inputs in graph.checks]
        assert {1, 2} <= {shape[0] for shape in shapes}
        assert len(shapes) == len(set(shapes))
