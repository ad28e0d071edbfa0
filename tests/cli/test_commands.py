"""Commands as a user types them: help, mistakes, and the way from a folder of pictures to its
tokens.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.torch_version import TorchVersion

from stellar.cli import COMMANDS, main
from stellar.cli.info import EXTRAS
from stellar.config_toml import to_toml
from stellar.embedding import read_embeddings
from stellar.presets import PRESETS

MODELS = Path(__file__).parents[2] / "docs/models.md"
SMALL = (
    "--model.image-size 32 --model.patch-size 8 --model.embed-dim 24 --model.depth 1 "
    "--model.num-heads 2 --model.decoder.embed-dim 16 --model.decoder.depth 1 "
    "--model.decoder.num-heads 2 --views.local-size 16 --views.num-masked 2 --views.num-local 1 "
    "--objective.num-prototypes 16 --training.batch-size 8 --training.num-workers 1"
)

pytestmark = pytest.mark.usefixtures("hub_cache")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def stellar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Done]:
    """A command as a user types it, in an empty folder, but in this process: another one would
    import torch before it does anything.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(arguments: str) -> Done:
        capsys.readouterr()
        try:
            code = main(shlex.split(arguments))
        except SystemExit as end:  # the parser's, after help and for a wrong call
            code = int(end.code or 0)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_screen_and_shows_an_example(
    stellar: Callable[[str], Done], command: str
) -> None:
    done = stellar(f"{command} --help")
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
        ("pretrain --data=", 1, "pretrain needs --data"),
        ("pretrain --data . --preset tyni", 1, "run.toml), got 'tyni'; did you mean 'tiny'?"),
        ("pretrain --preset tiny --config a.toml", 1, "a preset; leave out --preset tiny"),
        ("compare --preset tiny --config a.toml", 1, "a preset; leave out --preset tiny"),
        ("compare --data photos", 1, "photos does not exist"),
        ("compare --data photos-*.tar", 1, "photos-*.tar have no labels: add --test"),
        ("compare vit --data photos", 1, "must be one of stellar, slots, dino, mae, dense, got"),
        ("pretrain --config nowhere.toml", 1, "nowhere.toml does not exist"),
        ("pretrain --out nowhere --resume", 1, "holds no run to resume"),
        ("pretrain --out x --resume --training.steps 3", 1, "(got --training.steps 3), or start"),
        ("pretrain --out x --resume --preset b16", 1, "a resumed run keeps its settings"),
        (
            "pretrain --out x --resume --settings",
            1,
            "or start a new run from it, with --config x/run.toml --init x",
        ),
        ("pretrain --data . --training.steps many", 2, "steps"),
        ("pretrain --data . --training.stepz 3", 2, "--training.steps"),
        ("pretrain --data scenes --model.image-size 100", 1, "multiple of model.patch_size"),
        ("pretrain --data scenes --preset b16", 1, "fun-research/TiTok can be had neither"),
        ("pretrain --data scenes --device cuda:9", 1, "device 'cuda:9' cannot be used"),
        ("pretrain --data s3x://bucket/a.tar", 1, "no address that fsspec reads"),
        ("pretrain --data {a,b}.tar", 1, "a.tar, but there are none"),
        ("shard nowhere --out shards", 1, "nowhere does not exist"),
        ("shard ''", 1, "expected a path or an address, got ''"),
        ("shard . --shard-size 0", 1, "at least 1 MB"),
        ("embed nowhere photos", 1, "nowhere does not exist"),
        ("embed nowhere photos --fit pad", 2, "pad"),
        ("embed stellar-scenes . --out photos.csv", 1, "got --out photos.csv; a name without"),
        ("embed stellar-scenes . --tokens 13", 1, "1 to 12 of them can be kept, got tokens = 13"),
        ("embed stellar-scenes . --share 2/2", 1, "I of N processes counted from 0"),
        ("reconstruct nowhere a.png", 1, "nowhere does not exist"),
        ("reconstruct nowhere a.png --fit corp", 2, "corp"),
        (
            "reconstruct nowhere a.png --count 0",
            1,
            "--count must be a whole number of at least 1, got 0",
        ),
        ("cost b17", 1, "run.toml), got 'b17'; did you mean 'b16'?"),
        ("cost runs/a", 1, "a preset is one of demo, tiny, b16"),
        ("cost --preset b16", 1, "cost needs presets or run.toml files, as in: stellar cost"),
        ("cost --images many", 1, "--images must be a number such as 20000, 20k, 1.28M"),
        ("cost --gpus 0", 1, "--gpus must be a number above 0, got 0"),
        ("cost --tflops inf", 1, "--tflops must be a number above 0, got inf"),
        ("cost --images-per-core nan", 1, "--images-per-core must be a number above 0, got nan"),
        ("cost --image-kilobytes -1", 1, "--image-kilobytes must be a number above 0, got -1.0"),
        ("cost --images 0", 1, "--images must be a number such as 20000, 20k, 1.28M"),
        ("demo --scenes 0", 1, "--scenes must be a whole number of at least 1, got 0"),
        ("export nowhere", 1, "nowhere does not exist"),
        ("export nowhere --format onxx", 2, "--format"),
        ("info nowhere", 1, "nowhere does not exist"),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(
    tmp_path: Path, stellar: Callable[[str], Done], arguments: str, code: int, message: str
) -> None:
    done = stellar(arguments)
    assert done.returncode == code
    assert message in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["compare", "ablate"])
