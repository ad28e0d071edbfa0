"""Runs that start from somebody else's vision transformer: what they take over, and that they
never need it again.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ViTMAEConfig,
    ViTMAEForPreTraining,
)

import stellar
from stellar.config import RunConfig
from stellar.config_toml import read_run_config
from stellar.model.files.opening import open_backbone
from stellar.model.files.strict_loading import WeightsError
from stellar.model.positions import resize_positions
from stellar.training import pretrain, resume
from stellar.training.run_folder import METRICS, read_metrics
from stellar.training.setup import prepare

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
OVER: dict[str, Any] = {"embed_dim": 32, "depth": 3, "num_heads": 4, "patch_size": 4}


@pytest.fixture
def mae(tmp_path: Path) -> Path:
    config = ViTMAEConfig(
        **SIZES,
        intermediate_size=96,
        image_size=20,
        patch_size=4,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    ViTMAEForPreTraining(config).save_pretrained(tmp_path / "mae")
    return tmp_path / "mae"


@pytest.fixture
def dinov2(tmp_path: Path) -> Path:
    config = Dinov2WithRegistersConfig(**SIZES, mlp_ratio=2, image_size=20, patch_size=5)
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path / "dinov2")
    return tmp_path / "dinov2"


@pytest.fixture
def dinov3(tmp_path: Path) -> Path:
    """As its larger ones are, with gated MLPs."""
    config = DINOv3ViTConfig(
        **SIZES,
        intermediate_size=48,
        image_size=20,
        patch_size=4,
        num_register_tokens=4,
        use_gated_mlp=True,
        hidden_act="silu",
    )
    DINOv3ViTModel(config).save_pretrained(tmp_path / "dinov3")
    return tmp_path / "dinov3"


def steps(config: RunConfig, init: Path, **training: Any) -> RunConfig:
    """Two steps with a checkpoint after each."""
    training = {"steps": 2, "checkpoint_every": 1, **training}
    return replace(config, init=str(init), training=replace(config.training, **training))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return stellar.load(run).state_dict()


def test_a_run_takes_over_the_sizes_and_never_needs_the_backbone_again(
    tmp_path: Path, config: RunConfig, mae: Path
) -> None:
    run = pretrain(steps(config, mae), tmp_path / "run").folder
    resolved = read_run_config(run / "run.toml").model
    assert resolved == replace(config.model, **OVER, mlp_ratio=3.0, norm_eps=1e-12)
    log = (run / "log.txt").read_text()
    assert log.count(f"starting from {mae} (ViT, MAE or DINO); the model takes over ") == 1
    assert "embed_dim 32, depth 3, num_heads 4, mlp_ratio 3.0" in log
    finished = weights(run)
    shutil.rmtree(mae)
    shutil.rmtree(run / "checkpoints/step-00000002")
    assert resume(run).finished
    assert (run / "log.txt").read_text().count("starting from") == 1
    again = weights(run)
    assert all(torch.equal(again[name], tensor) for name, tensor in finished.items())


def test_the_encoder_is_the_backbone_and_the_rest_is_as_initialised(
    tmp_path: Path, config: RunConfig, mae: Path
) -> None:
    """A learning rate of almost 0 leaves the start to be seen."""
    run = pretrain(steps(config, mae, learning_rate=1e-12), tmp_path / "run").folder
    theirs, started = open_backbone(mae), weights(run)
    resized = resize_positions(theirs.state["pos_embed"][:, 1:], (4, 4), antialias=False)
    for name in theirs.state.keys() - {"sparse_tokens"}:
        tensor = theirs.state[name]
        expected = torch.cat([tensor[:, :1], resized], dim=1) if name == "pos_embed" else tensor
        torch.testing.assert_close(started[f"encoder.{name}"], expected)
    untouched = stellar.Stellar(read_run_config(run / "run.toml").model)
    assert started.keys() == untouched.state_dict().keys()
    assert started["encoder.sparse_tokens"].shape == (3, 32)


def test_a_run_stopped_before_its_first_checkpoint_starts_from_the_backbone_again(
    tmp_path: Path, config: RunConfig, mae: Path
) -> None:
    run = pretrain(steps(config, mae), tmp_path / "run").folder
    finished = weights(run)
    shutil.rmtree(run / "checkpoints")
    resume(run)
    again = weights(run)
    assert all(torch.equal(again[name], tensor) for name, tensor in finished.items())


def test_a_resumed_run_does_not_read_the_run_that_it_began_with(
    tmp_path: Path, config: RunConfig
) -> None:
    short = config.with_steps(1)
    first = pretrain(short, tmp_path / "first").folder
    second = pretrain(steps(config, first), tmp_path / "second").folder
    shutil.rmtree(first)
    shutil.rmtree(second / "checkpoints/step-00000002")
    assert resume(second).finished


def test_registers_layer_scale_and_the_teacher(config: RunConfig, dinov2: Path) -> None:
    objective = replace(config.objective, teacher="constant")
    model = replace(config.model, image_size=20, patch_size=5)
    views = replace(config.views, local_size=10)
    ingredients = prepare(
        replace(config, init=str(dinov2), model=model, views=views, objective=objective)
    )
    sizes = ingredients.config.model
    assert (sizes.num_registers, sizes.layer_scale, sizes.norm_eps) == (4, True, 1e-6)
    assert (sizes.image_size, sizes.num_sparse_tokens) == (20, 3)
    assert ingredients.model.teacher is not None
    for name, tensor in ingredients.model.encoder.state_dict().items():
        assert torch.equal(tensor, ingredients.model.teacher.encoder.state_dict()[name])


def test_tokens_are_learned_on_top_of_dinov3(
    tmp_path: Path, config: RunConfig, dinov3: Path
) -> None:
    """The loss falls, a resumed run ends with the same weights, and S and L come out."""
    started = steps(config, dinov3, steps=24, checkpoint_every=12, learning_rate=3e-3)
    run = pretrain(started, tmp_path / "run").folder
    losses = [row["loss"] for row in read_metrics(run / METRICS)]
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])
    sizes = read_run_config(run / "run.toml").model
    assert (sizes.rope_theta, sizes.gated_mlp, sizes.mlp_ratio) == (100.0, True, 1.5)
    assert (sizes.num_registers, sizes.norm_eps, sizes.image_size) == (4, 1e-5, 16)
    finished = weights(run)
    shutil.rmtree(dinov3)
    shutil.rmtree(run / "checkpoints/step-00000024")
    assert resume(run).finished
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in finished.items())
    factors = stellar.load(run).encode(torch.rand(2, 3, 12, 24))
    assert factors.sparse.shape == (2, 3, 32)
    assert factors.spatial.shape == (2, 18, 3)


def test_a_run_on_top_of_dinov3_goes_on_from_a_run(
    tmp_path: Path, config: RunConfig, dinov3: Path
) -> None:
    first = pretrain(steps(config, dinov3), tmp_path / "first").folder
    again = replace(read_run_config(first / "run.toml"), init=str(first))
    ingredients = prepare(again)
    for name, tensor in weights(first).items():
        assert torch.equal(ingredients.model.state_dict()[name], tensor)


def test_rgb_filters_for_one_channel(tmp_path: Path, config: RunConfig, mae: Path) -> None:
    """The images keep their own mean and standard deviation."""
    (tmp_path / "photos").mkdir()
    Image.new("L", (20, 20), 99).save(tmp_path / "photos/grey.png")
    config = replace(config, data=str(tmp_path / "photos"))
    grey: dict[str, Any] = {"in_chans": 1, "image_mean": (0.3,), "image_std": (0.2,)}
    (mae / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    ingredients = prepare(replace(config, init=str(mae), model=replace(config.model, **grey)))
    assert ingredients.config.model.image_mean == (0.3,)
    theirs = open_backbone(mae).state["patch_embed.proj.weight"]
    ours = ingredients.model.encoder.patch_embed.proj.weight
    torch.testing.assert_close(ours[:, 0], theirs.sum(dim=1))
    assert prepare(replace(config, init=str(mae))).config.model.image_mean == (0.5, 0.5, 0.5)


def test_from_the_hub(
    config: RunConfig, mae: Path, hub_cache: Path, place_in_hub_cache: Callable[..., Path]
) -> None:
    files = {name: mae / name for name in ("config.json", "model.safetensors")}
    place_in_hub_cache(hub_cache, "facebook/vit-mae-base", files)
    ingredients = prepare(replace(config, init="facebook/vit-mae-base"))
    assert ingredients.taken_over.startswith(
        "starting from facebook/vit-mae-base (ViT, MAE or DINO); "
    )
    for absent in ("facebook/vit-mae-huge", "microsoft/STELLAR"):
        with pytest.raises(WeightsError, match=absent):
            prepare(replace(config, init=absent))


def test_what_cannot_start_a_run_leaves_nothing_behind(
    tmp_path: Path, config: RunConfig, dinov2: Path
) -> None:
    (tmp_path / "dinov2/text.txt").write_text("")
    init = str(dinov2 / "text.txt")
    with pytest.raises(WeightsError, match=r"text\.txt is not a file of weights") as caught:
        pretrain(replace(config, init=init), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_sizes_follow_the_patch(config: RunConfig, dinov2: Path) -> None:
    """Those that a patch of 5 px does not divide become the nearest, and the run says so."""
    ingredients = prepare(
        replace(
            config,
            init=str(dinov2),
            model=replace(config.model, image_size=24),
            views=replace(config.views, local_size=8),
        )
    )
    assert (ingredients.config.model.image_size, ingredients.config.views.local_size) == (25, 10)
    assert "images of 25 px and local crops of 10 px" in ingredients.taken_over
