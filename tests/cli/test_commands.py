"""Commands as a user types them: help, mistakes, and the way from a folder of pictures to its
tokens.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
from PIL import Image

from stellar.cli import COMMANDS

SMALL = [
    "--model.image-size",
    "32",
    "--model.patch-size",
    "8",
    "--model.embed-dim",
    "24",
    "--model.depth",
    "1",
    "--model.num-heads",
    "2",
    "--model.decoder.embed-dim",
    "16",
    "--model.decoder.depth",
    "1",
    "--model.decoder.num-heads",
    "2",
    "--views.local-size",
    "16",
    "--views.num-masked",
    "2",
    "--views.num-local",
    "1",
    "--objective.num-prototypes",
    "16",
    "--training.batch-size",
    "8",
    "--training.num-workers",
    "1",
]


def stellar(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stellar", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
        env=os.environ
        | {"COLUMNS": "100", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": f"{gettempdir()}/no-hub"},
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen_and_shows_an_example(command: str) -> None:
    done = stellar(*command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) <= 50
    assert f"stellar {command or 'pretrain'} " in done.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_does_not_wait_for_torch(command: str) -> None:
    """What makes it start in a moment: none of the heavy libraries is imported."""
    script = (
        "import sys\nfrom stellar.cli import main\n"
        f"try: main({[*command.split(), '--help']})\nexcept SystemExit: pass\n"
        "print('heavy:', sorted({'torch', 'pyarrow', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("pretrian", 2, "a command; did you mean 'pretrain'? See stellar --help.\n"),
        ("qqqq", 2, "error: 'qqqq' is not a command. See stellar --help.\n"),
        ("pretrain", 1, "pretrain needs --data"),
        ("pretrain --data nowhere", 1, "nowhere does not exist"),
        ("pretrain --data . --preset tyni", 1, "did you mean 'tiny'?"),
        ("pretrain --config nowhere.toml", 1, "nowhere.toml does not exist"),
        ("pretrain --out nowhere --resume", 1, "holds no run to resume"),
        ("pretrain --out x --resume --training.steps 3", 1, "a resumed run keeps its settings"),
        ("pretrain --data . --training.steps many", 2, "steps"),
        ("pretrain --data . --training.stepz 3", 2, "--training.steps"),
        ("pretrain --data cutouts --model.image-size 100", 2, "multiple of model.patch_size"),
        ("pretrain --data cutouts --preset b16", 1, "fun-research/TiTok can be had neither"),
        ("pretrain --data cutouts --device cuda:9", 1, "device 'cuda:9' cannot be used"),
        ("pretrain --data s3x://bucket/a.tar", 1, "no address that fsspec reads"),
        ("pretrain --data {a,b}.tar", 1, "a.tar, but there are none"),
        ("shard nowhere --out shards", 1, "nowhere does not exist"),
        ("shard . --shard-size 0", 1, "at least 1 MB"),
        ("embed nowhere photos", 1, "nowhere does not exist"),
        ("embed nowhere photos --fit pad", 2, "pad"),
        ("reconstruct nowhere a.png", 1, "nowhere does not exist"),
        ("reconstruct nowhere a.png --fit corp", 2, "corp"),
        ("cost b17", 1, "did you mean 'b16'?"),
        ("cost --images many", 1, "--images must be a number such as 20000, 20k, 1.28M"),
        ("cost --gpus 0", 1, "--gpus, --tflops and --images-per-core must be above 0"),
        ("export nowhere", 1, "nowhere does not exist"),
        ("export nowhere --format onxx", 2, "--format"),
        ("info nowhere", 1, "nowhere does not exist"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tmp_path: Path, arguments: str, code: int, message: str
) -> None:
    done = stellar(*arguments.split(), cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "out"), [("compare", "comparison"), ("ablate", "ablation")])
def test_studies_take_the_same_options(command: str, out: str) -> None:
    """Said once, for both; each has its own folder."""
    told = " ".join(stellar(command, "--help").stdout.replace("│", "").split())
    for option in (
        f"--out PATH Folder for the runs and the report. (default: {out})",
        "--data STR Folder of images, or cutouts: the embedded scenes. (default: cutouts)",
        "--preset STR The run that all others are variants of. (default: demo)",
        "--config FILE A run.toml in its place. (default: None)",
    ):
        assert option in told


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--help", "cost --help", "cost"])
def test_a_reader_that_leaves_early_is_no_error(arguments: str, unbuffered: str) -> None:
    """As `head` does: while a command writes, or as it ends, where Python held its output back."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "stellar", *arguments.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_settings_lists_every_field() -> None:
    done = stellar("pretrain", "--settings")
    assert done.returncode == 0, done.stderr
    for name in ("--model.num-sparse-tokens", "--objective.koleo-weight", "--training.seed"):
        assert name in done.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures of mixed formats and sizes, three of them broken."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(27):
        mode, suffix = [("RGB", "jpg"), ("L", "png"), ("RGBA", "webp"), ("P", "gif")][number % 4]
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        size = (40 + 7 * number, 90 - 2 * number)
        place = (folder, folder / "deep", folder / "deep" / "er")[number % 3]
        picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
        picture.convert(mode).save(place / f"{number:02d}.{suffix}")
    whole = (folder / "00.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.webp").write_text("not a picture")
    return folder


