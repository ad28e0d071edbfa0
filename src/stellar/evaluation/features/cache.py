"""What a model says of many pictures, on the disk: written once, batch by batch and in half
precision, so that memory does not grow with the number of pictures.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from torch import Tensor

from stellar.config import Fit
from stellar.data.folder import DataError, ImageSource
from stellar.data.picture_batches import picture_batches
from stellar.model import Factors, Stellar
from stellar.model.finite import check_finite
from stellar.precision import inference
from stellar.storage import place_files


@dataclass(frozen=True)
class Rows:
    """What is kept of some pictures: for each file NAME, a row for each picture."""

    halved: Mapping[str, Tensor]
    """Kept in half precision."""
    exact: Mapping[str, np.ndarray]
    """Kept as they are."""


RowsOf = Callable[[Factors, Sequence[int]], Rows]
"""From the factors of pictures and their places in the source to what is kept of them."""
Unreadable = tuple[tuple[str, str], ...]
"""Name and reason of pictures that were left out."""


def write_rows(
    model: Stellar,
    images: ImageSource,
    fit: Fit,
    folder: Path,
    rows_of: RowsOf,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Unreadable:
    """Encode every picture, and write its rows into files NAME.npy in `folder`, which is made if it
    is not there.

    Pictures that cannot be read are left out, and returned. The files get their names when all are
    written. `progress` is called with (pictures done, pictures in all). Raises DataError when no
    picture can be read, and UserError when a tensor is not finite in half precision.
    """
    unreadable, total = [], len(images)

    def write(hidden: Path) -> None:
        files, done = {}, 0
        with ExitStack() as stack:
            for batch in picture_batches(
                images, range(total), fit, model.config, batch_size, num_workers
            ):
                if batch.indices:
                    with inference(model):
                        factors = model.encode(batch.images.to(model.device))
                    kept = rows_of(factors, batch.indices)
                    halved = {
                        name: _halved(name, rows, images, batch.indices)
                        for name, rows in kept.halved.items()
                    }
                    for name, rows in {**halved, **kept.exact}.items():
                        if name not in files:
                            array = _GrowingArray(hidden / f"{name}.npy", rows)
                            files[name] = stack.enter_context(array)
                        files[name].append(rows)
                unreadable.extend(batch.unreadable)
                done += len(batch.indices) + len(batch.unreadable)
                progress(done, total)
            if len(unreadable) == total:
                first = ": ".join(unreadable[0])
                raise DataError(f"none of {total} pictures can be read; the first is {first}")

    folder.mkdir(parents=True, exist_ok=True)
    place_files(folder, write)
    return tuple(unreadable)


def _halved(name: str, rows: Tensor, images: ImageSource, indices: Sequence[int]) -> np.ndarray:
    """In half precision. Raises UserError for values that it cannot hold."""
    values = rows.half().cpu().numpy()
    check_finite(name, values, lambda row: images.name(indices[row]))
    return values


class _GrowingArray:
    """A .npy file that takes rows, all like those of `first`, until it is closed; numpy leaves room
    for their count in the header, which is written again at the end.
    """

    def __init__(self, path: Path, first: np.ndarray) -> None:
        self.file, self.num_rows = path.open("wb"), 0
        self.dtype, self.row_shape = first.dtype, first.shape[1:]
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
        assert rows.dtype == self.dtype
        assert rows.shape[1:] == self.row_shape
        self.file.write(rows.tobytes())
        self.num_rows += len(rows)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.num_rows, *self.row_shape),
        }
        np.lib.format.write_array_header_1_0(self.file, header)
