"""Other people's vision transformers: the same features as their own code, whatever the naming."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTModel,
)

import stellar
from stellar.model.backbones import Backbone, adapt_channels
from stellar.model.files.families import DINOV2, DINOV3, DINOV3_GATED, ORIGINAL, VIT, layout_of
from stellar.model.files.prefixes import encoder_only
from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tensors import read_state

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 20,
    "patch_size": 4,
    "layer_norm_eps": 1e-6,
}
PLAIN: dict[str, Any] = {**SIZES, "intermediate_size": 192}
DINO: dict[str, Any] = {**SIZES, "mlp_ratio": 2}
GATED: dict[str, Any] = {**PLAIN, "use_gated_mlp": True, "hidden_act": "silu"}
MAE_DECODER: dict[str, Any] = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16,
}
FAMILIES = {
    "vit": lambda: ViTModel(ViTConfig(**PLAIN)),
    "vit without pooler": lambda: ViTModel(ViTConfig(**PLAIN), add_pooling_layer=False),
    "vit with a head": lambda: ViTForImageClassification(ViTConfig(**PLAIN)),
    "mae": lambda: ViTMAEForPreTraining(ViTMAEConfig(**PLAIN, **MAE_DECODER)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**DINO)),
    "dinov2 with a head": lambda: Dinov2ForImageClassification(Dinov2Config(**DINO)),
    "dinov2 with registers": lambda: Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**DINO)),
    "dinov2 gated": lambda: Dinov2Model(Dinov2Config(**DINO, use_swiglu_ffn=True)),
    "vit without biases": lambda: ViTModel(ViTConfig(**PLAIN, qkv_bias=False)),
    "dinov3": lambda: DINOv3ViTModel(DINOv3ViTConfig(**PLAIN, num_register_tokens=3)),
    "dinov3 gated": lambda: DINOv3ViTModel(DINOv3ViTConfig(**GATED, num_register_tokens=3)),
    "dinov3 without registers": lambda: DINOv3ViTModel(DINOv3ViTConfig(**PLAIN, rope_theta=50.0)),
    "dinov3 without biases": lambda: DINOv3ViTModel(
        DINOv3ViTConfig(**GATED, query_bias=False, value_bias=False)
    ),
}
LAYOUTS = {"vit": VIT, "mae": VIT, "dinov2": DINOV2, "dinov3": DINOV3}


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """Every parameter random: a freshly built model has zero biases and unit scales."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(mean=float("norm" in name and "weight" in name), std=0.1)
    return model.eval()


def saved(name: str, folder: Path) -> PreTrainedModel:
    model = randomised(FAMILIES[name]())
    model.save_pretrained(folder)
    return model


def images(height: int = 20, width: int = 20) -> Tensor:
    return torch.rand(2, 3, height, width)


@torch.no_grad()
def their_features(model: PreTrainedModel, pictures: Tensor) -> Tensor:
    """cls and patches after the final norm, by transformers; pictures in [0, 1]."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    is_whole = isinstance(model, DINOv3ViTModel)  # its `model` is the blocks alone
    inner: nn.Module = model if is_whole else getattr(model, model.base_model_prefix, model)
    pixels, config = (pictures - mean) / std, model.config
    count = pictures.shape[2] * pictures.shape[3] // config.patch_size**2
    if "mae" in config.model_type:
        config.mask_ratio = 0.0
        in_order = torch.arange(count).expand(len(pixels), -1).float()
        out = inner(pixels, noise=in_order, interpolate_pos_encoding=True).last_hidden_state
    elif config.model_type == "vit":
        out = inner(pixels, interpolate_pos_encoding=True).last_hidden_state
    else:
        out = inner(pixels).last_hidden_state
    return torch.cat([out[:, :1], out[:, -count:]], dim=1)


def assert_same_features(
    ours: Backbone, theirs: PreTrainedModel, sizes: tuple[tuple[int, int], ...]
) -> None:
    for height, width in sizes:
        pictures = images(height, width)
        factors = ours.encode(pictures)
        found = torch.cat([factors.cls.unsqueeze(1), factors.dense], dim=1)
        torch.testing.assert_close(found, their_features(theirs, pictures), atol=1e-5, rtol=1e-5)
        assert factors.grid == (height // 4, width // 4)


@pytest.mark.parametrize("name", FAMILIES)
def test_features_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    """At the position table's own size, and where it is resized up, down and to a rectangle."""
    theirs = saved(name, tmp_path)
    ours = stellar.load_backbone(tmp_path)
    assert_same_features(ours, theirs, ((20, 20), (32, 32), (12, 12), (16, 28)))


