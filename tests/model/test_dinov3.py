"""DINOv3 and the gated MLPs of DINOv2-giant, in each naming, whole and in masked views; what of it
cannot be read is refused.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    Dinov2Config,
    Dinov2Model,
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
)

import stellar
from stellar.config import ModelConfig
from stellar.model.files.opening import open_backbone
from stellar.model.files.strict_loading import WeightsError
from stellar.model.stellar import Stellar

SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 20,
    "patch_size": 4,
}
DINOV3: dict[str, Any] = {**SIZES, "intermediate_size": 96, "num_register_tokens": 4}
GATED: dict[str, Any] = {**DINOV3, "use_gated_mlp": True, "hidden_act": "silu"}
GIANT: dict[str, Any] = {**SIZES, "mlp_ratio": 2, "use_swiglu_ffn": True}
HEAD_DIM = 64

# What transformers calls a tensor, and what the original code does.
ORIGINAL_NAMES = (
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.patch_embeddings(\.projection)?", "patch_embed.proj"),
    (r"^embeddings\.register_tokens", "storage_tokens"),
    (r"^embeddings\.", ""),
    (r"^layernorm", "norm"),
    (r"^(encoder\.)?layer\.", "blocks."),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    (r"attention\.(o_proj|output\.dense)", "attn.proj"),
    (r"attention\.(attention\.)?(query|q_proj)", "attn.qkv"),
    (r"mlp\.weights_in", "mlp.w12"),
    (r"mlp\.weights_out", "mlp.w3"),
)
GATES = (("gate_proj", "w1"), ("up_proj", "w2"), ("down_proj", "w3"))
PLAIN = (("up_proj", "fc1"), ("down_proj", "fc2"))
TIMM = (
    (r"storage_tokens", "reg_token"),
    (r"ls(\d)\.gamma", r"gamma_\1"),
    (r"mlp\.w12", "mlp.fc1"),
    (r"mlp\.w1\b", "mlp.fc1_g"),
    (r"mlp\.w2\b", "mlp.fc1_x"),
    (r"mlp\.w3", "mlp.fc2"),
)


def renamed(name: str, *tables: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in (row for table in tables for row in table):
        name = re.sub(pattern, replacement, name)
    return name


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """Every parameter random, and large enough for attention to tell places apart."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float("norm" in name and "weight" in name), std=0.1)
    return model.eval()


def original(model: PreTrainedModel, folder: Path) -> dict[str, Tensor]:
    """The weights of a model of transformers as DINOv2's and DINOv3's own code saves them: query,
    key and value fused, and a key bias that a mask takes out.
    """
    model.save_pretrained(folder)
    state, found = load_file(folder / "model.safetensors"), {}
    mlp = GATES if any("gate_proj" in name for name in state) else PLAIN
    for name, tensor in state.items():
        if re.search(r"attention\.(attention\.)?(k|v)", name):
            continue
        if re.search(r"query|q_proj", name):
            of_all = [re.sub("query|q(?=_proj)", part, name) for part in ("key", "value")]
            if "q_proj" in name:
                of_all = [name.replace("q_proj", part) for part in ("k_proj", "v_proj")]
            # What is masked is no zero in the file.
            parts = [state.get(part, torch.full_like(tensor, 9.0)) for part in of_all]
            tensor = torch.cat([tensor, *parts])
        found[renamed(name, ORIGINAL_NAMES, mlp)] = tensor
    if "storage_tokens" in found:
        mask = torch.ones(3, 128)
        mask[1] = 0
        found |= {f"blocks.{n}.attn.qkv.bias_mask": mask.flatten().clone() for n in range(2)}
        found["rope_embed.periods"] = 100.0 ** (torch.arange(16) / 16)
    return found


def timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same as timm names it, which knows of no bias of the keys."""
    found = {}
    for name, tensor in state.items():
        if name.endswith(("bias_mask", "mask_token", "periods")):
            continue
        if name.endswith("qkv.bias") and "storage_tokens" in state:
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                found[name.replace("qkv.bias", f"{part}_bias")] = rows.clone()
            del found[name.replace("qkv.bias", "k_bias")]
        else:
            table = TIMM if "storage_tokens" in state else TIMM[2:]
            found[renamed(name, table)] = tensor
    return found


@torch.no_grad()
def theirs(model: PreTrainedModel, pictures: Tensor) -> Tensor:
    """cls and patches after the final norm, by transformers; pictures in [0, 1]."""
    config = ModelConfig()
    mean, std = (torch.tensor(v)[:, None, None] for v in (config.image_mean, config.image_std))
    out = model((pictures - mean) / std).last_hidden_state
    count = pictures.shape[2] * pictures.shape[3] // 16
    return torch.cat([out[:, :1], out[:, -count:]], dim=1)


def assert_same(source: Path, model: PreTrainedModel) -> None:
    ours = stellar.load_backbone(source)
    for height, width in ((20, 20), (16, 28), (8, 4)):
        pictures = torch.rand(2, 3, height, width)
        factors = ours.encode(pictures)
        found = torch.cat([factors.cls.unsqueeze(1), factors.dense], dim=1)
        torch.testing.assert_close(found, theirs(model, pictures), atol=1e-5, rtol=1e-5)


MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "dinov3": lambda: DINOv3ViTModel(DINOv3ViTConfig(**DINOV3)),
    "dinov3 gated": lambda: DINOv3ViTModel(DINOv3ViTConfig(**GATED)),
    "dinov2 giant": lambda: Dinov2Model(Dinov2Config(**GIANT, layer_norm_eps=1e-6)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_original_naming(name: str, tmp_path: Path) -> None:
    """A hub file; a teacher beside a student, with blocks in chunks; and a norm for training."""
    model = randomised(MODELS[name]())
    state = original(model, tmp_path / "transformers")
    chunked = {
        f"backbone.{re.sub(r'^blocks.', 'blocks.0.', key)}": value for key, value in state.items()
    }
    student = {key: torch.zeros_like(value) for key, value in chunked.items()}
    contents = [state, {"teacher": chunked, "student": student}, {"model": chunked}]
    if "storage_tokens" in state:
        contents.append(state | {"local_cls_norm.weight": torch.zeros(128)})
        contents.append({f"teacher.{key}": value for key, value in chunked.items()})
    for number, content in enumerate(contents):
        torch.save(content, tmp_path / f"{number}.pth")
        assert_same(tmp_path / f"{number}.pth", model)


@pytest.mark.parametrize("name", MODELS)
def test_the_naming_of_timm(name: str, tmp_path: Path) -> None:
    model = randomised(MODELS[name]())
    save_file(timm(original(model, tmp_path / "theirs")), tmp_path / "model.safetensors")
    described = {"architecture": "vit", "pretrained_cfg": {"mean": [0.485, 0.456, 0.406]}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert_same(tmp_path, model)


def test_projections_without_biases(tmp_path: Path) -> None:
    """As in the largest of DINOv3, in its own naming and timm's: they are zero."""
    model = randomised(MODELS["dinov3 gated"]())
    for name, parameter in model.named_parameters():
        if re.search(r"[qv]_proj\.bias$", name):
            torch.nn.init.zeros_(parameter)
    state = original(model, tmp_path / "theirs")
    state = {name: tensor for name, tensor in state.items() if "qkv.bias" not in name}
    save_file(state, tmp_path / "model.safetensors")
    assert_same(tmp_path / "model.safetensors", model)
    save_file(timm(state), tmp_path / "model.safetensors")
    assert_same(tmp_path / "model.safetensors", model)


