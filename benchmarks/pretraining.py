"""`stellar pretrain` from JPEG files on, against its training step alone: what files, crops,
colours, logging and the host's waits take away.

    python benchmarks/pretraining.py

B/16 at batch 128 on a GPU, from photographs of 500 x 375; the step alone in a process of its own.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parent))

from loader import NUM_FILES, write_photographs
from stellar.config import RunConfig
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.precision import choose_device
from stellar.presets import b16
from stellar.training import pretrain
from stellar.training.run_folder import METRICS, read_metrics
from table import Row, in_turns, print_rows, unmeasured

BATCH, STEPS, WARM_UP = 128, 100, 60


def run_of(folder: Path) -> RunConfig:
    """Its files are there: photographs, and a tokenizer in the published format."""
    write_photographs(folder)
    for number in range(NUM_FILES, 2 * BATCH):
        os.link(folder / f"{number % NUM_FILES}.jpg", folder / f"{number}.jpg")
    tokenizer = folder / "tokenizer.bin"
    torch.save(VQGAN(VQGANConfig()).state_dict(), tokenizer)
    config = b16()
    decoder = replace(config.model.decoder, tokenizer=str(tokenizer))
    training = replace(
        config.training,
        steps=STEPS,
        batch_size=BATCH,
        num_workers=max(1, len(os.sched_getaffinity(0)) - 2),
        sample_every=0,
        cuda_graph=True,
    )
    model = replace(config.model, decoder=decoder)
    return replace(config, model=model, training=training, data=str(folder))


def rows() -> Iterator[Row]:
    """Images a second, as the run's last lines of metrics say."""
    what, unit = f"stellar pretrain, b16, batch {BATCH}, from JPEG files", "images/s"
    if choose_device("auto").type != "cuda":
        yield unmeasured(what, unit, None)
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photographs").mkdir()
        pretrain(run_of(folder / "photographs"), folder / "run")
        lines = read_metrics(folder / "run" / METRICS)
    speed = median(row["images_per_second"] for row in lines if row["step"] > WARM_UP)
    options = ["--preset", "b16", "--batch", str(BATCH), "--steps", "5"]
    alone = in_turns(str(Path(__file__).with_name("training_step.py")), ["ours"], options, 1)
    step = BATCH / alone["ours"]["seconds"]
    note = "plain, and limit: the training step alone, on views that are there"
    yield Row(what, unit, speed, step, None, limit=step, note=note)


if __name__ == "__main__":
    print_rows("Pretraining", rows())
