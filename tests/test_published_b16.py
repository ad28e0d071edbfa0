"""A whole ViT-B/16 of random numbers in the published layout, in a real cache of the hub: loaded
by its name, and held against the published network written down once more, the plain way, on the
published names.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

import stellar
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.objective import PretrainingModel

REFERENCE = Path(
    os.environ.get("STELLAR_REFERENCE", Path(__file__).parents[2] / "shared/reference")
)
LAYOUT = REFERENCE / "state_dict_b16_vq.json"
BENCHMARK = Path(__file__).parents[1] / "benchmarks/loading.py"
TOKENIZER = "maskgit-vqgan-imagenet-f16-256.bin"
pytestmark = pytest.mark.skipif(not LAYOUT.exists(), reason=f"no {LAYOUT.name} in {REFERENCE}")

MANIFEST = {
    "weights": "stellar-b16.safetensors", "embed_dim": 768, "num_sparse_tokens": 16,
    "num_decoder_layers": 6, "spatial_temp": 0.06, "do_cls": True, "num_clusters": 16384,
    "patch_size": 16, "image_size": 224, "recon_type": "vq", "backbone": "vit-b16",
}  # fmt: skip


def random_state() -> dict[str, Tensor]:
    """Random numbers of a trained network's size: every norm and bias counts."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in json.loads(LAYOUT.read_text()).items():
        is_norm = "layernorm" in name and name.endswith("weight")
        scale = 1.0 if "gaussian" in name or name.endswith("layer.weight") else 0.05
        noise = torch.randn(shape, generator=generator) * scale
        state[name] = 1 + 4 * noise if is_norm else noise
    return state


@pytest.fixture(scope="module")
def cache(
    tmp_path_factory: pytest.TempPathFactory, place_in_hub_cache: Callable[..., Path]
) -> Iterator[Path]:
    """A hub cache with the model, its manifest and a (small) tokenizer of factor 16."""
    folder = tmp_path_factory.mktemp("hub")
    save_file(random_state(), folder / "weights")
    (folder / "manifest").write_text(json.dumps({"models": {"stellar-b16": MANIFEST}}))
    torch.manual_seed(0)
    tokenizer = VQGANConfig(channels=32, multipliers=(1, 1, 1, 1, 1), num_blocks=1, code_dim=8)
    torch.save(VQGAN(tokenizer).state_dict(), folder / "tokenizer")
    files = {"config.json": folder / "manifest", MANIFEST["weights"]: folder / "weights"}
    place_in_hub_cache(folder, "microsoft/STELLAR", files)
    place_in_hub_cache(folder, "fun-research/TiTok", {TOKENIZER: folder / "tokenizer"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield folder


def norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-12).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def layer(x: Tensor, state: dict[str, Tensor], name: str, heads: int) -> Tensor:
    y = norm(x, state, f"{name}.layernorm_before")
    q, k, v = (
        linear(y, state, f"{name}.attention.attention.{part}").unflatten(-1, (heads, -1))
        for part in ("query", "key", "value")
    )
    scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1] ** 0.5
    mixed = torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v).flatten(2)
    x = x + linear(mixed, state, f"{name}.attention.output.dense")
    hidden = linear(norm(x, state, f"{name}.layernorm_after"), state, f"{name}.intermediate.dense")
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    return x + linear(gelu, state, f"{name}.output.dense")


def transformer(x: Tensor, state: dict[str, Tensor], name: str, depth: int, heads: int) -> Tensor:
    for index in range(depth):
        x = layer(x, state, f"{name}.encoder.layer.{index}", heads)
    return norm(x, state, f"{name}.layernorm")


