"""What an annotation file says of each picture, as JSON: the annotations of a hundred thousand
pictures are no hundred million objects, but two tensors that the processes of a loader share.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch

from stellar.data.indexfile import Texts
from stellar.json_text import parse_json


class Records:
    """A JSON value for each picture."""

    def __init__(self, values: Iterable[Any]) -> None:
        texts = Texts.of([json.dumps(value, separators=(",", ":")).encode() for value in values])
        self._offsets, self._bytes = torch.from_numpy(texts.offsets), torch.from_numpy(texts.data)

    def fingerprint(self) -> str:
        """Tells other values apart."""
        digest = hashlib.sha256(self._offsets.numpy().data)
        digest.update(self._bytes.numpy().data)
        return digest.hexdigest()

    def __getitem__(self, index: int) -> Any:
        start, end = self._offsets[index : index + 2].tolist()
        return parse_json(self._bytes[start:end].numpy().tobytes())
