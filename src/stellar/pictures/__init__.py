"""Factors drawn as picture sheets: what a model saw, where its tokens are, what it drew."""

from stellar.pictures.colours import token_colours
from stellar.pictures.sheet import picture_sheet

__all__ = ["picture_sheet", "token_colours"]
