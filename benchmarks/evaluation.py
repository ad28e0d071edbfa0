"""`stellar evaluate` on a GPU: the model that comes with the package on the embedded scenes, beside
its report, which a CPU made.

    python benchmarks/evaluation.py
"""

import sys
from collections.abc import Iterator
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar.config import EvaluationConfig
from stellar.data.evaluation_data import NUM_SCENES, open_scenes
from stellar.evaluation.evaluate import evaluate
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.report.report_json import read_evaluation
from stellar.load_model import load
from stellar.model.files.known_models import REPORT, SHIPPED
from stellar.precision import choose_device
from table import Row, print_rows, unmeasured

MODEL = "stellar-scenes"
COMPARED = (
    accuracy("Z", "colour", "kNN"),
    accuracy("Z", "class", "kNN"),
    accuracy("L", "place", "kNN"),
    agreement_of("ARI"),
    likeness("PSNR"),
)


def rows(toy: bool = False) -> Iterator[Row]:
    """Seconds of the whole, and some of its scores beside those of the report."""
    device = choose_device("auto")
    what = f"stellar evaluate {MODEL} --data scenes"
    if device.type != "cuda" and not toy:
        yield unmeasured(what, "s", None)
        return
    model, count = load(MODEL, device), 10 if toy else NUM_SCENES
    settings = EvaluationConfig(epochs=1, num_seeds=1) if toy else EvaluationConfig(num_workers=2)
    start = perf_counter()
    with TemporaryDirectory() as folder:
        scenes = open_scenes(model.config, count, count)
        (ours,) = evaluate({MODEL: model}, scenes, folder, settings).models
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = perf_counter() - start
    yield Row(f"{what}, {count:,} scenes", "s", seconds, nan, None, smaller_is_better=True)
    (theirs,) = read_evaluation(SHIPPED[MODEL] / REPORT).models
    for quantity in COMPARED:
        score, other = ours.score(quantity), theirs.score(quantity)
        assert score is not None
        assert other is not None
        yield Row(
            f"its {quantity.test}: {quantity.name}", quantity.unit, score.value, other.value, None,
            note=f"plain: the model's own report, from a CPU, {NUM_SCENES:,} scenes",
        )  # fmt: skip


if __name__ == "__main__":
    print_rows("Evaluation", rows())
