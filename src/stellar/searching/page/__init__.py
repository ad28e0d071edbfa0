"""Pages of an index, each one HTML file: the hits of a search, with the maps of what matched on
their thumbnails, and the concepts that it has.
"""

from stellar.searching.page.document import render_page, write_page
from stellar.searching.page.overview import render_overview, write_overview

__all__ = ["render_overview", "render_page", "write_overview", "write_page"]
