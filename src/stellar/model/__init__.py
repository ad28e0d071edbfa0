"""The network: images to factors and back."""

from stellar.model import edits
from stellar.model.backbones import Backbone, load_backbone
from stellar.model.factors import Factors
from stellar.model.stellar import MissingDecoder, MissingTokenizer, Stellar, check_model
from stellar.model.vqgan import VQGAN

__all__ = [
    "VQGAN",
    "Backbone",
    "Factors",
    "MissingDecoder",
    "MissingTokenizer",
    "Stellar",
    "check_model",
    "edits",
    "load_backbone",
]
