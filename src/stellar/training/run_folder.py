"""The folder of one run: its configuration, metrics, log, pictures and checkpoints, and the lock
of its one writer.

run.toml  pictures.json  metrics.jsonl  log.txt  skipped.txt  samples/  checkpoints/
"""

import json
import math
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from stellar.config import RunConfig
from stellar.config_toml import SETTINGS, to_toml
from stellar.data import ImageSource, Listed, Scenes
from stellar.errors import UserError
from stellar.json_text import parse_json
from stellar.storage import append, locked, one_line, place_file, sweep, write_file, writing

METRICS, LOG, SKIPPED = "metrics.jsonl", "log.txt", "skipped.txt"
PICTURES = "pictures.json"
"""How many there are, and their fingerprint, as the run was begun."""
LOCK = ".lock"
BEGUN = {SETTINGS, PICTURES, LOG, SKIPPED}
"""What a run has before its first step: its log is written on, the rest is made again."""
REPLACED = (SETTINGS, PICTURES, METRICS, "samples/step-*", "checkpoints/step-*")
"""What is written beside its place first. Others may put results of theirs into the folder."""


class RunError(UserError):
    """A run's folder cannot be used as asked; the message says what to do."""


class RunFolder:
    """An open run; a context manager that holds its lock, and has removed what a killed process
    left half-written. Raises RunError when another has the lock.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config
        self.last_metrics: dict[str, Any] = {}
        """The newest line, empty before the first."""
        try:
            self._lock = locked(path / LOCK)
        except BlockingIOError:
            raise RunError(
                f"{path} is being written by another process; "
                "wait for it, stop it, or choose another folder"
            ) from None
        for name in REPLACED:
            sweep(path / name)

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> "RunFolder":
        """A new run, also in place of one that ended before its first step. Raises RunError when
        the folder holds one that took steps, or anything else.
        """
        is_run = (path / SETTINGS).exists()
        if path.exists() and not is_run and (not path.is_dir() or _names(path)):
            raise RunError(f"{path} exists and is not a run; choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path, config)
        except OSError as error:
            raise RunError(
                f"{path} cannot be written ({error.strerror}); choose another --out"
            ) from error
        if is_run and _names(path) - BEGUN:
            run.__exit__()
            raise RunError(
                f"{path} holds a run already; add --resume to continue it, or choose another --out"
            )
        with writing(path):
            for name in (PICTURES, SKIPPED):
                (path / name).unlink(missing_ok=True)
        write_file(path / SETTINGS, to_toml(config))
        return run

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def require_pictures(self, source: ImageSource) -> None:
        """Raises RunError when the run was begun with other pictures, or in another order; the
        first call notes which they are.
        """
        found: dict[str, Any] = {"images": len(source)}
        if isinstance(source, Listed):
            found["fingerprint"] = source.fingerprint()
        elif isinstance(source, Scenes):
            found["ground"] = source.ground
        file = self.path / PICTURES
        if not file.exists():
            write_file(file, json.dumps(found) + "\n")
        elif not (before := _pictures_of(file)).items() <= found.items():
            raise RunError(
                f"{self.config.data} holds other pictures than this run was begun with "
                f"({found['images']:,} now, {before['images']:,} then; or names or files were "
                "changed), so it cannot go on as if it had never stopped: make the folder what it "
                f"was, or start a new run from this one, with --config {self.path / SETTINGS} "
                f"--init {self.path}"
            )

    def log(self, message: str) -> None:
        """One dated line of the log."""
        append(self.path / LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """One JSON line."""
        append(self.path / METRICS, line := _line(row))
        self.last_metrics = parse_json(line)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps that a resumed run will take again, and a half-written last
        line.
        """
        path = self.path / METRICS
        if path.exists():
            lines = [_line(row) for row in read_metrics(path) if row["step"] <= step]
            write_file(path, "".join(lines))
            self.last_metrics = parse_json(lines[-1]) if lines else {}

    def add_skipped(self, images: Iterable[tuple[str, str]]) -> int:
        """List images that could not be read, each once. Returns how many were not listed yet."""
        new = [(name, why) for name, why in images if one_line(name) not in self._skipped]
        if new:
            lines = (f"{one_line(name)}\t{one_line(reason)}\n" for name, reason in new)
            append(self.path / SKIPPED, "".join(lines))
            self._skipped.update(one_line(name) for name, _ in new)
        return len(new)

    @cached_property
    def _skipped(self) -> set[str]:
        """Names of images that were listed so far."""
        file = self.path / SKIPPED
        lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
        return {line.split("\t")[0] for line in lines}

    @property
    def num_skipped(self) -> int:
        """Different images that could not be read so far."""
        return len(self._skipped)

    def add_sample(self, step: int, picture: Image.Image) -> Path:
        """A picture of what the model sees at a step: where it lies."""
        file = self.path / "samples" / f"step-{step:08d}.png"
        with writing(file.parent):
            file.parent.mkdir(exist_ok=True)
        place_file(file, picture.save)
        return file


def _line(row: Mapping[str, Any]) -> str:
    """A line of metrics: null for what is not finite, which JSON has no word for."""
    known = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(known, allow_nan=False) + "\n"


def _names(folder: Path) -> set[str]:
    """What is in it, but hidden names: the lock, and what a killed process left half-written."""
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def _pictures_of(file: Path) -> dict[str, Any]:
    """What a run was begun with. Raises RunError for a file that does not say it."""
    try:
        before = parse_json(file.read_text("utf-8"))
        if isinstance(before["images"], int):
            return before
    except (ValueError, KeyError, TypeError):
        pass
    raise RunError(
        f"{file} does not say which pictures this run was begun with; if they are what they were, "
        "remove it, and it is written again"
    )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a line that was cut off by a crash, or is of something else, is
    left out.
    """
    rows = []
    for line in path.read_text("utf-8", "replace").splitlines():
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows
