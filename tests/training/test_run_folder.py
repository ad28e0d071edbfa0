"""The run's folder: one writer, nothing overwritten, metrics that survive a crash."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stellar.config import RunConfig
from stellar.config_toml import read_run_config
from stellar.data import Scenes
from stellar.storage import hidden
from stellar.training.run_folder import (
    LOCK,
    LOG,
    METRICS,
    PICTURES,
    SETTINGS,
    RunError,
    RunFolder,
    read_metrics,
)

SECOND_WRITER = """
import sys
from pathlib import Path
from stellar.config import RunConfig
from stellar.training.run_folder import RunError, RunFolder
try:
    RunFolder(Path(sys.argv[1]), RunConfig())
except RunError as error:
    print(error)
"""


def test_a_new_run_describes_itself(tmp_path: Path, config: RunConfig) -> None:
    with RunFolder.create(tmp_path / "deep" / "run", config) as run:
        assert read_run_config(run.path / SETTINGS) == config


def test_a_second_process_is_refused(tmp_path: Path, config: RunConfig) -> None:
    def try_to_write() -> str:
        command = [sys.executable, "-c", SECOND_WRITER, str(tmp_path / "run")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with RunFolder.create(tmp_path / "run", config):
        assert "is being written by another process" in try_to_write()
    assert try_to_write() == ""


def test_existing_things_are_not_touched(tmp_path: Path, config: RunConfig) -> None:
    with RunFolder.create(tmp_path / "run", config) as run:
        run.add_metrics({"step": 1, "loss": 2.0})
    before = {file: file.read_bytes() for file in run.path.iterdir()}
    for _ in range(2):  # the first leaves no lock
        with pytest.raises(RunError, match="holds a run already; add --resume"):
            RunFolder.create(tmp_path / "run", replace(config, data="photos"))
    assert {file: file.read_bytes() for file in run.path.iterdir()} == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    for path in (tmp_path / "notes", tmp_path / "notes" / "a.txt"):
        with pytest.raises(RunError, match="exists and is not a run"):
            RunFolder.create(path, config)
    assert [file.name for file in (tmp_path / "notes").iterdir()] == ["a.txt"]


def test_a_run_that_took_no_step_gives_way_to_another(tmp_path: Path, config: RunConfig) -> None:
    """As after memory that was too small for its batch: with other settings, on other pictures."""
    with RunFolder.create(tmp_path / "run", config) as run:
        run.require_pictures(Scenes("train", size=24, length=10))
        run.add_skipped([("a.jpg", "truncated")])
        run.log("first")
    other = replace(config, data="photos")
    with RunFolder.create(tmp_path / "run", other) as run:
        assert read_run_config(run.path / SETTINGS) == other
        assert run.num_skipped == 0
        run.require_pictures(Scenes("train", size=24, length=20))
        run.log("second")
        first, second = (run.path / LOG).read_text().splitlines()
    assert first.endswith("first")
    assert second.endswith("second")


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_kill_left_half_written_is_no_run(
    tmp_path: Path, config: RunConfig, begun: bool
) -> None:
    """As of its settings, which are the first file of all, and are written again by the next."""
    if begun:
        RunFolder.create(tmp_path, config).__exit__()
    hidden(tmp_path / SETTINGS).touch()
    with RunFolder.create(tmp_path, replace(config, data="photos")) as run:
        assert read_run_config(run.path / SETTINGS).data == "photos"


def test_what_a_kill_left_half_written_goes(tmp_path: Path, config: RunConfig) -> None:
    """Where its writer is gone. Results of others may be on their way into the folder."""
    RunFolder.create(tmp_path, config).__exit__()
    (tmp_path / "checkpoints").mkdir()
    others = {hidden(tmp_path / "tokens.parquet"), tmp_path / "checkpoints/.gitignore"}
    for file in (*others, hidden(tmp_path / METRICS), hidden(tmp_path / "checkpoints/step-2")):
        file.touch()
    RunFolder(tmp_path, config).__exit__()
    assert set(tmp_path.rglob(".*")) == {*others, tmp_path / LOCK}


def test_metrics_of_steps_to_come_are_forgotten(tmp_path: Path, config: RunConfig) -> None:
    with RunFolder.create(tmp_path / "run", config) as run:
        for step in range(1, 6):
            run.add_metrics({"step": step, "loss": step / 3})
        with (run.path / METRICS).open("a") as file:
            file.write('{"step": 6, "lo')
        assert run.last_metrics == {"step": 5, "loss": 5 / 3}
        run.forget_after(3)
        assert run.last_metrics == {"step": 3, "loss": 1.0}
        assert [row["step"] for row in read_metrics(run.path / METRICS)] == [1, 2, 3]


def test_what_is_not_finite_is_null(tmp_path: Path, config: RunConfig) -> None:
    """Also in lines of an earlier version that go through a resumed run's hands."""
    with RunFolder.create(tmp_path / "run", config) as run:
        run.add_metrics({"step": 1, "loss": math.nan, "gradient_norm": math.inf})
        assert run.last_metrics == {"step": 1, "loss": None, "gradient_norm": None}
        with (run.path / METRICS).open("a") as file:
            file.write('{"step": 2, "loss": NaN, "gradient_norm": -Infinity}\n')
        run.forget_after(2)
        assert run.last_metrics == {"step": 2, "loss": None, "gradient_norm": None}
        lines = (run.path / METRICS).read_text().splitlines()
    nothing = '"loss": null, "gradient_norm": null}'
    assert lines == [f'{{"step": 1, {nothing}', f'{{"step": 2, {nothing}']


