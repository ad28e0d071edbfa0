"""Models side by side on labelled pictures: every number is there, right, and explained."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from stellar.cli import main
from stellar.config import EvaluationConfig, ModelConfig
from stellar.data import open_data, open_scenes
from stellar.data.labelled import MaskedSplits, Splits, open_labelled
from stellar.evaluation.evaluate import evaluate, fingerprint_of
from stellar.evaluation.evaluators import BY_PROTOCOL
from stellar.evaluation.evaluators.classification import ranks
from stellar.evaluation.evaluators.reconstruction import psnr
from stellar.evaluation.probes.knn import KS
from stellar.evaluation.report.terminal import print_evaluation
from stellar.evaluation.scores import Evaluation
from stellar.images import read_image
from stellar.model import Backbone, Stellar
from stellar.model.files.published_saving import save_published
from stellar.model.files.saving import save_model

MODELS = (Path(__file__).parents[2] / "docs/models.md").read_text()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three colours, which even a random network tells apart; one broken file."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("val", 5)):
        for name, colour in (
            ("blue", (20, 40, 220)),
            ("green", (30, 200, 40)),
            ("red", (220, 30, 30)),
        ):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(rng.normal(colour, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "pictures/val/red/broken.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


@pytest.fixture
def splits(pictures: Path) -> Splits:
    return open_labelled(pictures)


@pytest.fixture
def evaluation(tmp_path: Path, small: ModelConfig, splits: Splits) -> Evaluation:
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    return evaluate({"ours": Stellar(small).eval(), "theirs": backbone}, splits, tmp_path)


def test_every_test_gives_its_numbers(evaluation: Evaluation, tmp_path: Path) -> None:
    ours, theirs = (
        {(s.quantity.test, s.quantity.name): s.value for s in model.scores}
        for model in evaluation.models
    )
    for feature in ("cls", "S", "U", "S+cls", "U+cls"):
        for k in KS:
            assert 0 <= ours["kNN", f"{feature}, k = {k}"] <= 100
    assert ours["kNN", "U, k = 10"] > 90
    assert ("linear probe", "top-5") not in ours, "of three classes it is always 100"
    alone = [ours["linear probe", f"top-1, {name}"] for name in ("cls", "S", "U", "S+cls", "U+cls")]
    assert ours["linear probe", "top-1"] <= max(alone)
    assert ours["linear probe", "top-1, U"] > 90
    assert theirs.keys() < ours.keys()
    assert set(ours) - set(theirs) >= {("reconstruction", "PSNR"), ("kNN", "S, k = 10")}
    assert not list(tmp_path.glob(".features-*"))


def test_counts_and_chance(evaluation: Evaluation) -> None:
    assert evaluation.classes == ("blue", "green", "red")
    assert (evaluation.num_train, evaluation.num_test) == (60, 16)
    assert evaluation.chance == pytest.approx(6 / 16)
    assert [model.num_unreadable for model in evaluation.models] == [1, 1]
    few = "a share of only 16 test pictures is uncertain by some 12 points"
    assert all(few in " ".join(model.notes) for model in evaluation.models)


@pytest.mark.parametrize(
    ("data", "file", "another"),
    [
        ("classes", "classes/a/1.png", "classes/a/3.png"),
        ("classes/labels.csv", "classes/labels.csv", "classes/others.csv"),
        ("masks", "masks/images/1.png", "masks/images/3.png"),
        ("masks", "masks/masks/1.png", "masks/masks/3.png"),
    ],
)
def test_fingerprints_tell_files_of_the_same_names_apart(
    small: ModelConfig, tmp_path: Path, data: str, file: str, another: str
) -> None:
    for folder in ("classes/a", "classes/b", "masks/images", "masks/masks"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(5):
            Image.new("L", (4, 4), number).save(tmp_path / folder / f"{number}.png")
    rows = ["path,label", *(f"{name}/{number}.png,{name}" for name in "ab" for number in range(5))]
    (tmp_path / "classes/labels.csv").write_text("\n".join(rows))
    (tmp_path / "classes/others.csv").write_text("\n".join(rows).replace("1.png,a", "1.png,b"))
    before = fingerprint_of(open_data(tmp_path / data, small))
    assert fingerprint_of(open_data(tmp_path / data, small)) == before
    (tmp_path / file).write_bytes((tmp_path / another).read_bytes())
    assert fingerprint_of(open_data(tmp_path / data, small)) != before


def test_fingerprints_tell_scenes_apart(small: ModelConfig) -> None:
    sets = [open_scenes(small, 5, 5), open_scenes(small, 5, 6), open_scenes(small, 5, 5, seed=1)]
    assert len({fingerprint_of(scenes) for scenes in (*sets, open_scenes(small, 5, 5))}) == 3


def test_the_linear_probe_gives_mean_and_spread_over_seeds(evaluation: Evaluation) -> None:
    (score,) = (s for s in evaluation.models[0].scores if s.quantity.name == "top-1")
    assert score.spread is not None
    assert score.detail.count("rate") == 3
    assert evaluation.protocol["seeds"] == "0, 1, 2"


def test_few_steps_of_the_linear_probe_are_said(
    evaluation: Evaluation, small: ModelConfig, splits: Splits, tmp_path: Path
) -> None:
    """54 of 60 pictures are one batch."""
    said = "the linear probe took only 10 steps of training on so few pictures"
    for model in evaluation.models:
        (note,) = (each for each in model.notes if said in each)
        assert note.endswith("as --epochs 200 for 200 steps or more")
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    settings = EvaluationConfig(epochs=200, num_seeds=1)
    longer = evaluate({"theirs": backbone}, splits, tmp_path, settings)
    assert not any("steps of training" in note for note in longer.models[0].notes)


def test_what_the_data_say_of_themselves_is_a_note(
    small: ModelConfig, mosaics: Callable[..., MaskedSplits], tmp_path: Path
) -> None:
    backbone = Backbone(replace(small, num_sparse_tokens=0)).eval()
    data = replace(mosaics(), notes=("these may be numbers of objects",))
    found = evaluate({"theirs": backbone}, data, tmp_path, EvaluationConfig(num_seeds=1))
    assert data.notes[0] in found.models[0].notes


def test_psnr_is_the_mean_over_the_test_pictures(
    small: ModelConfig, splits: Splits, tmp_path: Path
) -> None:
    model = Stellar(small).eval()
    scores = evaluate({"model": model}, splits, tmp_path).models[0].scores
    (found,) = (score.value for score in scores if score.quantity.name == "PSNR")
    files = sorted((tmp_path / "pictures/val").glob("*/[0-9]*.png"))
    with torch.inference_mode():
        drawn = [model.reconstruct(model.encode(file)) for file in files]
    expected = [psnr(read_image(f)[None] / 255, d) for f, d in zip(files, drawn, strict=True)]
    assert found == pytest.approx(torch.cat(expected).mean().item(), abs=1e-3)


def test_cost_counts_the_factors(small: ModelConfig) -> None:
    factors = Stellar(small).encode(torch.rand(1, 3, 16, 16))
    counts = small.numbers_per_image()
    assert counts["S"] == factors.sparse.numel()
    assert counts["L"] == factors.spatial.numel()
    assert counts["S and L"] == counts["S"] + counts["L"]
    assert counts["dense"] == factors.dense.numel()
    assert replace(small, num_sparse_tokens=0).numbers_per_image()["S and L"] == 0


def test_the_table_has_a_row_for_each_number(evaluation: Evaluation) -> None:
    console = Console(width=140, record=True, quiet=False)
    print_evaluation(evaluation, console)
    text = console.export_text()
    assert text.startswith("Test pictures: 16; training pictures: 60")
    assert "always naming the largest class: 37.5%" in " ".join(text.split())
    assert text.index("linear probe") < text.index("\nkNN") < text.index("  cls, k = 20")
    (row,) = (line for line in text.splitlines() if line.startswith("  PSNR, dB  "))
    assert row.split().count("-") == 1
    assert row.rstrip().endswith(" -")


def test_from_the_command_line(
    small: ModelConfig, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", Stellar(small))
    call = ["evaluate", str(tmp_path / "model"), "--data", str(pictures), "--num-workers", "0"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    page = (tmp_path / "out/report.html").read_text()
    assert "What, where, and back again" in page
    assert page.count('src="data:image') == 1
    assert {"kNN", "linear probe", "reconstruction", "cost"} < report["protocol"].keys()
    (score,) = (s for s in report["models"][0]["scores"] if s["feature"] == "cls" and s["k"] == 10)
    assert score["name"] == "cls, k = 10"
    assert main(["evaluate", "--data", str(pictures)]) == 1
    assert "evaluate needs a model" in capsys.readouterr().err


def test_a_model_has_one_name_wherever_it_is_shown(
    small: ModelConfig, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The short one; the whole one is in the file, and once where it is said what was measured."""
    path = tmp_path / "runs" / "mine"
    path.mkdir(parents=True)
    save_model(path, Stellar(small))
    call = ["evaluate", "stellar-scenes", str(path), "--data", str(pictures), "--num-workers", "0"]
    assert main([*call, "--epochs", "1", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["stellar-scenes", "mine"] in [line.split() for line in lines]
    page = (tmp_path / "out/report.html").read_text()
    assert page.count(f"<dd>{path}</dd>") == page.count(str(path)) == 1
    for shown in ('<th scope="col">', "<span>", "<figcaption>", "<h4>"):
        assert f"{shown}mine<" in page
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["stellar-scenes", str(path)]


def test_five_classes_are_too_few_for_the_best_five() -> None:
    assert (ranks(5), ranks(6)) == (("top-1",), ("top-1", "top-5"))


def test_a_call_that_fails_leaves_no_empty_folder(
    small: ModelConfig, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But one that was there before."""
    spoiled = Stellar(small)
    with torch.no_grad():
        next(p for n, p in spoiled.encoder.named_parameters() if n == "norm.bias").fill_(1e6)
    for name in ("model", "mine"):
        (tmp_path / name).mkdir()
    save_model(tmp_path / "model", spoiled)
    call = ["evaluate", str(tmp_path / "model"), "--data", str(pictures), "--num-workers", "0"]
    for name in ("out", "mine"):
        assert main([*call, "--out", str(tmp_path / name)]) == 1
        assert "is not finite in half precision" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "mine").iterdir())


def test_models_and_backbones_by_their_hub_ids(
    small: ModelConfig,
    pictures: Path,
    tmp_path: Path,
    vit: Path,
    hub_cache: Path,
    place_in_hub_cache: Callable[..., Path],
) -> None:
    Stellar(small).save_pretrained(tmp_path / "pets")
    for name, folder in (("pets", tmp_path / "pets"), ("vit", vit)):
        files = {file: folder / file for file in ("config.json", "model.safetensors")}
        place_in_hub_cache(hub_cache, f"you/{name}", files)
    call = ["evaluate", "you/pets", "you/vit", "--data", str(pictures), "--num-workers", "0"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 0
    ours, theirs = json.loads((tmp_path / "out/report.json").read_text())["models"]
    assert (ours["name"], theirs["name"]) == ("you/pets", "you/vit")
    assert "reconstruction" in {score["test"] for score in ours["scores"]}
    assert "reconstruction" not in {score["test"] for score in theirs["scores"]}


def test_pictures_with_several_labels(small: ModelConfig, pictures: Path, tmp_path: Path) -> None:
    rows = []
    for file in sorted(pictures.rglob("[0-9]*.png")):
        part, name, _ = file.relative_to(pictures).parts
        labels = {"red": "warm;red", "green": "green", "blue": "blue;cold"}[name]
        rows.append(f"{file.relative_to(tmp_path)},{labels},{part}\n")
    table = tmp_path / "labels.csv"
    table.write_text("path,label,split\n" + "".join(rows))
    found = evaluate({"ours": Stellar(small).eval()}, open_labelled(table), tmp_path)
    scores = {(score.quantity.test, score.quantity.name): score for score in found.models[0].scores}
    assert not any(test == "kNN" for test, _ in scores)
    assert scores["linear probe", "mAP"].value > 90
    assert "over the 5 of 5 classes" in scores["linear probe", "mAP"].detail
    assert any(note.startswith("kNN was not measured") for note in found.models[0].notes)
    assert found.chance is None


def test_the_scenes_from_the_command_line(
    small: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stellar.data.evaluation_data.NUM_SCENES", 12)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", Stellar(small))
    call = ["evaluate", str(tmp_path / "model"), "--data", "scenes", "--num-workers", "0"]
    short = ["--epochs", "1", "--num-seeds", "1"]
    assert main([*call, *short, "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    page = (tmp_path / "out/report.html").read_text()
    assert "What, where, and back again" in page
    assert page.count('src="data:image') == 1
    assert report["num_test"] == 12
    assert report["chance"] is None
    assert "embedded scenes" in report["data"]
    assert "the whole picture" in report["models"][0]["preprocessing"]
    tests = {score["test"] for score in report["models"][0]["scores"]}
    assert tests >= {"reconstruction", "cost"}
    assert not tests & {"kNN", "linear probe"}


@pytest.fixture
def published_model(tmp_path: Path, small: ModelConfig) -> Path:
    """A tiny model in the published file's format: safetensors and a manifest."""
    decoder = replace(small.decoder, embed_dim=512, depth=1, num_heads=8, mlp_ratio=4.0)
    config = replace(small, embed_dim=768, depth=1, num_heads=12, patch_size=16, image_size=32)
    config = replace(config, mlp_ratio=4.0, decoder=decoder)
    return save_published(Stellar(config), tmp_path / "published")


def test_the_documented_command_of_the_published_protocol(
    published_model: Path, pictures: Path, masked: Path, tmp_path: Path
) -> None:
    """As it is written, but for the model, the data, and one epoch."""
    line = r"^stellar (evaluate .* --protocol published.*)$"
    (written,) = (found[1] for found in re.finditer(line, MODELS, re.MULTILINE))
    here = ["--published-epochs", "1", "--num-workers", "0", "--out", str(tmp_path / "out")]
    for data, of_data in (
        (pictures, "published linear probe"), (masked, "published segmentation"),
    ):  # fmt: skip
        names = {"stellar-b16": str(published_model), "imagenet": str(data)}
        assert main([names.get(word) or word for word in written.split()] + here) == 0
        report = json.loads((tmp_path / "out/report.json").read_text())
        assert (report["protocol"]["protocol"], report["protocol"]["epochs"]) == ("published", "1")
        (model,) = report["models"]
        tests = {score["test"] for score in model["scores"]}
        assert tests == {of_data, "published reconstruction"}
        assert tests < report["protocol"].keys()
        assert all("that are published" in score["detail"] for score in model["scores"])
        assert model["preprocessing"].startswith("to learn from: random crops of 32 x 32")
        assert model["num_unreadable"] == (data == pictures)
        assert of_data in (tmp_path / "out/report.html").read_text()


def test_protocols_share_no_quantity() -> None:
    ours, published = (
        {quantity for each in BY_PROTOCOL[name] for quantity in each.quantities}
        for name in ("stellar", "published")
    )
    assert not ours & published
    assert len(BY_PROTOCOL) == 2
    assert all("published protocol" in each.protocol for each in BY_PROTOCOL["published"])


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Pictures of two halves, each in the colour of its class."""
    rng = np.random.default_rng(1)
    colours = np.array([[20, 40, 220], [220, 30, 30], [30, 200, 40]], np.uint8)
    for part, count in (("train", 8), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / "masked" / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = rng.integers(3, size=(1, 2)).astype(np.uint8).repeat(36, 0).repeat(20, 1)
            folder = tmp_path / "masked" / part
            Image.fromarray(colours[mask]).save(folder / f"images/{number}.png")
            Image.fromarray(mask).save(folder / f"masks/{number}.png")
    (tmp_path / "masked/classes.txt").write_text("blue\nred\ngreen\n")
    return tmp_path / "masked"
