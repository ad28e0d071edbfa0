"""An index of random tokens."""

from pathlib import Path

import pytest
from by_hand import embedding, random_tokens

COUNT = 60


@pytest.fixture
def photos_index(tmp_path: Path) -> Path:
    """Of 60 pictures, 000.jpg and so on."""
    pytest.importorskip("lancedb")
    import stellar

    file = embedding(tmp_path / "photos.parquet", random_tokens(COUNT))
    return stellar.build_index(file, tmp_path / "photos.index").folder
