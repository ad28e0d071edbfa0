"""Pictures to rows on disk: for each picture its path, global token, semantic tokens and maps.

One encoder object (`embedder.py`) makes the rows; the finished parts (`parts.py`) are the unit of
work. One process, those of `torchrun` or `srun` (`local.py`), and a Ray cluster (`on_ray.py`) share
both, so what one of them began, another may finish.
"""

from stellar.embedding.embedder import Embedder, EmbeddingError
from stellar.embedding.local import embed
from stellar.embedding.parts import PART_SIZE, EmbedResult
from stellar.embedding.reading import (
    Embeddings,
    describe_embeddings,
    embedded_paths,
    global_tokens,
    read_embeddings,
    row_groups,
)

__all__ = [
    "PART_SIZE",
    "EmbedResult",
    "Embedder",
    "EmbeddingError",
    "Embeddings",
    "describe_embeddings",
    "embed",
    "embedded_paths",
    "global_tokens",
    "read_embeddings",
    "row_groups",
]
