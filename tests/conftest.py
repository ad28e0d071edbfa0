"""Shapes are enforced: every jaxtyping annotation in stellar is checked by beartype while the
tests run.
"""

import pytest
import torch
from jaxtyping import install_import_hook

# Imported before the hook: configurations check their own values, and that is what is tested.
from stellar.config import DecoderConfig, ModelConfig, ObjectiveConfig

install_import_hook("stellar", "beartype.beartype")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def small() -> ModelConfig:
    """A model of a few thousand parameters: 16 px, 4 x 4 patches, 3 tokens."""
    return ModelConfig(
        image_size=16,
        patch_size=4,
        embed_dim=24,
        depth=2,
        num_heads=2,
        mlp_ratio=2.0,
        num_sparse_tokens=3,
        decoder=DecoderConfig(target="pixels", embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0),
    )


@pytest.fixture
def small_objective() -> ObjectiveConfig:
    """Heads with few prototypes."""
    return ObjectiveConfig(num_prototypes=12, prototype_dim=8, head_hidden_dim=16)
