"""Settings: files there and back, and every bad value refused with a sentence that helps."""

import ast
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stellar import config
from stellar.config import (
    ConfigError,
    DecoderConfig,
    EvaluationConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
)
from stellar.config_toml import from_dict, read_run_config, to_toml
from stellar.presets import PRESETS, b16, h16, l16


def test_images_of_any_number_of_channels_survive_the_file(tmp_path: Path) -> None:
    model = ModelConfig(
        in_chans=4,
        image_mean=(0.1, 0.2, 0.3, 0.4),
        image_std=(1.0, 1.0, 1.0, 2.0),
        decoder=DecoderConfig(target="pixels"),
    )
    (tmp_path / "run.toml").write_text(to_toml(RunConfig(model=model)))
    assert read_run_config(tmp_path / "run.toml").model == model
    with pytest.raises(ConfigError, match=r"image_mean must be a list, each of them a number"):
        from_dict(ModelConfig, {"image_mean": ["red"]}, where="run.toml")
    with pytest.raises(ConfigError, match=r"for each of model.in_chans = 1 channels, got 3"):
        ModelConfig(in_chans=1)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(to_toml(PRESETS[name]()))
    assert read_run_config(path) == PRESETS[name]()


def test_none_and_awkward_texts_survive_the_file(tmp_path: Path) -> None:
    config = RunConfig(
        data='a "quoted" \\ folder\n ü \N{EYES} \x7f',
        model=ModelConfig(spatial_temperature=None),
        objective=ObjectiveConfig(reconstruction_weight=None),
        training=TrainingConfig(steps=None, learning_rate=1e-7),
    )
    (tmp_path / "run.toml").write_text(to_toml(config))
    assert read_run_config(tmp_path / "run.toml") == config


def test_a_run_from_before_a_setting_is_read_with_its_default(tmp_path: Path) -> None:
    config = RunConfig(training=TrainingConfig(steps=7))
    lines = to_toml(config).splitlines()
    newer = ("codes", "residual", "attention", "pack_views", "schedule", "decayed")
    newer = (*newer, "global_alignment")
    older = [line for line in lines if line.split(" = ")[0] not in newer]
    assert len(older) == len(lines) - len(newer)
    (tmp_path / "run.toml").write_text("\n".join(older))
    assert read_run_config(tmp_path / "run.toml") == config


