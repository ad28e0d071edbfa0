"""The same parts from a Ray cluster; skipped where Ray is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stellar.config import ConfigError
from stellar.embedding import embed, read_embeddings
from stellar.embedding.on_ray import embed_on_ray
from stellar.errors import MissingPackage
from stellar.images import InputError
from stellar.model import Stellar
from stellar.model.files.saving import save_model

SCRIPT = """
import sys, ray, stellar
from pathlib import Path
from stellar.embedding.on_ray import embed_on_ray
folder = Path(sys.argv[1])
ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, object_store_memory=100_000_000)
model = stellar.load(str(folder / "model"))
print(embed_on_ray(model, folder / "photos", folder / "many", batch_size=2, part_size=2))
(folder / "photos/0.png").rename(folder / "photos/9.png")
print(embed_on_ray(model, folder / "photos", folder / "many", batch_size=2, part_size=2))
ray.shutdown()
"""


def test_a_cluster_makes_what_one_process_makes(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """And brings it up to date. The GPU is one in name only."""
    pytest.importorskip("ray", reason="Ray is an extra of its own")
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model)
    embed(model, photos, tmp_path / "one.parquet", batch_size=2, part_size=2)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]
    assert "num_images=6, num_unreadable=1, num_kept=0, num_gone=0" in first
    assert "num_images=6, num_unreadable=1, num_kept=5, num_gone=1" in second
    embed(model, photos, tmp_path / "one.parquet", batch_size=2)
    ours, theirs = (read_embeddings(tmp_path / name) for name in ("many", "one.parquet"))
    assert ours.paths == theirs.paths
    assert np.allclose(ours.tokens, theirs.tokens, rtol=1e-3, atol=1e-3)


def test_without_ray_there_is_a_sentence(
    tmp_path: Path, model: Stellar, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackage, match=r"pip install 'stellar-vision\[ray\]'"):
        embed_on_ray(model, photos, tmp_path / "many")
    assert not list(tmp_path.glob("many*"))


def test_bad_calls_get_the_same_sentences(tmp_path: Path, model: Stellar, photos: Path) -> None:
    pytest.importorskip("ray", reason="Ray is an extra of its own")
    with pytest.raises(InputError, match="must be crop or squash, got pad"):
        embed_on_ray(model, photos, tmp_path / "many", fit="pad")
    for name in ("batch_size", "part_size", "num_encoders"):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number of at least 1"):
            embed_on_ray(model, photos, tmp_path / "many", **{name: 0})  # pyright: ignore
