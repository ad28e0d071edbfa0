"""Whole commands as they are started on a machine: by torchrun, as a job array; and killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stellar.cli import main
from stellar.embedding import embed, read_embeddings
from stellar.model import Stellar
from stellar.model.files.saving import save_model


@pytest.fixture
def saved(tmp_path: Path, model: Stellar) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(folder, model)
    return folder


def test_torchrun_writes_one_data_set(
    tmp_path: Path, model: Stellar, photos: Path, saved: Path
) -> None:
    call = ["embed", saved, photos, "--out", tmp_path / "two", "--part-size", "2"]
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "stellar", *map(str, call)],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"6 images -> {tmp_path}/two\n") == 1
    assert done.stdout.count("1 could not be read") == 1
    embed(model, photos, tmp_path / "one.parquet", part_size=2)
    two, one = read_embeddings(tmp_path / "two"), read_embeddings(tmp_path / "one.parquet")
    assert two.paths == one.paths
    # The same model from its file may sum in another order; half precision has 1e-3.
    for name in ("cls", "tokens", "maps"):
        assert np.allclose(getattr(two, name), getattr(one, name), rtol=1e-3, atol=1e-3)
    assert (tmp_path / "two.unreadable.txt").read_text().count("\n") == 1


def test_a_job_array_killed_goes_on_with_another_number(
    tmp_path: Path, model: Stellar, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "many", tmp_path / "out.parquet"
    photos.mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "red.png")
    for number in range(1200):
        (photos / f"{number}.png").symlink_to(tmp_path / "red.png")
    call = ["embed", saved, photos, "--out", out, "--batch-size", "1", "--part-size", "120"]
    call += ["--num-workers", "0", "--share"]
    processes = [
        subprocess.Popen([sys.executable, "-m", "stellar", *map(str, call), f"{rank}/2"])
        for rank in range(2)
    ]
    data = tmp_path / "out.parquet.parts/data"
    while not list(data.glob("*.parquet")):
        assert all(process.poll() is None for process in processes), "ended before it was killed"
        time.sleep(0.01)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in data.glob("*.parquet")}
    assert 0 < len(before) < 10
    assert main([*map(str, call), "2/3"]) == 0
    assert capsys.readouterr().out == ""
    after = {path.name: path.stat().st_mtime_ns for path in data.glob("*.parquet")}
    assert len(after) == 10
    assert before.items() <= after.items()
    assert embed(model, photos, out).num_images == 1200
    assert read_embeddings(out).paths == sorted(f"{number}.png" for number in range(1200))
    assert {path.name for path in tmp_path.glob("*out.parquet*")} == {"out.parquet"}
