"""The model that comes with the package: offline, small, as good as its card says, and usable
wherever a model is.
"""

import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import stellar
from ship import PAGES, TARGETS, figures
from stellar.cli import main
from stellar.config import EvaluationConfig
from stellar.config_toml import read_run_config, to_toml
from stellar.data import open_scenes
from stellar.evaluation.evaluators.reconstruction import draw_again
from stellar.evaluation.evaluators.what_where import accuracy, factorization
from stellar.evaluation.report.report_json import read_evaluation
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.exporting.export import OLDEST
from stellar.model.files.card import CARD
from stellar.model.files.config_json import CONFIG
from stellar.model.files.fingerprint import fingerprint
from stellar.model.files.known_models import REPORT, SHIPPED
from stellar.model.files.locating import WEIGHTS
from stellar.model.files.prefixes import TRAINING_ONLY
from stellar.model.files.strict_loading import WeightsError
from stellar.training.setup import prepare

NAME = "stellar-scenes"
FOLDER = SHIPPED[NAME]
EVALUATION = read_evaluation(FOLDER / REPORT)
RECIPES = Path(__file__).parents[1] / "recipes"


def test_small_half_precision_and_without_heads() -> None:
    files = sorted(file.name for file in FOLDER.iterdir())
    assert files == [CARD, CONFIG, WEIGHTS, REPORT]
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8e6
    state = load_file(FOLDER / WEIGHTS)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert not [name for name in state if name.startswith(TRAINING_ONLY)]


def test_it_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("a network call")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, called)
    encoder, whole = stellar.load(NAME, purpose="encode"), stellar.load(NAME)
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    factors = encoder.encode(torch.rand(2, 3, 48, 60))
    assert factors.sparse.shape == (2, 12, 128)
    assert factors.spatial.shape == (2, 320, 12)
    drawn = whole.reconstruct(factors)
    assert drawn.shape == (2, 3, 48, 60)
    with pytest.raises(WeightsError, match="has no heads to go on training with"):
        stellar.load(NAME, purpose="pretrain")
    with pytest.raises(WeightsError, match=f"revision belongs .* {NAME} lies on this machine"):
        stellar.load(NAME, revision="v1")
    with pytest.raises(WeightsError, match=f"did you mean '{NAME}'"):
        stellar.load("stellar-scene")


@pytest.mark.long
def test_it_draws_held_out_scenes_and_tells_what_from_where(tmp_path: Path) -> None:
    model = stellar.load(NAME)
    scenes = open_scenes(model.config, 300, 300)
    subject = Subject(NAME, model, scenes, EvaluationConfig(), tmp_path)
    _, _, psnr = draw_again(model, torch.stack([scenes.test.read(i) for i in range(100)]))
    assert psnr.mean() > 17
    found = {score.quantity: score for score in factorization(subject)}

    def above_chance(feature: str, label: str) -> float:
        score = found[accuracy(feature, label, "kNN")]
        assert score.baseline is not None
        return score.value - score.baseline

    assert abs(above_chance("S", "place")) < 0.1
    assert above_chance("L", "place") > above_chance("S", "place") + 0.15
    assert above_chance("S", "colour") > 0.4


def test_its_report_is_of_these_weights_and_its_figures_are_shown() -> None:
    (scores,) = EVALUATION.models
    assert scores.name == NAME
    assert scores.sha256 == fingerprint(stellar.load(NAME))
    table = figures(EVALUATION)
    assert table.count("\n") == len(TARGETS) + 2
    for page in PAGES:
        assert table in page.read_text(), f"python recipes/ship.py RUN brings {page} up to date"


def test_figures_say_by_how_much_a_target_is_missed() -> None:
    scores = [Score(quantity, 0.5, baseline=0.26) for quantity, _ in TARGETS]
    scores[3], scores[-1] = replace(scores[3], value=0.954), replace(scores[-1], value=20.0)
    (model,) = EVALUATION.models
    table = figures(replace(EVALUATION, models=(replace(model, scores=tuple(scores)),)))
    assert "| Z to class, kNN | 0.85 | 0.50 | 0.35 |" in table
    assert "| S to place, kNN | 0.26, which is chance | 0.50 | 0.24 |" in table
    assert "| L to place, kNN | 0.95 | 0.95 | reached |" in table
    assert "| PSNR, dB | 25.0 | 20.0 | 5.0 |" in table


def test_its_recipe_is_the_one_in_the_repository() -> None:
    (file,) = RECIPES.glob("*.toml")
    recipe = read_run_config(file)
    assert to_toml(recipe) == file.read_text()
    model = stellar.load(NAME)
    assert model.config == recipe.model
    assert model.history is not None
    assert model.history.init == recipe.init == ""
    assert model.history.total_steps == recipe.training.steps
    assert model.history.data == recipe.data == "scenes"
    card, docs = (page.read_text() for page in PAGES)
    assert re.search(rf"`recipes/{file.name}`, {recipe.training.steps:,} steps", card)
    assert f"stellar pretrain --config recipes/{file.name} --out runs/scenes" in docs


@pytest.mark.long
@pytest.mark.usefixtures("hub_cache", "unchecked")
def test_commands_take_it_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in (("red", (200, 10, 10)), ("blue", (10, 10, 200))):
        for number in range(5):
            path = tmp_path / f"photos/{name}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (60 + number, 50), colour).save(path)
    monkeypatch.chdir(tmp_path)
    commands = [
        f"embed {NAME} photos --out photos.parquet",
        f"reconstruct {NAME} scenes --out scenes.png",
        f"evaluate {NAME} --data photos --out out --num-seeds 1 --epochs 1 --num-workers 0",
    ]
    if exports := torch.__version__ >= OLDEST:
        commands.append(f"export {NAME} --format torch-export --out scenes.pt2")
    for command in commands:
        assert main(command.split()) == 0, capsys.readouterr().err
    assert stellar.read_embeddings(tmp_path / "photos.parquet").tokens.shape == (10, 12, 128)
    with Image.open(tmp_path / "scenes.png") as sheet:
        assert sheet.width > 300
    assert (tmp_path / "scenes-reconstruct.pt2").exists() == exports
    assert main(["info", NAME]) == 0
    assert fingerprint(stellar.load(NAME)) in capsys.readouterr().out


def test_a_run_starts_from_it() -> None:
    recipe = read_run_config(RECIPES / "scenes.toml")
    model = prepare(replace(recipe, init=NAME)).model
    assert fingerprint(model) == fingerprint(stellar.load(NAME))


def test_it_is_shared_with_how_it_came_about(tmp_path: Path) -> None:
    stellar.load(NAME).save_pretrained(tmp_path / "mine")
    again = stellar.Stellar.from_pretrained(tmp_path / "mine")
    assert again.history == stellar.load(NAME).history
    assert "| data | scenes" in (tmp_path / "mine" / CARD).read_text()