@pytest.mark.parametrize("name", ["dinov3", "dinov3 gated"])
@torch.no_grad()
def test_a_masked_view_is_their_blocks_on_the_patches_that_are_kept(
    name: str, tmp_path: Path
) -> None:
    model = MODELS[name]()
    assert isinstance(model, DINOv3ViTModel)
    randomised(model).save_pretrained(tmp_path)
    ours, pictures = stellar.load_backbone(tmp_path).encoder, torch.rand(2, 3, 16, 24)
    keep = torch.tensor([[0, 5, 17, 23], [3, 4, 9, 22]])
    found = ours(pictures, keep)
    pixels = (pictures - ours.mean) / ours.std
    cos, sin = model.rope_embeddings(pixels)
    for image, kept in enumerate(keep):
        tokens = model.embeddings(pixels[image : image + 1])
        tokens = torch.cat([tokens[:, :5], tokens[:, 5 + kept]], dim=1)
        blocks = model.model(tokens, position_embeddings=(cos[kept], sin[kept]))
        expected = model.norm(blocks.last_hidden_state)[0]
        torch.testing.assert_close(found.cls[image], expected[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.dense[image], expected[5:], atol=1e-5, rtol=1e-5)
    read = ours(pictures, keep, read="cls")
    torch.testing.assert_close(read.cls, found.cls)


def test_sizes_with_and_without_a_description(tmp_path: Path) -> None:
    """Only config.json says theta and epsilon; periods say how wide a head is."""
    config = DINOv3ViTConfig(**{**GATED, "rope_theta": 30.0, "layer_norm_eps": 1e-4})
    DINOv3ViTModel(config).save_pretrained(tmp_path)
    said = {"image_mean": [0.43, 0.41, 0.30], "image_std": [0.21, 0.18, 0.18]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    sizes = stellar.load_backbone(tmp_path).config
    assert (sizes.rope_theta, sizes.norm_eps, sizes.image_size) == (30.0, 1e-4, 20)
    assert (sizes.gated_mlp, sizes.hidden_dim, sizes.num_registers) == (True, 96, 4)
    assert (sizes.image_mean, sizes.layer_scale) == ((0.43, 0.41, 0.30), True)

    state = original(DINOv3ViTModel(DINOv3ViTConfig(**DINOV3)), tmp_path / "theirs")
    state["rope_embed.periods"] = (100.0 ** (torch.arange(8) / 8)).bfloat16()
    (tmp_path / "alone").mkdir()
    torch.save(state, tmp_path / "alone/dinov3.pth")
    sizes = stellar.load_backbone(tmp_path / "alone/dinov3.pth").config
    assert (sizes.num_heads, sizes.norm_eps, sizes.rope_theta) == (4, 1e-5, 100.0)
    assert (sizes.gated_mlp, sizes.image_size) == (False, 224)


@pytest.mark.parametrize(
    ("width", "heads"), [(384, 6), (1280, 20), (4096, 32)], ids=["S", "H+", "7B"]
)
def test_heads_of_the_published_sizes(width: int, heads: int, tmp_path: Path) -> None:
    """1280 wide it has 20, and other vision transformers 16; timm's files do not say."""
    shapes = {
        "cls_token": (1, 1, width), "reg_token": (1, 4, width), "norm.weight": (width,),
        "patch_embed.proj.weight": (width, 3, 1, 1), "blocks.0.attn.qkv.weight": (3, 1),
        "blocks.0.mlp.fc1.weight": (2, width), "blocks.0.mlp.fc2.weight": (width, 2),
    }  # fmt: skip
    save_file({name: torch.zeros(s) for name, s in shapes.items()}, tmp_path / "x.safetensors")
    assert open_backbone(tmp_path / "x.safetensors").sizes["num_heads"] == heads


def test_the_hidden_layer_of_the_giant_is_whole() -> None:
    """A ratio of two widths, back to a width: 4096 / 1536 x 1536, and 488 / 448 x 448."""
    for width, hidden in ((1536, 4096), (448, 488)):
        sizes = ModelConfig(embed_dim=width, num_heads=8, mlp_ratio=hidden / width)
        assert sizes.hidden_dim == hidden


def test_what_is_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    convnext = DINOv3ConvNextModel(DINOv3ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4))
    convnext.save_pretrained(tmp_path / "convnext")
    DINOv3ViTModel(DINOv3ViTConfig(**{**GATED, "hidden_act": "gelu"})).save_pretrained(
        tmp_path / "gelu"
    )
    state = original(MODELS["dinov3"](), tmp_path / "theirs")
    unplaced = timm(state)
    del unplaced["reg_token"]
    period = {"rope_embed.periods": torch.linspace(1, 9, 16)}
    key = {"blocks.1.attn.qkv.bias": torch.zeros(())}
    eva = timm(state) | {"pos_embed": torch.zeros(1, 26, 128)}
    for name, content in {
        "norm": state | {"cls_norm.weight": torch.zeros(128)},
        "periods": state | period,
        "unplaced": unplaced,
        "damaged": state | key,
        "eva": eva,
    }.items():
        torch.save(content, tmp_path / f"{name}.pth")
    for name, message in {
        "convnext": r"no cls token, so it is not a .* \(neither are CLIP and ConvNeXt\)",
        "gelu": "hidden_act silu, .* got .gelu",
        "norm.pth": r"a norm of its own \(cls_norm\), which is not supported; take",
        "periods.pth": r"must have periods from 1 to 74.99, got 1 to 9; other ones",
        "unplaced.pth": "no position table, and it is no DINOv3, the one family",
        "damaged.pth": r"blocks\.1\.attn\.qkv\.bias_mask needs a bias of its shape \(384,\)",
        "eva.pth": "q_bias' is not a parameter of a MAE",
    }.items():
        with pytest.raises(WeightsError, match=message) as caught:
            stellar.load_backbone(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 3, 64])
def test_periods_say_the_width_of_a_head_that_fits(tmp_path: Path, count: int) -> None:
    """128 channels are heads of 4, 8, 16, 32, 64 or 128."""
    state = original(MODELS["dinov3"](), tmp_path / "theirs")
    state["rope_embed.periods"] = 100.0 ** (torch.arange(count) / max(1, count))
    torch.save(state, tmp_path / "dinov3.pth")
    with pytest.raises(WeightsError, match=f"heads divide the width 128, got {count} of them"):
        stellar.load_backbone(tmp_path / "dinov3.pth")


def test_periods_and_a_description_of_other_heads_are_refused(tmp_path: Path) -> None:
    state = original(MODELS["dinov3"](), tmp_path / "theirs")
    torch.save(state, tmp_path / "dinov3.pth")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 4}')
    with pytest.raises(WeightsError, match=r"must say num_attention_heads 2, .* got 4"):
        stellar.load_backbone(tmp_path / "dinov3.pth")


def test_saved_and_loaded_as_a_model_of_ours(tmp_path: Path, small: ModelConfig) -> None:
    config = replace(small, rope_theta=100.0, gated_mlp=True, num_registers=4, layer_scale=True)
    model, pictures = Stellar(config), torch.rand(1, 3, 8, 24)
    model.save_pretrained(tmp_path / "model")
    again = Stellar.from_pretrained(tmp_path / "model")
    assert again.config == config
    assert torch.equal(again.encode(pictures).sparse, model.encode(pictures).sparse)
    card = (tmp_path / "model/README.md").read_text()
    assert "| positions | rotary, base 100 |" in card
    assert "| MLPs | gated (SwiGLU) |" in card
