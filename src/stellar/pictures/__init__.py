"""Factors drawn as picture sheets: what a model saw, where its tokens are, what it drew."""

from stellar.pictures.colours import token_colours
from stellar.pictures.sheet import picture_sheet, stacked

__all__ = ["picture_sheet", "stacked", "token_colours"]