@pytest.mark.parametrize("name", sorted(FAMILIES.keys() - {"dinov2 gated"}))
def test_names_there_and_back(name: str, tmp_path: Path) -> None:
    saved(name, tmp_path)
    theirs = encoder_only(read_state(tmp_path / "model.safetensors"))
    layout = layout_of(theirs)
    expected = DINOV3_GATED if "gate_proj" in str(theirs.keys()) else LAYOUTS[name.split()[0]]
    assert layout is expected
    again = layout.write(layout.renamed(theirs))
    assert again.keys() == {key for key in theirs if not layout.unused.match(key)}
    assert all(torch.equal(again[key], theirs[key]) for key in again)


def test_the_contract_of_an_encoder(tmp_path: Path) -> None:
    saved("dinov2", tmp_path)
    ours = stellar.load_backbone(tmp_path)
    batch = (images() * 255).to(torch.uint8)
    factors = ours.encode(batch)
    assert factors.sparse.shape == (2, 0, 128)
    assert factors.spatial.shape == (2, 25, 0)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    assert "largest centred square" in ours.encode(tmp_path / "red.png").preparation
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert torch.equal(ours(batch).dense, factors.dense)


ORIGINAL_NAMES = (
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^embeddings\.", ""),
    (r"^layernorm", "norm"),
    (r"^encoder\.layer", "blocks"),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"attention\.attention\.query", "attn.qkv"),
    (r"output\.dense", "mlp.fc2"),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
)


def as_original(folder: Path) -> dict[str, Tensor]:
    """The weights in a folder of transformers as the original code names them."""
    state, renamed = encoder_only(load_file(folder / "model.safetensors")), {}
    for name, tensor in state.items():
        if re.search(r"pooler|attention\.(key|value)", name):
            continue
        if "query" in name:
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            tensor = torch.cat(parts)
        for pattern, replacement in ORIGINAL_NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def nested(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("name", ["vit", "mae", "dinov2", "dinov2 with registers"])
def test_the_original_naming(name: str, tmp_path: Path) -> None:
    """The files of the MAE, DINO and DINOv2 code: bare, or nested with a head beside."""
    theirs = saved(name, tmp_path / "transformers")
    state, head = as_original(tmp_path / "transformers"), {"head.weight": torch.zeros(2, 128)}
    worse = nested({key: torch.zeros_like(tensor) for key, tensor in state.items()}, "backbone.")
    decoder = {"decoder_pos_embed": torch.zeros(1), "decoder_blocks.0.norm1.bias": torch.zeros(1)}
    for number, content in enumerate(
        (
            state | head,
            {"model": state | decoder},
            {"teacher": nested(state, "backbone.") | head, "student": worse},
            {"state_dict": nested(state, "module.backbone.")},
        )
    ):
        torch.save(content, tmp_path / f"{number}.pth")
        ours = stellar.load_backbone(tmp_path / f"{number}.pth")
        assert_same_features(ours, theirs, ((20, 20), (16, 28)))
    assert ORIGINAL.write(ORIGINAL.read(state)).keys() == state.keys() - {"mask_token"}


def test_registers_as_timm_has_them(tmp_path: Path) -> None:
    """timm folds the position of cls into the cls token, and keeps it out of the table."""
    theirs = saved("dinov2 with registers", tmp_path / "transformers")
    state = as_original(tmp_path / "transformers")
    del state["mask_token"]
    state["reg_token"] = state.pop("register_tokens")
    state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
    state["pos_embed"] = state["pos_embed"][:, 1:].clone()
    (tmp_path / "timm").mkdir()
    save_file(state, tmp_path / "timm/model.safetensors")
    described = {"architecture": "vit", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5]}}
    (tmp_path / "timm/config.json").write_text(json.dumps(described))
    assert stellar.load_backbone(tmp_path / "timm").config.image_mean == (0.5, 0.5, 0.5)
    (tmp_path / "timm/config.json").unlink()
    assert_same_features(stellar.load_backbone(tmp_path / "timm"), theirs, ((20, 20), (16, 28)))


def test_positions_of_cls_and_registers_in_one_table_are_refused(tmp_path: Path) -> None:
    """Another layout of timm, which no resize could take apart silently."""
    saved("dinov2 with registers", tmp_path / "transformers")
    state = as_original(tmp_path / "transformers")
    state["pos_embed"] = torch.zeros(1, 30, 128)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"position table has 30 rows; expected a square"):
        stellar.load_backbone(tmp_path / "model.safetensors")


