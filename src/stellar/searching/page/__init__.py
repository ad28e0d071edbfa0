"""The hits of a search as one HTML file: thumbnails, and on them the maps of what matched."""

from stellar.searching.page.document import render_page, write_page

__all__ = ["render_page", "write_page"]
