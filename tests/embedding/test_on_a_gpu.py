"""Embedding on a GPU, in its precision and with its workers: what a CPU writes, near enough."""

from pathlib import Path

import numpy as np
import torch

from stellar.embedding import embed, read_embeddings
from stellar.model import Stellar


def test_rows_are_those_of_a_cpu(
    tmp_path: Path, model: Stellar, photos: Path, gpu: torch.device
) -> None:
    found = []
    for device in (torch.device("cpu"), gpu):
        out = tmp_path / f"{device.type}-{len(found)}.parquet"
        result = embed(model.to(device), photos, out, batch_size=4)
        assert (result.num_images, result.num_unreadable) == (6, 1)
        found.append(read_embeddings(out))
    expected, ours = found
    assert ours.paths == expected.paths
    assert ours.metadata["model_sha256"] == expected.metadata["model_sha256"]
    for name in ("cls", "tokens", "maps"):
        one, other = (
            torch.from_numpy(getattr(each, name).astype(np.float32)).flatten(1)
            for each in (expected, ours)
        )
        assert torch.cosine_similarity(one, other).min() > 0.99