def recompute(images: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published network, from images in [0, 1] to the logits of its codes."""
    mean, std = (
        torch.tensor(numbers)[:, None, None]
        for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    embeddings = "encoder.embeddings"
    patches = F.conv2d(
        (images - mean) / std,
        state[f"{embeddings}.patch_embeddings.projection.weight"],
        state[f"{embeddings}.patch_embeddings.projection.bias"],
        stride=16,
    ).flatten(2).transpose(1, 2)  # fmt: skip
    cls = state[f"{embeddings}.cls_token"].expand(len(images), -1, -1)
    x = torch.cat([cls, patches], dim=1) + state[f"{embeddings}.position_embeddings"]
    x = torch.cat([x, state["sparse_tokens"].expand(len(images), -1, -1)], dim=1)
    x = transformer(x, state, "encoder", 12, 12)
    cls, dense, sparse = x[:, 0], x[:, 1:197], x[:, 197:]
    u, s = linear(dense, state, "dense_proj"), linear(sparse, state, "sparse_proj")
    u, s = u / u.norm(dim=-1, keepdim=True), s / s.norm(dim=-1, keepdim=True)
    spatial = (torch.einsum("bpd,bkd->bpk", u, s) / 0.06).softmax(-1)
    lowrank = torch.einsum("bpk,bkd->bpd", spatial, sparse)
    centres = (torch.arange(14) + 0.5) / 14
    xy = torch.stack([centres.repeat(14), centres.repeat_interleave(14)], dim=1)
    matrix = state["position_embedding.positional_encoding_gaussian_matrix"]
    angle = 2 * torch.pi * ((2 * xy - 1) @ matrix)
    position = torch.empty(196, 512)
    position[:, 0::2], position[:, 1::2] = angle.sin(), angle.cos()
    drawn = linear(lowrank, state, "decoder_proj") + position
    drawn = transformer(drawn, state, "decoder", 6, 8)
    logits = linear(drawn, state, "reconstruction_head")
    return {
        "cls": cls, "sparse": sparse, "dense": dense, "spatial": spatial, "lowrank": lowrank,
        "logits": logits,
    }  # fmt: skip


@torch.no_grad()
def test_a_model_by_its_name_equals_the_plain_computation(cache: Path) -> None:
    model, images = stellar.load("stellar-b16"), torch.rand(1, 3, 224, 224)
    (file,) = cache.glob("models--microsoft--STELLAR/snapshots/*/stellar-b16.safetensors")
    expected = recompute(images, load_file(file))
    factors = model.encode(images)
    logits = model.decoder(factors.lowrank, factors.grid)
    for name, value in expected.items():
        actual = logits if name == "logits" else getattr(factors, name)
        error = (actual - value).abs().max() / value.abs().max()
        assert error < 1e-4, f"{name}: {error:.1e}"
    assert model.tokenizer is not None
    codes = expected["logits"].argmax(dim=2)
    assert torch.allclose(model.reconstruct(factors), model.tokenizer.decode(codes, (14, 14)))


def test_it_goes_back_name_for_name_and_bit_for_bit(cache: Path, tmp_path: Path) -> None:
    model = stellar.load("stellar-b16", purpose="pretrain")
    assert isinstance(model, PretrainingModel)
    written = load_file(stellar.save_published(model, tmp_path, "stellar-b16"))
    (file,) = cache.glob("models--microsoft--STELLAR/snapshots/*/stellar-b16.safetensors")
    published = load_file(file)
    assert written.keys() == published.keys()
    for name, tensor in published.items():
        used = not ("pooler" in name or name.startswith("decoder.embeddings"))
        assert torch.equal(written[name], tensor if used else torch.zeros_like(tensor)), name
    manifest = json.loads((tmp_path / "config.json").read_text())["models"]["stellar-b16"]
    assert {**manifest, "backbone": "vit-b16"}.items() >= MANIFEST.items()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_in_memory_once_and_soon(cache: Path) -> None:
    """Under 2 s of computing and 1.2 times the weights, in a process that has only imported."""
    environment = {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(BENCHMARK), "--model", "stellar-b16", "--measure", "encode"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    _, cpu_seconds, weights, peak = map(float, done.stdout.split())
    assert weights > 300 * 2**20
    assert cpu_seconds < 2
    assert peak < 1.2 * weights
