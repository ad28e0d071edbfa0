"""Encoding with ViT-B/16 of random weights: the exported ONNX graph in onnxruntime against torch,
images per second on the CPU.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).parent))

from stellar import export
from stellar.model import Stellar
from stellar.precision import autocast
from stellar.presets import PRESETS
from table import print_table


def eager(model: Stellar, images: torch.Tensor, precision: str) -> None:
    with torch.inference_mode(), autocast(precision, images.device)():
        model.encode(images)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """With as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def seconds(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="b16", choices=PRESETS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    config = PRESETS[options.preset]().model
    model = Stellar(config).eval()
    images = torch.rand(options.batch, config.in_chans, config.image_size, config.image_size)
    with TemporaryDirectory() as folder:
        encode = export(model, Path(folder) / options.preset)[0]
        session = open_session(encode.path)
    runs: dict[str, Callable[[], object]] = {
        "torch fp32": lambda: eager(model, images, "fp32"),
        "torch bf16": lambda: eager(model, images, "bf16"),
        "onnxruntime fp32": lambda: session.run(None, {"images": images.numpy()}),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds + 1):  # the first round warms up
        for name, run in runs.items():
            taken[name].append(seconds(run))
    speed = {name: options.batch / median(times[1:]) for name, times in taken.items()}
    title = f"Encoding after export, {options.preset}, batch {options.batch}, onnxruntime "
    title += f"{onnxruntime.__version__}, largest difference to the model {encode.difference:.1e}"
    rows = [
        (name, f"{speed[name]:.2f}", f"{speed[name] / speed['torch fp32']:.2f}") for name in runs
    ]
    print_table(title, ("", "images/s", "/ torch fp32"), rows)


if __name__ == "__main__":
    main()