def test_heads_epsilon_and_normalisation(tmp_path: Path) -> None:
    """From the JSON files; without them, as the models in the wild have them."""
    config = ViTConfig(**{**PLAIN, "num_attention_heads": 8, "layer_norm_eps": 1e-3})
    ViTModel(config).save_pretrained(tmp_path)
    described = {"image_mean": [0.5, 0.4, 0.3], "image_std": [1, 1, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(described))
    sizes = stellar.load_backbone(tmp_path).config
    assert (sizes.num_heads, sizes.norm_eps) == (8, 1e-3)
    assert (sizes.image_mean, sizes.image_std) == ((0.5, 0.4, 0.3), (1.0, 1.0, 0.5))
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).unlink()
    sizes = stellar.load_backbone(tmp_path).config
    assert (sizes.num_heads, sizes.norm_eps) == (2, 1e-12)
    assert (sizes.image_mean, sizes.image_std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_from_the_hub_without_a_network(
    weights: str, tmp_path: Path, hub_cache: Path, place_in_hub_cache: Callable[..., Path]
) -> None:
    """By its id and by its path; facebook/vit-mae-base has a pickle only."""
    theirs = saved("mae", tmp_path / "mae")
    described = tmp_path / "mae/preprocessor_config.json"
    described.write_text(json.dumps({"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD}))
    if weights == "pytorch_model.bin":
        torch.save(load_file(tmp_path / "mae/model.safetensors"), tmp_path / "mae" / weights)
    files = {name: tmp_path / "mae" / name for name in ("config.json", weights, described.name)}
    snapshot = place_in_hub_cache(hub_cache, "facebook/vit-mae-base", files)
    for source in ("facebook/vit-mae-base", snapshot):
        ours = stellar.load_backbone(source)
        assert_same_features(ours, theirs, ((20, 20),))
        assert ours.config.image_std == IMAGENET_STD
    with pytest.raises(
        WeightsError, match="facebook/dinov2-base can be had neither from the cache"
    ):
        stellar.load_backbone("facebook/dinov2-base")


@pytest.mark.parametrize("in_chans", [1, 2, 4, 6])
def test_colourless_filters_see_grey_as_in_rgb(in_chans: int) -> None:
    weight = torch.rand(8, 1, 4, 4).expand(-1, 3, -1, -1)
    adapted = adapt_channels(weight, in_chans)
    assert adapted.shape == (8, in_chans, 4, 4)
    torch.testing.assert_close(adapted.sum(dim=1), weight.sum(dim=1))


def test_channels_repeat_in_order() -> None:
    weight = torch.rand(8, 3, 4, 4)
    torch.testing.assert_close(adapt_channels(weight, 1)[:, 0], weight.sum(dim=1))
    assert adapt_channels(weight, 3) is weight
    four = adapt_channels(weight, 4)
    torch.testing.assert_close(four[:, 3], weight[:, 0] * 0.75)
    torch.testing.assert_close(four[:, :3], weight * 0.75)
    with pytest.raises(WeightsError, match="of 4 channels, the model of 5"):
        adapt_channels(torch.rand(8, 4, 4, 4), 5)


def test_what_is_no_plain_vit_is_refused(tmp_path: Path) -> None:
    small = {key: SIZES[key] for key in SIZES if key != "layer_norm_eps"}
    clip = CLIPVisionModel(CLIPVisionConfig(**small, intermediate_size=64))
    for number, (model, message) in enumerate(
        (
            (clip, "no cls token, so it is not a ViT, MAE, DINO, DINOv2 or DINOv3"),
            (ViTModel(ViTConfig(**PLAIN, hidden_act="relu")), "hidden_act gelu, .* got .relu"),
            (
                ViTModel(ViTConfig(**PLAIN, num_channels=2)),
                "image_mean and model.image_std must have a number for each",
            ),
        )
    ):
        model.save_pretrained(tmp_path / str(number))
        with pytest.raises(WeightsError, match=message) as caught:
            stellar.load_backbone(tmp_path / str(number))
        assert str(tmp_path / str(number)) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_backbones_are_refused(tmp_path: Path) -> None:
    saved("mae", tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    whole = {name: tensor for name, tensor in whole.items() if not name.startswith("decoder.")}
    first, last = ({name for name in whole if f".layer.{n}." in name} for n in (0, 1))
    key = {"vit.encoder.layer.1.attention.attention.key.weight"}
    for gone, added, message in (
        (first, {}, r"blocks\.0\.mlp\.fc1\.weight, .* but is missing"),
        (last, {}, r"missing: blocks\.1\."),
        (key, {}, r"blocks\.1\.attn\.k\.weight"),
        ({"vit.embeddings.patch_embeddings.projection.weight"}, {}, "patch_embed.* is missing"),
        (set(), {"vit.embeddings.position_embeddings": torch.zeros(9)}, r"3 dim.*got \(9,\)"),
        (set(), {"vit.rope.freqs": torch.zeros(3)}, "'rope.freqs' is not a parameter of a ViT"),
        (set(), dict.fromkeys(key, torch.zeros(9, 9)), r"one shape, got \(128, 128\), \(9, 9\), "),
        (set(), {"vit.layernorm.bias": torch.zeros(3)}, r"norm.bias \(3,\) instead of \(128,\)"),
        (set(), {"sparse_tokens": torch.zeros(3)}, "load it with stellar.load"),
    ):
        changed = {name: tensor for name, tensor in whole.items() if name not in gone} | added
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(WeightsError, match=message):
            stellar.load_backbone(tmp_path)
    with pytest.raises(WeightsError, match="nowhere does not exist; expected a folder"):
        stellar.load_backbone(tmp_path / "nowhere")


NUMBER = "must say a number as"
WHOLE = "must say a whole number from 1 as"
LIST = "must say a list of numbers as"


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("num_attention_heads", (None, "4", [4], {}, True, 2.5, 0), WHOLE),
        ("num_hidden_layers", (None, "2", [2], {}, True, 2.5, -1), WHOLE),
        ("image_size", (None, "20", [20, 20], -4, True), WHOLE),
        ("layer_norm_eps", (None, "1e-5", [1], {}, True, float("nan")), NUMBER),
        ("rope_theta", (None, "100", True, 10**400), NUMBER),
        ("pretrained_cfg", (None, "vit", 5, []), "must say a table as"),
    ],
)
def test_fields_of_another_kind_are_refused(
    tmp_path: Path, name: str, values: tuple[Any, ...], message: str
) -> None:
    saved("dinov3", tmp_path)
    config = tmp_path / "config.json"
    described = json.loads(config.read_text())
    for value in values:
        config.write_text(json.dumps(described | {name: value}))
        with pytest.raises(WeightsError, match=f"its config.json {message} {name}, got ") as caught:
            stellar.load_backbone(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [5, "123", ["a", "b", "c"], {"a": 1}, [1, 1, None], [True] * 3])
def test_a_mean_that_is_no_list_of_numbers_is_refused(tmp_path: Path, value: Any) -> None:
    saved("vit", tmp_path)
    preprocessing, config = tmp_path / "preprocessor_config.json", tmp_path / "config.json"
    preprocessing.write_text(json.dumps({"image_mean": value}))
    with pytest.raises(WeightsError, match=f"its preprocessor_config.json {LIST} image_mean"):
        stellar.load_backbone(tmp_path)
    preprocessing.write_text(json.dumps({"image_mean": None, "image_std": None}))
    assert stellar.load_backbone(tmp_path).config.image_mean == IMAGENET_MEAN
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"pretrained_cfg": {"std": value}})
    )
    with pytest.raises(WeightsError, match=f"config.json, in pretrained_cfg, {LIST} std, got"):
        stellar.load_backbone(tmp_path)


