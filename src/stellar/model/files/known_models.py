"""The models that are known by their names, and where they lie."""

from pathlib import Path

SHIPPED = {"stellar-scenes": Path(__file__).parents[2] / "shipped/scenes"}
"""Those that come with the package, and their folders."""
REPORT = "report.json"
"""What `stellar evaluate` found of each of those, beside its weights."""
NAMES = ("stellar-b16", "stellar-l16", "stellar-h16", "stellar-b8", "stellar-b24")
"""Those that are published, by the keys of their manifest."""
REPOSITORY = "microsoft/STELLAR"
"""The hub repository of the published models."""
TOKENIZER_REPOSITORY = "fun-research/TiTok"
"""The hub repository of the MaskGIT-VQGAN, whose codes most of them draw."""
TOKENIZER_FILE = "maskgit-vqgan-imagenet-f16-256.bin"
"""Its file there."""