def test_pictures_without_labels_need_others_to_judge_by(
    command: str, stellar: Callable[[str], Done], photos: Path
) -> None:
    done = stellar(f"{command} --data {photos}")
    assert done.returncode == 1
    assert f"{photos} holds pictures outside of class folders, as " in done.stderr
    assert "add --test with pictures that have labels or masks" in done.stderr
    assert done.stderr.count("\n") == 1


def test_home_is_a_tilde_also_where_a_shell_leaves_it(
    tmp_path: Path, stellar: Callable[[str], Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in "~/photos" and --out=~/sheet.png."""
    photos = tmp_path / "home/photos"
    photos.mkdir(parents=True)
    Image.new("RGB", (48, 48)).save(photos / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    call = "reconstruct stellar-scenes ~/photos"
    assert "would be read as one of its pictures" in stellar(f"{call} --out=~/photos/b.png").stderr
    assert "is one of the pictures" in stellar(f"{call}/a.png --out ~/photos/a.png").stderr
    done = stellar(f"{call} --out=~/sheet.png")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"photos", "sheet.png"}


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    for arguments, code, told, message in (
        ("info nowhere", 1, "", "stellar: error: nowhere does not exist"),
        ("pretrain --data . --training.steps many", 2, "", "steps"),
        ("--version", 0, "stellar 0.", ""),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "stellar", *arguments.split()],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == code
        assert done.stdout.startswith(told)
        assert bool(done.stdout) == bool(told)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "out"), [("compare", "comparison"), ("ablate", "ablation")])
def test_studies_take_the_same_options(
    stellar: Callable[[str], Done], command: str, out: str
) -> None:
    """Said once, for both; each has its own folder."""
    told = " ".join(stellar(f"{command} --help").stdout.replace("│", "").split())
    for option in (
        f"--out PATH Folder for the runs and the report. (default: {out})",
        "--data STR Folder of images, or scenes: the embedded ones. (default: scenes)",
        "--preset PRESET The run that all others are variants of; demo by default. (default: none)",
        "--config FILE A run.toml in its place. (default: none)",
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["--help", "--version", "cost --help", "cost"])
def test_an_output_that_cannot_be_written_is_one_sentence(arguments: str, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stellar", *arguments.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert (done.returncode, done.stderr) == (1, "stellar: error: No space left on device\n")


def test_help_ends_in_the_narrowest_terminal() -> None:
    """With limits, since it took all of the machine's memory."""
    done = subprocess.run(
        ["sh", "-c", 'ulimit -v 3000000; exec "$0" -m stellar embed --help', sys.executable],
        capture_output=True,
        timeout=60,
        env=os.environ | {"COLUMNS": "5"},
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_settings_lists_every_field(stellar: Callable[[str], Done]) -> None:
    done = stellar("pretrain --settings")
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


def test_the_command_that_docs_show_for_dinov3(
    tmp_path: Path,
    stellar: Callable[[str], Done],
    photos: Path,
    hub_cache: Path,
    place_in_hub_cache: Callable[..., Path],
) -> None:
    """With a tiny one of random numbers in the hub's cache, and a small run."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    (command,) = re.findall(r"^stellar (pretrain .*dinov3.*)$", MODELS.read_text(), flags=re.M)
    repo = re.search(r"--init (\S+)", command)
    assert repo is not None
    small: dict[str, Any] = {
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 8,
        "num_register_tokens": 4,
    }
    DINOv3ViTModel(DINOv3ViTConfig(**small)).save_pretrained("dinov3")
    files = {name: Path("dinov3", name) for name in ("config.json", "model.safetensors")}
    place_in_hub_cache(hub_cache, repo[1], files)
    (tmp_path / "photos").symlink_to(photos)
    trained = stellar(f"{command} {SMALL} --model.decoder.target pixels --training.steps 3")
    assert trained.returncode == 0, trained.stderr
    assert f"starting from {repo[1]} (DINOv3)" in trained.stdout + trained.stderr
    assert "rotary, base 100" in stellar("info runs/dinov3").stdout
    embedded = stellar("embed runs/dinov3 photos --out photos.parquet")
    assert "27 images -> photos.parquet" in embedded.stdout


@pytest.mark.long
@pytest.mark.usefixtures("unchecked")
def test_from_a_folder_of_pictures_to_their_tokens(
    tmp_path: Path, stellar: Callable[[str], Done], photos: Path
) -> None:
    start = f"pretrain --data {photos} --out runs/photos {SMALL}"
    trained = stellar(f"{start} --training.steps 4 --training.sample-every 2")
    assert trained.returncode == 0, trained.stderr
    assert "stellar embed runs/photos" in trained.stdout
    assert (tmp_path / "runs/photos/skipped.txt").read_text().count("\n") == 3
    assert (tmp_path / "runs/photos/samples/step-00000004.png").exists()

    again = stellar(start)
    assert again.returncode == 1
    assert "holds a run already; add --resume" in again.stderr

    embedded = stellar(f"embed runs/photos {photos} --out photos.parquet --fit squash")
    assert embedded.returncode == 0, embedded.stderr
    assert "27 images -> photos.parquet" in embedded.stdout
    assert "3 could not be read" in embedded.stdout

    drawn = stellar(f"reconstruct runs/photos {photos} --count 4 --fit resize")
    assert drawn.returncode == 0, drawn.stderr
    assert "mean PSNR" in drawn.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400

    exported = stellar("export runs/photos --format torch-export")
    if TorchVersion(torch.__version__) < "2.11":
        assert "export needs torch 2.11 or newer" in exported.stderr
    else:
        assert exported.returncode == 0, exported.stderr
        assert "sparse, spatial, grid -> images" in exported.stdout
    assert {path.name for path in tmp_path.glob("*.pt2")} == {
        "model-encode.pt2",
        "model-reconstruct.pt2",
    }

    judged = stellar(f"evaluate runs/photos --data {photos}")
    assert judged.returncode == 1
    assert "holds pictures outside of class folders" in judged.stderr

    told = stellar("info runs/photos")
    assert told.returncode == 0, told.stderr
    assert "step 4" in told.stdout
    assert "4 x 4 patches" in told.stdout


def test_a_run_that_learns_no_drawing_does_not_promise_any(
    stellar: Callable[[str], Done], photos: Path
) -> None:
    """Only what masked views hide is drawn: nothing of whole pictures, and no prototypes."""
    off = ("reconstruction", "token-clustering", "cls-clustering", "set-alignment", "koleo")
    weights = " ".join(f"--objective.{term}-weight 0" for term in (*off, "cls-masked", "cls-local"))
    trained = stellar(
        f"pretrain --data {photos} --out run {SMALL} --training.steps 2 {weights} "
        "--objective.masked-reconstruction-weight 1"
    )
    assert trained.returncode == 0, trained.stderr
    assert "stellar embed run" in trained.stdout
    assert "reconstruct" not in trained.stdout
    told = stellar("info run")
    assert told.returncode == 0, told.stderr
    assert "none that learned to draw" in told.stdout
    assert "step 2" in told.stdout
    assert "prototypes in use" not in told.stdout


def test_shards_in_place_of_a_folder(
    tmp_path: Path, stellar: Callable[[str], Done], photos: Path
) -> None:
    written = stellar(f"shard {photos} --out shards --shard-size 1")
    assert written.returncode == 0, written.stderr
    assert "30 images in 1 shard -> shards" in written.stdout
    trained = stellar(f"pretrain --data shards/*.tar --out run {SMALL} --training.steps 2")
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "run/skipped.txt").read_text().count("shard-000000.tar/") == 3
    assert f'data = "{tmp_path}/shards/*.tar"' in (tmp_path / "run/run.toml").read_text()
    embedded = stellar("embed run shards --out shards.parquet --tokens 2")
    assert embedded.returncode == 0, embedded.stderr
    assert "27 images -> shards.parquet" in embedded.stdout
    assert read_embeddings(tmp_path / "shards.parquet").tokens.shape[:2] == (27, 2)
    drawn = stellar("reconstruct run shards/shard-{000000..000000}.tar")
    assert drawn.returncode == 0, drawn.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="ulimit is of Unix shells")
def test_a_run_that_could_not_be_written_says_how_it_goes_on(tmp_path: Path, photos: Path) -> None:
    """Files of up to 8 kB may be written: the settings, but no checkpoint."""
    command = shlex.join([
        sys.executable, "-m", "stellar", "pretrain", "--data", str(photos), "--out", "my run",
        *SMALL.split(), "--training.steps", "1", "--training.num-workers", "0",
        "--training.sample-every", "0",
    ])  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 8; exec {command}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(
        r"error: my run/checkpoints/step-00000001 cannot be written \(File too large\); make room "
        r"or the right to write there, and go on with: stellar pretrain --out 'my run' --resume\n$",
        done.stderr,
    ), done.stderr


def test_a_run_can_be_started_from_its_own_file(
    tmp_path: Path, stellar: Callable[[str], Done], photos: Path
) -> None:
    first = stellar(f"pretrain --data {photos} --out a {SMALL} --training.steps 2")
    assert first.returncode == 0, first.stderr
    second = stellar("pretrain --config a/run.toml --out b --training.seed 5")
    assert second.returncode == 0, second.stderr
    files = [(tmp_path / name / "run.toml").read_text().splitlines() for name in "ab"]
    assert [pair for pair in zip(*files, strict=True) if len(set(pair)) > 1] == [
        ("seed = 0", "seed = 5")
    ]


def test_info_knows_every_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert list(EXTRAS) == [extra for extra in extras if extra != "dev"]
    assert [len(packages) for packages in EXTRAS.values()] == [len(extras[e]) for e in EXTRAS]
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert all(f"\n| `{extra}` | " in readme for extra in EXTRAS)


def test_info_without_a_model(stellar: Callable[[str], Done]) -> None:
    done = stellar("info")
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout
    assert "b16-scratch" in done.stdout


def test_cost_needs_no_pictures_and_no_model(stellar: Callable[[str], Done]) -> None:
    done = stellar("cost b16 --images 1.28M --gpus 8")
    assert done.returncode == 0
    assert "| GPU hours at 330 TFLOP/s | 108 |" in done.stdout


def test_the_cost_of_a_run_is_that_of_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.toml").write_text(to_toml(PRESETS["tiny"]()))
    costs = []
    for name in (str(tmp_path / "run"), str(tmp_path / "run/run.toml"), "tiny"):
        assert main(["cost", name, "--images", "2k"]) == 0
        costs.append(capsys.readouterr().out.replace(name, "it"))
    assert costs[0] == costs[1] == costs[2]
    assert "| hours on 1 GPU |" in costs[0]
    assert "it: steps as short as these take longer" in costs[0]
    assert main(["cost", "tiny", "--images", "2k", "--tflops", "0.24"]) == 0
    assert "take longer" not in capsys.readouterr().out


def test_the_cost_of_all_presets_stands_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Some have a second whole view, and most have none."""
    assert main(["cost", *PRESETS]) == 0
    header, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert header == f"|  | {' | '.join(PRESETS)} |"
    (views,) = (row for row in rows if "local, second views" in row)
    assert [cell.endswith(", 0 %") for cell in views.split(" | ")[1:]].count(False) == 2


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
