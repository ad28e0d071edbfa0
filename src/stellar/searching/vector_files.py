"""Safetensors files of vectors that belong to an index: words, and concepts that are kept. Whose
they are is JSON in the metadata, under a key that says what kind of file it is.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stellar.json_text import parse_json
from stellar.searching.tables import SearchError
from stellar.storage import at_home, place_file, reason_of, unreadable

Made = TypeVar("Made")


@dataclass(frozen=True)
class Kind:
    """Of files."""

    key: str
    """Of the metadata."""
    maker: str
    """The command that writes such a file."""
    format: int

    def write(self, file: Path, tensors: dict[str, np.ndarray], about: Mapping[str, Any]) -> None:
        """The file appears whole or not at all. Raises NotWritten."""
        metadata = {self.key: json.dumps({"format": self.format, **about})}
        place_file(file, lambda path: save_file(tensors, path, metadata=metadata))

    def read(
        self, file: str | Path, make: Callable[[dict[str, np.ndarray], dict[str, Any]], Made]
    ) -> Made:
        """What is made of the tensors, in fp32 and finite, and of what was said about them. `make`
        raises ValueError, KeyError or TypeError for what `write` was never given. Raises
        SearchError.
        """
        file = Path(at_home(file))
        try:
            file.open("rb").close()  # what may not be read is not there to safetensors
            with safe_open(file, "numpy") as opened:
                about = parse_json((opened.metadata() or {})[self.key])
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            if about.pop("format") != self.format:
                raise SearchError(
                    f"{file} is of another version of stellar; make it again with {self.maker}"
                )
            if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
                raise ValueError("some of its numbers are not finite")
            return make({n: each.astype(np.float32) for n, each in tensors.items()}, about)
        except FileNotFoundError as error:
            raise SearchError(
                f"expected what {self.maker} wrote, but {file} does not exist"
            ) from error
        except SearchError:
            raise
        except OSError as error:
            raise SearchError(unreadable(file, reason_of(error))) from error
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            said = reason_of(error) if isinstance(error, SafetensorError | ValueError) else ""
            reason = f" ({said})" if said else ""
            raise SearchError(
                f"{file} is damaged, or not what {self.maker} wrote{reason}; remove it, and make "
                f"it again with {self.maker}"
            ) from error
