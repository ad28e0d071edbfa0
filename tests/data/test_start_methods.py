"""Loader workers by every way in which Python starts processes: Linux forks them, macOS and Windows
spawn them, and Python from 3.14 on takes a server that forks.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

USE = """
import multiprocessing, sys
from pathlib import Path

if __name__ == "__main__":
    method, folder = sys.argv[1], Path(sys.argv[2])
    multiprocessing.set_start_method(method)
    import stellar
    from dataclasses import replace
    from stellar.config import EvaluationConfig
    from stellar.data import open_data
    from stellar.evaluation.evaluate import evaluate
    from stellar.presets import demo

    model = stellar.load("stellar-scenes")
    embedded = stellar.embed(model, folder / "pictures", folder / "x.parquet", num_workers=1)
    print("embedded", embedded.num_images, embedded.num_unreadable)
    settings = EvaluationConfig(num_seeds=1, epochs=1, num_workers=1)
    data = open_data(str(folder / "pictures"), model.config)
    found = evaluate({"m": model}, data, folder, settings)
    print("evaluated", found.num_test)
    run = demo()
    run = replace(
        run,
        data=str(folder / "pictures"),
        training=replace(run.training, steps=2, batch_size=4, num_workers=1, sample_every=0),
    )
    print("trained", stellar.pretrain(run, folder / "run").step)
"""


# What another process is given is the same for spawned ones and those of a server. Forked ones are
# in all tests of workers on Linux.
@pytest.mark.parametrize(
    "method",
    [
        "spawn",
        pytest.param("forkserver", marks=pytest.mark.slow),
        pytest.param("fork", marks=pytest.mark.slow),
    ],
)
def test_all_that_reads_pictures_works(tmp_path: Path, method: str) -> None:
    for index in range(12):
        file = tmp_path / f"pictures/{'ab'[index % 2]}/{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 48), (20 * index, 100, 255 * (index % 2))).save(file)
    (tmp_path / "pictures/a/broken.png").write_bytes(b"nothing")
    script = tmp_path / "use.py"
    script.write_text(USE)
    call = [sys.executable, "-W", "ignore", str(script), method, str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["embedded 12 1", "evaluated 2", "trained 2"]


UNGUARDED = """
import multiprocessing, sys
from dataclasses import replace
from stellar.presets import demo
import stellar

multiprocessing.set_start_method("spawn")
run = demo()
run = replace(run, training=replace(run.training, steps=2, batch_size=4, num_workers=2))
stellar.pretrain(run, sys.argv[1])
"""


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    script = tmp_path / "use.py"
    script.write_text(UNGUARDED)
    call = [sys.executable, "-W", "ignore", str(script), str(tmp_path / "run")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert 'belongs below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
