"""Pictures to rows on disk: for each picture its path, global token, semantic tokens and maps.

One encoder object (`embedder.py`) makes the rows; the finished parts (`parts.py`) are the unit of
work, begun or gone on with in `beginning.py` and joined in `finishing.py`; rows of pictures that
have not changed come from the embedding that was there before (`earlier.py`). One process, those of
`torchrun` or `srun` (`local.py`), and a Ray cluster (`on_ray.py`) share all of it, so what one of
them began, another may finish.
"""

from stellar.embedding.embedder import Embedder, EmbeddingError
from stellar.embedding.finishing import EmbedResult
from stellar.embedding.local import embed
from stellar.embedding.parts import PART_SIZE
from stellar.embedding.reading import (
    Embeddings,
    describe_embeddings,
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
    "global_tokens",
    "read_embeddings",
    "row_groups",
]
