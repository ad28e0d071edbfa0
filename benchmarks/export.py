"""Encoding with an exported ViT-B/16 of random weights: the ONNX graph in onnxruntime against
torch, images a second on the CPU.

    python benchmarks/export.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).parent))

import limits
from stellar import export
from stellar.cost import encoding_flops
from stellar.model import Stellar
from stellar.presets import PRESETS
from table import Row, medians, print_rows


def eager(model: Stellar, images: torch.Tensor) -> None:
    with torch.inference_mode():
        model.encode(images)


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """With as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def rows(preset: str = "b16", batch: int = 8, rounds: int = 7) -> Iterator[Row]:
    """One row, in fp32 on both sides."""
    torch.manual_seed(0)
    config = PRESETS[preset]().model
    model = Stellar(config).eval()
    images = torch.rand(batch, config.in_chans, config.image_size, config.image_size)
    with TemporaryDirectory() as folder:
        encode = export(model, Path(folder) / preset)[0]
        session = open_session(encode.path)
    seconds = medians(
        {
            "ours": lambda: session.run(None, {"images": images.numpy()}),
            "plain": lambda: eager(model, images),
        },
        rounds,
    )
    yield Row(
        f"encoding after export to ONNX, {preset}, batch {batch}, fp32 on the CPU",
        "images/s",
        batch / seconds["ours"],
        batch / seconds["plain"],
        None,
        limits.matmul_flops(torch.float32, "cpu") / encoding_flops(config),
        note=f"plain: torch; onnxruntime {onnxruntime.__version__}, whose largest difference to "
        f"the model is {encode.difference:.1e}",
    )


if __name__ == "__main__":
    print_rows("Encoding after export", rows())
