"""What a model says of each labelled picture, on the disk: cls, the mean of S and the mean of U.

They are written once, batch by batch and in half precision, and every probe reads them from there:
memory does not grow with the number of pictures until a probe asks for one feature.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import Bool, Float16, Int64
from torch import Tensor

from stellar.data.folder import DataError
from stellar.data.inference import PictureBatch, picture_batches
from stellar.data.labelled import LabelledImages
from stellar.errors import UserError
from stellar.images import preprocessing
from stellar.model import Backbone, Stellar
from stellar.precision import inference
from stellar.storage import place_files

NAMES = ("cls", "S", "U", "S+cls", "U+cls")
"""Of all features; those with S are missing where a model has no sparse tokens."""
LABELS = "labels"


@dataclass(frozen=True)
class Features:
    """Features of N pictures: a file NAME.npy each in `folder` (N D), beside them labels.npy.

    U and S stand for their means over patches and tokens; A+B are both, side by side.
    """

    folder: Path
    names: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    """Name and reason of the pictures that were left out."""
    preparation: str
    """What was done to the pictures before they were encoded."""

    @cached_property
    def labels(self) -> Int64[Tensor, " N"] | Bool[Tensor, "N c"]:
        """The class of each picture, or whether it has each class."""
        return torch.from_numpy(np.load(self._file(LABELS)))

    def tensor(self, name: str) -> Float16[Tensor, "N d"]:
        """One of `names`, in half precision; what is a file of its own stays on the disk until it
        is read. Raises UserError for another name.
        """
        if name not in self.names:
            raise UserError(f"feature must be one of {', '.join(self.names)}, got {name}")
        parts = [np.load(self._file(part), mmap_mode="c") for part in name.split("+")]
        return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def extract(
    model: Stellar | Backbone,
    images: LabelledImages,
    folder: Path,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Features:
    """Encode every picture's centred square, and write its features into `folder`, which is made
    if it is not there.

    Pictures that cannot be read are left out. The files get their names when all are written.
    `progress` is called with (pictures done, pictures in all). Raises DataError when no picture can
    be read, and UserError when a feature is not finite.
    """
    names = tuple(name for name in NAMES if model.config.num_sparse_tokens or "S" not in name)
    vector = np.zeros(model.config.embed_dim, np.float16)
    label = np.zeros(images.labels.shape[1:], images.labels.dtype)
    row_of = {name: vector for name in names if "+" not in name} | {LABELS: label}
    unreadable, total = [], len(images)

    def write(hidden: Path) -> None:
        done = 0
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(_GrowingArray(hidden / f"{name}.npy", row))
                for name, row in row_of.items()
            }
            for batch in picture_batches(
                images, range(total), "crop", model.config, batch_size, num_workers
            ):
                if batch.indices:
                    rows = _encode(model, images, batch)
                    for name, file in files.items():
                        file.append(rows[name])
                unreadable.extend(batch.unreadable)
                done += len(batch.indices) + len(batch.unreadable)
                progress(done, total)
            if len(unreadable) == total:
                first = ": ".join(unreadable[0])
                raise DataError(f"none of {total} pictures can be read; the first is {first}")

    folder.mkdir(parents=True, exist_ok=True)
    place_files(folder, write)
    return Features(folder, names, tuple(unreadable), preprocessing("crop", model.config))


def _encode(
    model: Stellar | Backbone, images: LabelledImages, batch: PictureBatch
) -> dict[str, np.ndarray]:
    """A batch's rows of each file. Raises UserError for values that half precision cannot hold."""
    with inference(model.device):
        factors = model.encode(batch.images.to(model.device))
    means = {"cls": factors.cls, "U": factors.dense.float().mean(dim=1)}
    if factors.sparse.shape[1]:
        means["S"] = factors.sparse.float().mean(dim=1)
    rows = {name: mean.half().cpu().numpy() for name, mean in means.items()}
    for name, values in rows.items():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            picture = images.name(batch.indices[int(finite.argmin())])
            raise UserError(
                f"the model's {name} of {picture} is not finite in half precision; "
                "its weights are damaged, or it was trained until it diverged"
            )
    return rows | {LABELS: images.labels[list(batch.indices)]}


class _GrowingArray:
    """A .npy file that takes rows, all like `row`, until it is closed; numpy leaves room for their
    count in the header, which is written again at the end.
    """

    def __init__(self, path: Path, row: np.ndarray) -> None:
        self.file, self.row, self.num_rows = path.open("wb"), row, 0
        self._write_header()

    def __enter__(self) -> "_GrowingArray":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.seek(0)
        self._write_header()
        self.file.close()

    def append(self, rows: np.ndarray) -> None:
        assert rows.dtype == self.row.dtype
        assert rows.shape[1:] == self.row.shape
        self.file.write(rows.tobytes())
        self.num_rows += len(rows)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.row.dtype),
            "fortran_order": False,
            "shape": (self.num_rows, *self.row.shape),
        }
        np.lib.format.write_array_header_1_0(self.file, header)
