"""A run at the sizes of a rehearsal: everything that B/16 has, and seconds on a CPU."""

from stellar.config import (
    DecoderConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainingConfig,
    ViewConfig,
)
from stellar.model.vqgan import VQGANConfig
from stellar.presets import PRESETS

TOKENIZER = VQGANConfig(channels=32, multipliers=(1, 1, 2), num_blocks=1, code_dim=16, num_codes=64)


def toy() -> RunConfig:
    """32 px, 4 x 4 patches, 4 tokens, codes of a small tokenizer."""
    decoder = DecoderConfig(num_codes=TOKENIZER.num_codes, embed_dim=32, depth=1, num_heads=2)
    return RunConfig(
        model=ModelConfig(
            image_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2, mlp_ratio=2.0,
            num_sparse_tokens=4, decoder=decoder,
        ),
        views=ViewConfig(num_masked=2, num_local=2, local_size=16, masking_ratio=0.5),
        objective=ObjectiveConfig(num_prototypes=32, prototype_dim=16, head_hidden_dim=32),
        training=TrainingConfig(num_workers=0),
    )  # fmt: skip


def run_config(name: str) -> RunConfig:
    """A preset, or `toy`."""
    return toy() if name == "toy" else PRESETS[name]()


def tokenizer_config(name: str) -> VQGANConfig:
    """The sizes of its tokenizer."""
    return TOKENIZER if name == "toy" else VQGANConfig()