def test_the_published_recipe() -> None:
    """The paper's table, and the published configuration, which leaves AdamW as torch has it and
    has no schedule.
    """
    for preset, epochs, rate in ((b16, 150, 1.5e-4), (l16, 100, 5e-5), (h16, 50, 5e-5)):
        training = preset().training
        assert (training.epochs, training.learning_rate) == (epochs, rate)
        assert (training.batch_size, training.weight_decay, training.gradient_clip) == (
            2048,
            0.04,
            3.0,
        )
        assert (training.beta1, training.beta2) == (0.9, 0.999)
        assert (training.schedule, training.warmup, training.decayed) == ("constant", 0.0, "all")
        assert preset().views.share_crop
        assert not preset().views.antialias
    views = b16().views
    assert (views.num_masked, views.num_local, views.masking_ratio) == (8, 8, 0.8)
    assert (b16().objective.target_temperature, b16().objective.prediction_temperature) == (
        0.06,
        0.12,
    )
    assert PRESETS["b16-scratch"]().objective.teacher == "constant"
    assert PRESETS["b16-scratch"]().views.masking_ratio == 0.6
    assert PRESETS["b16-global"]().objective.global_alignment == "matched"
    assert PRESETS["b16-global"]().objective.teacher == "none"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ModelConfig(image_size=100), "multiple of model.patch_size = 16, got 100"),
        (lambda: ModelConfig(num_heads=7), "divisible by model.num_heads = 7, got 768"),
        (lambda: ModelConfig(num_sparse_tokens=-1), "must not be negative, got -1"),
        (lambda: ModelConfig(spatial_temperature=0.0), "positive or None"),
        (lambda: DecoderConfig(embed_dim=30, num_heads=4), "divisible by num_heads = 4, got 30"),
        (lambda: DecoderConfig(target="pixel"), "did you mean 'pixels'"),  # pyright: ignore
        (lambda: ViewConfig(masking="focl"), "did you mean 'focal'"),  # pyright: ignore
        (lambda: ViewConfig(global_scale=(0.9, 0.3)), "0 < low <= high <= 1, got 0.9, 0.3"),
        (lambda: ViewConfig(blur_kernel=4), "odd and positive, got 4"),
        (lambda: ViewConfig(flip_probability=1.5), "between 0 and 1, got 1.5"),
        (lambda: ViewConfig(turn_probability=-1), r"views.turn_probability must be .*, got -1"),
        (lambda: ViewConfig(masking_ratio=1.0), r"in \[0, 1\), got 1.0"),
        (lambda: ViewConfig(num_masked=-1), "must not be negative, got -1"),
        (lambda: ObjectiveConfig(koleo_weight=-1.0), "koleo_weight must not be negative"),
        (lambda: ObjectiveConfig(target_temperature=0.0), "target_temperature must be positive"),
        (lambda: ObjectiveConfig(sinkhorn_scale=2.0), r"in \(0, 1\], got 2.0"),
        (lambda: ObjectiveConfig(teacher="ema"), "objective.teacher must be one of"),  # pyright: ignore
        (
            lambda: ObjectiveConfig(teacher="cosine", global_alignment="matched"),
            "both say what the full view predicts; switch one of them off",
        ),
        (
            lambda: RunConfig(
                views=ViewConfig(num_masked=1, share_crop=True),
                objective=ObjectiveConfig(global_alignment="matched"),
            ),
            "got views.num_masked = 1 and views.share_crop = True; raise views.num_masked",
        ),
        (lambda: TrainingConfig(batch_size=10, accumulate=3), "multiple of accumulate = 3, got 10"),
        (
            lambda: TrainingConfig(pack_views=True, parallel="fsdp"),
            "pack_views needs training.parallel = ddp, got fsdp",
        ),
        (lambda: TrainingConfig(residual="bf61"), "did you mean 'bf16'"),  # pyright: ignore
        (lambda: TrainingConfig(steps=0), "steps must be at least 1, got 0"),
        (lambda: TrainingConfig(warmup=1.0), "warmup must be a share"),
        (lambda: TrainingConfig(precision="fp16"), "precision must be one of"),  # pyright: ignore
        (lambda: RunConfig(views=ViewConfig(local_size=100)), "multiple of model.patch_size = 16"),
        (
            lambda: RunConfig(
                model=ModelConfig(image_size=32), views=ViewConfig(local_size=32, masking_ratio=0.9)
            ),
            "leaves no patch",
        ),
        (
            lambda: RunConfig(
                model=ModelConfig(image_size=32, patch_size=4), views=ViewConfig(local_size=4)
            ),
            "views.blur_kernel must be below 8 for views of 4 pixels, got 9",
        ),
    ],
)
def test_bad_values_are_refused(build, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (RunConfig, "data", None, "^data must be a text, got None"),
        (RunConfig, "data", 3, "^data must be a text, got 3"),
        (RunConfig, "data", ["a", "b"], r"^data must be a text, got \['a', 'b'\]"),
        (RunConfig, "data", "ph\udcff", r"^data must be UTF-8, .* got 'ph\\udcff'; rename it"),
        (RunConfig, "init", None, "^init must be a text, got None"),
        (RunConfig, "model", None, "^model must be a ModelConfig, got None"),
        (ModelConfig, "image_size", 96.0, "model.image_size must be a whole number, got 96.0"),
        (ModelConfig, "image_mean", 0.5, "model.image_mean must be a list, .* got 0.5"),
        (ModelConfig, "decoder", None, "model.decoder must be a DecoderConfig, got None"),
        (DecoderConfig, "depth", "2", "model.decoder.depth must be a whole number, got '2'"),
        (ViewConfig, "local_scale", 0.1, r"\[a number, a number\], got 0.1"),
        (ObjectiveConfig, "koleo_weight", "0.1", "must be a number, got '0.1'"),
        (TrainingConfig, "steps", "20", "must be a whole number or \"none\", got '20'"),
        (TrainingConfig, "batch_size", True, "must be a whole number, got True"),
        (TrainingConfig, "tensorboard", 1, "must be true or false, got 1"),
        (EvaluationConfig, "num_seeds", "3", "^num_seeds must be a whole number, got '3'"),
    ],
)
def test_values_of_another_type_are_refused(
    kind: type, name: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**{name: value})


