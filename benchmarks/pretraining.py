"""`stellar pretrain` from JPEG files on, as a CUDA graph and not, and with the settings that are
off: speed and losses of whole runs from the same seed.

    python benchmarks/pretraining.py

B/16 at batch 128 on a GPU, from photographs of 500 x 375, crops by the device.
"""

import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from loader import NUM_FILES, write_photographs
from settings import LARGE, in_words
from sizes import run_config, tokenizer_config
from stellar.config import RunConfig
from stellar.model.vqgan import VQGAN
from stellar.precision import choose_device
from stellar.training import pretrain
from stellar.training.run_folder import METRICS, read_metrics
from table import Row, print_rows, unmeasured

BATCH, STEPS = 128, 40
RUNS: dict[str, dict[str, Any]] = {
    "as a CUDA graph": {"cuda_graph": True},
    in_words(LARGE): {"cuda_graph": True, **LARGE},
}
"""Settings of `training` of each run, by what they are."""


def run_of(folder: Path, toy: bool) -> RunConfig:
    """Its files are there: photographs, and a tokenizer in the published format."""
    preset, batch, steps = ("toy", 4, 4) if toy else ("b16", BATCH, STEPS)
    write_photographs(folder)
    for number in range(NUM_FILES, 2 * batch):
        os.link(folder / f"{number % NUM_FILES}.jpg", folder / f"{number}.jpg")
    tokenizer = folder / "tokenizer.bin"
    torch.save(VQGAN(tokenizer_config(preset)).state_dict(), tokenizer)
    config = run_config(preset)
    training = replace(
        config.training,
        steps=steps,
        batch_size=batch,
        num_workers=1 if toy else max(1, len(os.sched_getaffinity(0)) - 2),
        sample_every=0,
        log_every=steps // 4 if toy else 10,
    )
    decoder = replace(config.model.decoder, tokenizer=str(tokenizer))
    model = replace(config.model, decoder=decoder)
    return replace(config, model=model, training=training, data=str(folder))


def later_half(config: RunConfig, out: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Speed and loss, over the later half of a run with these settings of `training`. Without a GPU
    none is recorded.
    """
    if choose_device("auto").type != "cuda":
        settings = settings | {"cuda_graph": False}
    gc.collect()  # the run before, whose compiled methods refer to its model
    run = pretrain(replace(config, training=replace(config.training, **settings)), out)
    if not run.finished:
        raise SystemExit(f"stopped at step {run.step}, before its last one")
    lines = read_metrics(out / METRICS)
    lines = lines[len(lines) // 2 :]
    return {
        "speed": median(line["images_per_second"] for line in lines),
        "loss": mean(line["loss"] for line in lines if line["loss"] is not None),
    }


def rows(toy: bool = False) -> Iterator[Row]:
    """Images a second as the runs' metrics say, and what their losses are."""
    what = f"stellar pretrain, {'toy' if toy else 'b16'}, from JPEG files"
    if not toy and choose_device("auto").type != "cuda":
        yield unmeasured(what, "images/s", None)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photographs").mkdir()
        config = run_of(folder / "photographs", toy)
        plain = later_half(config, folder / "plain", {})
        what += f", batch {config.training.batch_size}"
        note = (
            "plain: the same run, not recorded, from the same seed; later half of the steps, speed "
        )
        note += "as the metrics have it, a moving mean"
        for number, (how, settings) in enumerate(RUNS.items()):
            found = later_half(config, folder / str(number), settings)
            yield Row(f"{what}, {how}", "images/s", found["speed"], plain["speed"], None, note=note)
            yield Row(
                f"{what}, {how}: mean loss", "", found["loss"], plain["loss"], None,
                smaller_is_better=True, note=note,
            )  # fmt: skip


if __name__ == "__main__":
    print_rows("Pretraining", rows())