def test_skipped_images_are_listed_once(tmp_path: Path, config: RunConfig) -> None:
    with RunFolder.create(tmp_path / "run", config) as run:
        assert run.add_skipped([("a.jpg", "truncated"), ("b.jpg", "empty")]) == 2
        assert run.add_skipped([("a.jpg", "truncated")]) == 0
    with RunFolder(tmp_path / "run", config) as run:
        assert run.num_skipped == 2
        assert run.add_skipped([("b.jpg", "empty"), ("c.jpg", "empty")]) == 1
        assert (run.path / "skipped.txt").read_text().count("\n") == 3


def test_scenes_on_another_ground_are_other_pictures(tmp_path: Path, config: RunConfig) -> None:
    """A run from before, which did not note the ground, goes on."""
    paper = Scenes("train", length=100)
    with RunFolder.create(tmp_path / "run", config) as run:
        run.require_pictures(paper)
        run.require_pictures(paper)
        noted = run.path / PICTURES
        noted.write_text(noted.read_text().replace("paper", "photographs"))
        with pytest.raises(RunError, match=r"holds other pictures .* \(100 now, 100 then;"):
            run.require_pictures(paper)
        noted.write_text('{"images": 100}\n')
        run.require_pictures(paper)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", "\x00", '{"names": "x"}', "[" * 100_000]
)
def test_pictures_that_nobody_can_read_are_a_sentence(
    tmp_path: Path, config: RunConfig, content: str
) -> None:
    with RunFolder.create(tmp_path / "run", config) as run:
        (run.path / PICTURES).write_text(content)
        with pytest.raises(RunError, match=r"does not say which pictures .* remove it"):
            run.require_pictures(Scenes("train", size=24, length=10))


def test_lines_that_are_no_metrics_are_left_out(tmp_path: Path, config: RunConfig) -> None:
    with RunFolder.create(tmp_path / "run", config) as run:
        run.add_metrics({"step": 1, "loss": 2.0})
        with (run.path / METRICS).open("ab") as file:
            file.write(b'{}\n[]\nnull\n"a"\n{"step": "a"}\n\xff\n' + b"[" * 100_000 + b"\n")
        run.add_metrics({"step": 2, "loss": 1.0})
        run.forget_after(1)
        assert read_metrics(run.path / METRICS) == [{"step": 1, "loss": 2.0}]
