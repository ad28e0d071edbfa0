"""Runs that benchmarks have beside the presets: one that takes seconds on a CPU, and one whose work
stays as it is, whatever becomes of the preset.
"""

from dataclasses import replace

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
    """Everything that B/16 has: 32 px, 4 x 4 patches, 4 tokens, codes of a small tokenizer."""
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


def small() -> RunConfig:
    """`tiny` with 8 tokens and nine views of each picture."""
    run = PRESETS["tiny"]()
    return replace(
        run,
        model=replace(run.model, num_sparse_tokens=8),
        views=replace(run.views, num_masked=4, num_local=4, masking_ratio=0.6),
        objective=replace(run.objective, spatial_noise=0.0),
    )


SIZES = {**PRESETS, "toy": toy, "small": small}


def run_config(name: str) -> RunConfig:
    """One of SIZES."""
    return SIZES[name]()


def tokenizer_config(name: str) -> VQGANConfig:
    """The sizes of its tokenizer."""
    return TOKENIZER if name == "toy" else VQGANConfig()
