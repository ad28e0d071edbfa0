"""STELLAR: what is in your pictures, and where, without labels.

    import stellar

    model = stellar.load("stellar-scenes")        # comes along; or a published model, a run, a file
    factors = model.encode("photo.jpg")           # a picture in any form, a list, or a batch
    factors.sparse, factors.spatial, factors.cls  # what, where, and the image as a whole
    model.reconstruct(factors)                    # pixels again

Modules are imported when they are first used, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellar.aligning import align, load_tower
    from stellar.config import RunConfig
    from stellar.embedding import embed, read_embeddings
    from stellar.errors import UserError
    from stellar.exporting import export
    from stellar.images import InputError
    from stellar.load_model import load
    from stellar.model import Backbone, Factors, Stellar, load_backbone
    from stellar.model.files.published_saving import save_published
    from stellar.presets import PRESETS
    from stellar.reconstructing import reconstruct
    from stellar.searching import build_index, open_index
    from stellar.training import pretrain, resume

__version__ = "0.1.0"

_HOMES = {
    "PRESETS": "stellar.presets",
    "Backbone": "stellar.model",
    "Factors": "stellar.model",
    "InputError": "stellar.images",
    "RunConfig": "stellar.config",
    "Stellar": "stellar.model",
    "UserError": "stellar.errors",
    "align": "stellar.aligning",
    "build_index": "stellar.searching",
    "embed": "stellar.embedding",
    "export": "stellar.exporting",
    "load": "stellar.load_model",
    "load_backbone": "stellar.model",
    "load_tower": "stellar.aligning",
    "open_index": "stellar.searching",
    "pretrain": "stellar.training",
    "read_embeddings": "stellar.embedding",
    "reconstruct": "stellar.reconstructing",
    "resume": "stellar.training",
    "save_published": "stellar.model.files.published_saving",
}

__all__ = [
    "PRESETS",
    "Backbone",
    "Factors",
    "InputError",
    "RunConfig",
    "Stellar",
    "UserError",
    "align",
    "build_index",
    "embed",
    "export",
    "load",
    "load_backbone",
    "load_tower",
    "open_index",
    "pretrain",
    "read_embeddings",
    "reconstruct",
    "resume",
    "save_published",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stellar' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES} - {"Any", "TYPE_CHECKING", "import_module"})
