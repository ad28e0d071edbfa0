"""Agreement with the published code: values to 1e-5, gradients to 1e-4, for every file of the
reference folder.

The files hold weights, inputs and results that the published code computed on tiny models; their
sizes are in their metadata. The folder is named by STELLAR_REFERENCE, and stands beside the
checkout by default.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import stellar
from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig
from stellar.model.decoder import fourier_position
from stellar.model.files.published_layout import PUBLISHED
from stellar.model.files.strict_loading import load_weights
from stellar.objective import PretrainingModel, StepResult, Views, step
from stellar.objective.koleo import koleo
from stellar.objective.matching import match, transport_plan
from stellar.objective.sinkhorn import sinkhorn

FOLDER = Path(os.environ.get("STELLAR_REFERENCE", Path(__file__).parents[2] / "shared/reference"))
FILES = sorted(FOLDER.rglob("*.safetensors"))
pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no reference numbers in {FOLDER}; set STELLAR_REFERENCE to their folder"
)

# What the published code calls our terms; cls_loss is the sum of two, koleo_loss already has its
# weight.
LOSS_NAMES = {
    "MSE": ("reconstruction",),
    "VQ-CE": ("reconstruction",),
    "clustering_loss": ("token_clustering",),
    "cls_clustering_loss": ("cls_clustering",),
    "mask_loss": ("set_alignment",),
    "cls_loss": ("cls_masked", "cls_local"),
    "koleo_loss": ("koleo",),
}


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return tensors, json.loads(metadata.get("config", "{}"))


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def assert_close(actual: Tensor, expected: Tensor, relative: float = 1e-5) -> None:
    """The largest difference, relative to the largest value expected."""
    actual = actual.reshape(expected.shape).to(expected.dtype)
    scale = expected.abs().max().clamp_min(1e-8)
    error = ((actual - expected).abs().max() / scale).item()
    assert error < relative, f"relative error {error:.2e}"


class Reference:
    """One file: the model with its weights loaded, and the result of a training step with its
    gradients.
    """

    def __init__(self, path: Path) -> None:
        self.tensors, self.sizes = read(path)
        self.model = load(self.sizes, part(self.tensors, "weights."))
        if self.model.teacher is not None:
            before = PUBLISHED.read(part(self.tensors, "before."))
            load_weights(
                self.model.teacher, {n.removeprefix("teacher."): t for n, t in before.items()}
            )
            self.model.teacher.update(self.model, self.sizes["teacher_momentum"])
        self.result = self.run()

    def run(self) -> StepResult:
        images = part(self.tensors, "in.")
        masked = images["global_views"]
        return step(
            self.model,
            Views(
                full=images["image"],
                masked=masked.flatten(0, 1),
                keep=images["keep_ids"],
                local=images["local_views"].flatten(0, 1),
                second=masked[:, SECOND_VIEW],
            ),
            backward=lambda loss: loss.backward(),
        )


SECOND_VIEW = 1


def load(sizes: dict[str, Any], weights: dict[str, Tensor]) -> PretrainingModel:
    """The file's model as a user gets it: a published file with its sizes beside it, loaded."""
    with TemporaryDirectory() as folder:
        save_file(weights, Path(folder) / "model.safetensors")
        content = {name: asdict(config) for name, config in configs(sizes, weights).items()}
        (Path(folder) / "config.json").write_text(json.dumps(content))
        model = stellar.load(folder, purpose="pretrain")
    assert isinstance(model, PretrainingModel)
    return model


def configs(
    sizes: dict[str, Any], weights: dict[str, Tensor]
) -> dict[str, ModelConfig | ObjectiveConfig]:
    encoder, decoder = sizes["encoder"], sizes["decoder"]
    model = ModelConfig(
        image_size=encoder["image"],
        patch_size=encoder["patch"],
        embed_dim=encoder["hidden"],
        depth=encoder["layers"],
        num_heads=encoder["heads"],
        mlp_ratio=encoder["mlp"] / encoder["hidden"],
        num_sparse_tokens=sizes["num_sparse_tokens"],
        spatial_temperature=sizes.get("spatial_temp", 0.06),
        decoder=DecoderConfig(
            target="codes" if sizes["vq"] else "pixels",
            num_codes=len(weights["reconstruction_head.weight"]) if sizes["vq"] else 1024,
            embed_dim=decoder["hidden"],
            depth=sizes["num_decoder_layers"],
            num_heads=decoder["heads"],
            mlp_ratio=decoder["mlp"] / decoder["hidden"],
        ),
    )
    taught = sizes.get("momentum_teacher", False)  # then the published code aligns nothing globally
    objective = ObjectiveConfig(
        num_prototypes=sizes["num_clusters"],
        prototype_dim=sizes["prototype_dim"],
        head_hidden_dim=2048,
        teacher="constant" if taught else "none",
        global_alignment="published" if sizes.get("global_align") and not taught else "off",
    )
    return {"model": model, "objective": objective}