def test_from_a_folder_of_pictures_to_their_tokens(tmp_path: Path, photos: Path) -> None:
    trained = stellar(
        "pretrain", "--data", photos, "--out", "runs/photos", *SMALL, "--training.steps", "12",
        "--training.sample-every", "6", cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "stellar embed runs/photos" in trained.stdout
    assert (tmp_path / "runs/photos/skipped.txt").read_text().count("\n") == 3
    assert (tmp_path / "runs/photos/samples/step-00000012.png").exists()

    again = stellar("pretrain", "--data", photos, "--out", "runs/photos", *SMALL, cwd=tmp_path)
    assert again.returncode == 1
    assert "holds a run already; add --resume" in again.stderr

    embedded = stellar(
        "embed", "runs/photos", photos, "--out", "photos.parquet", "--fit", "squash", cwd=tmp_path
    )
    assert embedded.returncode == 0, embedded.stderr
    assert "27 images -> photos.parquet" in embedded.stdout
    assert "3 could not be read" in embedded.stdout

    drawn = stellar(
        "reconstruct", "runs/photos", photos, "--count", "4", "--fit", "resize", cwd=tmp_path
    )
    assert drawn.returncode == 0, drawn.stderr
    assert "mean PSNR" in drawn.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400

    exported = stellar("export", "runs/photos", "--format", "torch-export", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert "sparse, spatial, grid -> images" in exported.stdout
    assert {path.name for path in tmp_path.glob("*.pt2")} == {
        "model-encode.pt2",
        "model-reconstruct.pt2",
    }

    judged = stellar("evaluate", "runs/photos", "--data", photos, cwd=tmp_path)
    assert judged.returncode == 1
    assert "holds pictures outside of class folders" in judged.stderr

    told = stellar("info", "runs/photos", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "step 12" in told.stdout
    assert "4 x 4 patches" in told.stdout


def test_shards_in_place_of_a_folder(tmp_path: Path, photos: Path) -> None:
    written = stellar("shard", photos, "--out", "shards", "--shard-size", "1", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert "30 images in 1 shard -> shards" in written.stdout
    trained = stellar(
        "pretrain", "--data", "shards/*.tar", "--out", "run", *SMALL, "--training.steps", "2",
        cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run/skipped.txt").read_text().count("shard-000000.tar/") == 3
    assert f'data = "{tmp_path}/shards/*.tar"' in (tmp_path / "run/run.toml").read_text()
    embedded = stellar("embed", "run", "shards", "--out", "shards.parquet", cwd=tmp_path)
    assert embedded.returncode == 0, embedded.stderr
    assert "27 images -> shards.parquet" in embedded.stdout
    drawn = stellar("reconstruct", "run", "shards/shard-{000000..000000}.tar", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr


def test_a_run_can_be_started_from_its_own_file(tmp_path: Path, photos: Path) -> None:
    first = stellar(
        "pretrain", "--data", photos, "--out", "a", *SMALL, "--training.steps", "2", cwd=tmp_path
    )
    assert first.returncode == 0, first.stderr
    second = stellar(
        "pretrain", "--config", "a/run.toml", "--out", "b", "--training.seed", "5", cwd=tmp_path
    )
    assert second.returncode == 0, second.stderr
    files = [(tmp_path / name / "run.toml").read_text().splitlines() for name in "ab"]
    assert [pair for pair in zip(*files, strict=True) if len(set(pair)) > 1] == [
        ("seed = 0", "seed = 5")
    ]


def test_info_without_a_model() -> None:
    done = stellar("info")
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout
    assert "b16-scratch" in done.stdout
    assert stellar("--version").stdout.startswith("stellar 0.")


def test_cost_needs_no_pictures_and_no_model() -> None:
    done = stellar("cost", "b16", "--images", "1.28M", "--gpus", "8")
    assert done.returncode == 0
    assert "| GPU hours at 330 TFLOP/s | 108 |" in done.stdout


def test_changes_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from stellar.evaluation.evaluators import HEADLINE
    from stellar.evaluation.report.terminal import print_changes
    from stellar.evaluation.scores import Evaluation, ModelScores, Score

    scores = tuple(Score(m.quantities[0], 0.25, spread=0.01) for m in HEADLINE)
    models = tuple(ModelScores(f"without {name}", "", "", 0, scores) for name in ("a", "b"))
    evaluation = Evaluation("scenes", 1, 1, (), None, {"spread": "of two"}, models)
    print_changes(evaluation, Console(width=80))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("without a") == shown.count("without b") > 1
    assert max(map(len, shown.splitlines())) <= 80
