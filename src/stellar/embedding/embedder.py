"""A model as a function from pictures to rows of a table."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from stellar.config import Fit
from stellar.errors import UserError
from stellar.images import preprocessing
from stellar.images.sizes import ONE_SIZE, check_one_size
from stellar.model import Stellar, check_model
from stellar.model.fewer_tokens import can_keep
from stellar.model.files.fingerprint import fingerprint
from stellar.model.finite import check_finite
from stellar.precision import inference

Images = UInt8[Tensor, "B C H W"] | Float32[Tensor, "B C H W"]
"""Pictures of the model's size."""


STRONGEST = "strongest_of"
"""In the metadata of rows that hold the strongest tokens alone: of how many they were chosen."""


class EmbeddingError(UserError):
    """An embedding cannot be written, or a file is not one."""


class Embedder:
    """Pictures to rows: path, cls, tokens and maps, in half precision.

    All maps of a data set have one size, so `fit`, the way the pictures came to it, is crop or
    squash; InputError for another. `tokens` keeps so many of each picture, those that explain
    most of it, the largest first; None: all, in their order. `schema` has the columns, and
    `metadata` (also in the schema, as JSON under the key `stellar`) what makes the rows readable on
    their own: shapes, the model's hash, the preprocessing.
    """

    def __init__(self, model: Stellar, fit: Fit = "crop", tokens: int | None = None) -> None:
        check_model(model)
        check_one_size(fit)
        num_tokens = model.config.num_sparse_tokens
        if not num_tokens:
            raise EmbeddingError(
                "an embedding holds tokens and maps, and this model has none; choose a model with "
                "model.num_sparse_tokens above 0"
            )
        if tokens is not None and not can_keep(tokens, num_tokens):
            raise EmbeddingError(
                f"the model has {num_tokens} tokens, so 1 to {num_tokens} of them can be kept, "
                f"got tokens = {tokens!r}"
            )
        self.model = model
        self.fit: Fit = fit
        self.tokens = None if tokens is None else int(tokens)  # JSON knows no numbers of numpy
        self.metadata = _metadata(model, fit, self.tokens)
        self.schema = schema_of(self.metadata)

    def __call__(self, paths: Sequence[str], images: Images) -> pa.RecordBatch:
        """The rows of a batch of pictures."""
        return self.rows(paths, self.encode(images))

    def encode(self, images: Images) -> tuple[Float[Tensor, "B n"], ...]:
        """cls, tokens and maps of a batch, flat and on the model's device, where a GPU goes on
        computing after this has returned.
        """
        with inference(self.model):
            factors = self.model.encode(images.to(self.model.device, non_blocking=True))
            if self.tokens is not None:
                factors = factors.strongest(self.tokens)
            return tuple(
                value.half().flatten(1) for value in (factors.cls, factors.sparse, factors.maps)
            )

    def rows(self, paths: Sequence[str], vectors: Sequence[Tensor]) -> pa.RecordBatch:
        """What `encode` gave, as rows; waits for the device. Raises UserError for numbers that half
        precision cannot hold.
        """
        columns: list[pa.Array] = [pa.array(paths, pa.string())]
        for value, field in zip(vectors, list(self.schema)[1:], strict=True):
            values = value.cpu().numpy()
            check_finite(field.name, values, paths.__getitem__)
            flat = pa.array(values.reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _metadata(model: Stellar, fit: Fit, tokens: int | None) -> dict[str, Any]:
    config = model.config
    side, kept = config.image_size // config.patch_size, tokens or config.num_sparse_tokens
    choice = {STRONGEST: config.num_sparse_tokens} if tokens else {}
    return {
        "model_sha256": fingerprint(model),
        "preprocessing": preprocessing(fit, config),
        "fit": fit,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "shapes": _shapes(kept, config.embed_dim, side),
        **choice,
    }


def _shapes(kept: int, width: int, side: int) -> dict[str, list[int]]:
    """Of a picture's vectors: so many tokens, each so wide, and maps of side x side patches."""
    return {"cls": [width], "tokens": [kept, width], "maps": [kept, side, side]}


def check_metadata(found: Any) -> dict[str, Any]:
    """Metadata of an embedding that were read. Raises ValueError for what no model has."""
    match found:
        case {
            "model_sha256": str(),
            "preprocessing": str(),
            "fit": fit,
            "image_size": int(size),
            "patch_size": int(patch),
            "shapes": {"tokens": [int(kept), int(width)]} as shapes,
        } if (
            fit in ONE_SIZE
            and 0 < patch <= size
            and min(kept, width) > 0
            and shapes == _shapes(kept, width, size // patch)
        ):
            return found
    raise ValueError("its metadata are incomplete, or do not fit together")


def schema_of(metadata: dict[str, Any]) -> pa.Schema:
    """The columns that hold vectors of these shapes, with the metadata."""
    vectors = [
        pa.field(name, pa.list_(pa.float16(), int(np.prod(shape))), nullable=False)
        for name, shape in metadata["shapes"].items()
    ]
    return pa.schema(
        [pa.field("path", pa.string(), nullable=False), *vectors],
        metadata={"stellar": json.dumps(metadata)},
    )