def test_values_that_mean_the_same_come_to_their_type() -> None:
    run = RunConfig(
        data=Path("photos"),  # pyright: ignore
        model=ModelConfig(image_mean=[0.5, np.float32(0.5), 1]),  # pyright: ignore
        training=TrainingConfig(epochs=2, steps=np.int64(3)),  # pyright: ignore
    )
    assert repr(run.data) == "'photos'"
    assert repr(run.model.image_mean) == "(0.5, 0.5, 1.0)"
    assert (repr(run.training.epochs), repr(run.training.steps)) == ("2.0", "3")
    assert from_dict(RunConfig, tomllib.loads(to_toml(run)), where="test") == run


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DecoderConfig(target="pixels", tokenizer="a.bin"), "tokenizer has no effect"),
        (
            lambda: TrainingConfig(schedule="constant", final_learning_rate=1e-5),
            "final_learning_rate has no effect",
        ),
        (
            lambda: RunConfig(
                objective=ObjectiveConfig(
                    global_alignment="matched",
                    token_clustering_weight=0.0,
                    cls_clustering_weight=0.0,
                )
            ),
            "global_alignment has no effect",
        ),
        (
            lambda: RunConfig(objective=ObjectiveConfig(teacher_momentum=0.9)),
            "teacher_momentum has no effect",
        ),
        (
            lambda: RunConfig(views=ViewConfig(num_local=0, local_scale=(0.1, 0.2))),
            "local_scale has no effect",
        ),
        (
            lambda: RunConfig(views=ViewConfig(num_masked=0)),
            "objective.set_alignment_weight has no effect with views.num_masked = 0",
        ),
        (
            lambda: RunConfig(views=ViewConfig(num_masked=0)),
            "objective.cls_masked_weight has no effect with views.num_masked = 0",
        ),
        (
            lambda: RunConfig(views=ViewConfig(num_local=0)),
            "objective.cls_local_weight has no effect with views.num_local = 0",
        ),
    ],
)
def test_settings_without_effect_are_told(
    build, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    build()
    assert message in caplog.text
    caplog.clear()
    RunConfig()
    assert not caplog.text


def test_what_has_no_effect_is_told_once_however_often_a_run_is_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = RunConfig(
        model=ModelConfig(decoder=DecoderConfig(target="pixels", tokenizer="a.bin")),
        views=ViewConfig(num_local=0, local_scale=(0.1, 0.2)),
        objective=ObjectiveConfig(teacher_momentum=0.9, cls_local_weight=0.0),
        training=TrainingConfig(schedule="constant", final_learning_rate=1e-5),
    )
    for data in ("a", "b"):
        run = replace(run, data=data, training=replace(run.training, seed=1))
    replace(run, model=replace(run.model, decoder=replace(run.model.decoder, depth=2)))
    assert len(caplog.records) == 4


def test_steps_replace_epochs() -> None:
    run = RunConfig(training=TrainingConfig(epochs=3.0, batch_size=100))
    assert run.training.num_steps(1000) == 30
    assert run.training.num_steps(1) == 1
    assert run.with_steps(7).training.num_steps(1000) == 7
    assert run.with_steps(7).with_steps(None) == run


def test_everything_wrong_in_a_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'dta = "x"\n[training]\nlearning_rat = 1\nbatch_size = "many"\n'
        "[model.decoder]\ndepth = 1.5\n"
        "[views]\nglobal_scale = [0.5]\n[objective]\nteacher_momentum = true\n"
    )
    with pytest.raises(ConfigError) as error:
        read_run_config(tmp_path / "run.toml")
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    for text in (
        "dta is not a setting; did you mean 'data'?",
        "training.learning_rat is not a setting; did you mean 'learning_rate'?",
        "training.batch_size must be a whole number, got 'many'",
        "model.decoder.depth must be a whole number, got 1.5",
        "views.global_scale must be [a number, a number], got [0.5]",
        "objective.teacher_momentum must be a number, got True",
    ):
        assert any(text in line for line in lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[training", "is not a TOML file"),
        (f"steps = {'9' * 5000}", "is not a TOML file"),
        (f"steps = {'[' * 5000}", "is not a TOML file"),
        (None, "does not exist"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.toml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_run_config(tmp_path / "run.toml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_run_config(tmp_path)


def test_whole_numbers_are_numbers() -> None:
    config = from_dict(RunConfig, {"training": {"epochs": 3}}, where="test")
    assert config == replace(RunConfig(), training=TrainingConfig(epochs=3.0))


def test_terms_are_on_by_their_weights() -> None:
    objective = ObjectiveConfig(koleo_weight=0.0, masked_reconstruction_weight=1.0)
    assert objective.on("reconstruction"), "by default its weight depends on what is drawn"
    assert not objective.on("koleo")
    assert objective.on("koleo", "cls_local")
    assert len(objective.terms) == 7
    assert "koleo" not in objective.terms


def test_every_field_has_a_docstring() -> None:
    """What `stellar pretrain --settings` shows."""
    undocumented, found = set(), 0
    for path in Path(config.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
                for field, after in pairwise([*node.body, None]):
                    if isinstance(field, ast.AnnAssign):
                        found += 1
                        if not isinstance(getattr(after, "value", None), ast.Constant):
                            undocumented.add(ast.unparse(field.target))
    assert found > 80
    assert undocumented == {"model", "views", "objective", "training", "decoder"}