@pytest.mark.parametrize(
    ("name", "gone", "message"),
    [
        ("dinov3", r"register_tokens", "must say num_register_tokens 0, .* got 3"),
        ("dinov3", r"q_proj\.bias", "must say query_bias False, .* got True"),
        ("dinov3", r"v_proj\.bias", "must say value_bias False, .* got True"),
        ("dinov3", r"layer_scale", "lacks layer_scale1 and layer_scale2, which every DINOv3"),
        ("dinov2", r"layer_scale", "lacks layer_scale1 and layer_scale2, which every DINOv2"),
        ("vit", r"query\.bias", "must say qkv_bias False, .* got True"),
    ],
)
def test_tensors_that_are_missing_in_every_block_are_noticed(
    tmp_path: Path, name: str, gone: str, message: str
) -> None:
    """Other models have none of them, so that only `config.json` tells."""
    saved(name, tmp_path)
    file = tmp_path / "model.safetensors"
    left = {key: tensor for key, tensor in load_file(file).items() if not re.search(gone, key)}
    save_file(left, file)
    with pytest.raises(WeightsError, match=message):
        stellar.load_backbone(tmp_path)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("dinov3", "use_gated_mlp", True),
        ("dinov2 gated", "use_swiglu_ffn", False),
        ("dinov3", "key_bias", True),
        ("dinov3", "num_register_tokens", None),
    ],
)
def test_a_description_of_another_model_is_refused(
    tmp_path: Path, name: str, field: str, value: object
) -> None:
    saved(name, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {field: value}))
    with pytest.raises(WeightsError, match=rf"{field} \w+, to go with its tensors, got {value}"):
        stellar.load_backbone(tmp_path)


def test_registers_of_one_dimension_are_refused(tmp_path: Path) -> None:
    saved("dinov3", tmp_path)
    file = tmp_path / "model.safetensors"
    state = load_file(file)
    state["embeddings.register_tokens"] = state["embeddings.register_tokens"].flatten()
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"register_tokens, .* 3 dimensions, got \(384,\)"):
        stellar.load_backbone(tmp_path)