MODELS = [path for path in FILES if path.stem != "ops"]


@pytest.fixture(scope="module", params=MODELS, ids=lambda path: getattr(path, "stem", "none"))
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


def test_factors(reference: Reference) -> None:
    factors = reference.model.encode(reference.tensors["in.image"])
    for name in ("cls", "sparse", "spatial", "dense", "lowrank"):
        assert_close(getattr(factors, name), reference.tensors[f"out.{name}"])


def test_factors_at_another_size(reference: Reference) -> None:
    if "in.other_size" not in reference.tensors:
        pytest.skip("the file has no input of another size")
    factors = reference.model.encode(reference.tensors["in.other_size"])
    for name in ("cls", "sparse", "spatial", "dense"):
        assert_close(getattr(factors, name), reference.tensors[f"out.other_size.{name}"])


def test_decoder(reference: Reference) -> None:
    model, tensors = reference.model, reference.tensors
    factors = model.encode(tensors["in.image"])
    assert_close(model.decoder(factors.lowrank, factors.grid), tensors["out.x_hat"])
    if model.tokenizer is not None:
        assert torch.equal(model.codes(tensors["in.vq_image"]), tensors["out.codes"])
        assert_close(model.reconstruct(factors), tensors["out.decoded"])
    else:
        assert_close(model.reconstruct(factors), tensors["out.x_hat"].clamp(0, 1))


def test_losses(reference: Reference) -> None:
    terms = dict(reference.result.losses.present())
    for name, expected in part(reference.tensors, "loss.").items():
        if name == "total":
            assert_close(reference.result.total, expected)
        else:
            total = torch.stack([terms[ours] for ours in LOSS_NAMES[name]]).sum()
            assert_close(total * (0.1 if name == "koleo_loss" else 1.0), expected)


def test_gradients(reference: Reference) -> None:
    gradients = {n: p.grad for n, p in reference.model.named_parameters() if p.grad is not None}
    published = PUBLISHED.write(gradients)
    for name, expected in part(reference.tensors, "grad.").items():
        assert_close(published[name], expected, relative=1e-4)


def test_teacher_after_its_update(reference: Reference) -> None:
    if reference.model.teacher is None:
        pytest.skip("the file has no teacher")
    expected = PUBLISHED.read(part(reference.tensors, "weights."))
    for name, value in reference.model.teacher.state_dict().items():
        assert_close(value, expected[f"teacher.{name}"])


def test_weights_survive_the_way_there_and_back(reference: Reference) -> None:
    weights = part(reference.tensors, "weights.")
    again = PUBLISHED.write(PUBLISHED.read(weights))
    used = {name: tensor for name, tensor in weights.items() if not PUBLISHED.unused.match(name)}
    assert again.keys() == used.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in used.items())


@pytest.fixture(scope="module")
def ops() -> dict[str, Tensor]:
    path = FOLDER / "ops.safetensors"
    if not path.exists():
        pytest.skip(f"no {path.name} in {FOLDER}")
    return read(path)[0]


@pytest.mark.parametrize(("iterations", "scale"), [(1, 1.0), (3, 1.0), (10, 1.0), (3, 0.5)])
def test_sinkhorn(ops: dict[str, Tensor], iterations: int, scale: float) -> None:
    logits = ops["sinkhorn.in"]
    name = f"sinkhorn.out.{'' if scale == 1 else f'scale{scale}.'}{iterations}"
    assert_close(sinkhorn(logits, 1.0, iterations, scale).assignment(logits), ops[name])


def test_matching(ops: dict[str, Tensor]) -> None:
    prediction, target = ops["match.pred"], ops["match.target"]
    assert_close(transport_plan(prediction, target, 0.1, 5), ops["match.plan"])
    assert torch.equal(match(prediction, target, 0.1, 5), ops["match.index"])


def test_koleo(ops: dict[str, Tensor]) -> None:
    assert_close(koleo(ops["koleo.in"]), ops["koleo.out"])


def test_decoder_position(ops: dict[str, Tensor]) -> None:
    expected = ops["pos.out_h3w5c16"]
    position = fourier_position(ops["pos.matrix"], (expected.shape[1], expected.shape[2]))
    assert_close(position.T, expected)
