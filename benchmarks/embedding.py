"""`stellar embed` from a folder of JPEG files to Parquet, against encoding alone, and how fast rows
become Parquet.

    python benchmarks/embedding.py

Encoding alone has the same model, batches, threads and precision, and pictures that are decoded
already. All sides take turns.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from loader import NUM_FILES, write_photographs
from sizes import run_config
from stellar.data import ImageFolder
from stellar.data.picture_batches import picture_batches
from stellar.embedding import Embedder, embed
from stellar.embedding.parts import LAYOUT
from stellar.model import Stellar
from stellar.precision import choose_device, inference
from stellar.presets import PRESETS
from table import Row, medians, print_rows


def rows(
    preset: str = "b16",
    repeats: int | None = None,
    batch_size: int | None = None,
    rounds: int = 3,
    toy: bool = False,
) -> Iterator[Row]:
    """End to end, and writing alone; on a GPU, with more pictures and larger batches."""
    torch.manual_seed(0)
    device = choose_device("auto")
    preset = "toy" if toy else preset
    usual = (1, 16) if toy else (50, 128) if device.type == "cuda" else (4, 16)
    repeats, batch_size = repeats or usual[0], batch_size or usual[1]
    model = Stellar(run_config(preset).model).eval().to(device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photographs"
        folder.mkdir()
        write_photographs(folder)
        for number, file in enumerate(sorted(folder.iterdir()) * (repeats - 1)):
            (folder / f"again-{number}.jpg").symlink_to(file)
        yield end_to_end(model, folder, batch_size, rounds, f"{preset}, {device.type}")
        yield writing(model, folder, rounds, preset)


def end_to_end(model: Stellar, folder: Path, batch_size: int, rounds: int, what: str) -> Row:
    """Folder to file, in images a second."""
    batches = decoded(model, folder, batch_size)
    seconds = medians(
        {
            "ours": partial(embed_again, model, folder, batch_size),
            "alone": partial(encode_all, model, batches),
        },
        rounds,
    )
    count = sum(map(len, batches))
    return Row(
        f"stellar embed, folder to file, {what}",
        "images/s",
        count / seconds["ours"],
        count / seconds["alone"],
        0.95,
        limit=count / seconds["alone"],
        note=f"plain: encoding alone, {count} pictures decoded before; 500 x 375 JPEG",
    )


def decoded(model: Stellar, folder: Path, batch_size: int) -> list[torch.Tensor]:
    source = ImageFolder(folder)
    every = range(len(source))
    return [
        batch.images for batch in picture_batches(source, every, "crop", model.config, batch_size)
    ]


def encode_all(model: Stellar, batches: list[torch.Tensor]) -> None:
    for images in batches:
        with inference(model):
            model.encode(images.to(model.device))


def embed_again(model: Stellar, folder: Path, batch_size: int) -> None:
    embed(model, folder, folder.with_suffix(".parquet"), batch_size)
    folder.with_suffix(".parquet").unlink()


def writing(model: Stellar, folder: Path, rounds: int, preset: str) -> Row:
    """Rows to one Parquet file, in megabytes a second."""
    (images, *_) = decoded(model, folder, NUM_FILES)
    batch = Embedder(model)(["name.jpg"] * len(images), images)
    table = pa.Table.from_batches([batch] * (512 // len(images)))
    file = folder.with_name("rows.parquet")
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: pq.write_table(table, file, **LAYOUT),
        "plain": lambda: pq.write_table(table, file),
    }
    seconds = medians(sides, rounds)
    megabytes, sizes = table.nbytes / 1e6, {}
    for name, write in sides.items():
        write()
        sizes[name] = file.stat().st_size / table.nbytes
    return Row(
        f"rows to Parquet, {preset}",
        "MB/s",
        megabytes / seconds["ours"],
        megabytes / seconds["plain"],
        1.5,
        note=f"plain: pyarrow's defaults; sizes {sizes['ours']:.2f} and {sizes['plain']:.2f} "
        "of the numbers' own",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--preset", default="b16", choices=PRESETS)
    parser.add_argument("--repeats", type=int, help=f"times {NUM_FILES} pictures")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measured = rows(options.preset, options.repeats, options.batch, options.rounds)
    print_rows("Embedding", measured)


if __name__ == "__main__":
    main()
