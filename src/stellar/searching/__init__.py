"""Search in pictures by what is in them and where: an index of tokens on the disk, and queries by
pictures, by their tokens, at a place.

`building.py` makes the tables (`growing.py`, `tables.py`) hold what an embedding does
(`difference.py`); `index.py` answers queries (`looking.py`, `scoring.py`) from candidates
(`candidates.py`) and rows (`rows.py`), and has concepts (`concepts.py`, `kept_concepts.py`);
`page/` shows the hits.
"""

from stellar.searching.building import EXACT_UP_TO, IndexResult, build_index
from stellar.searching.concepts import Concept, Concepts
from stellar.searching.example import Example
from stellar.searching.hits import Hit, Match
from stellar.searching.index import Index, Unwanted, open_index
from stellar.searching.kept_concepts import KeptConcepts
from stellar.searching.places import PLACES, Box, parse_place
from stellar.searching.scoring import Query
from stellar.searching.tables import SearchError
from stellar.searching.words import Words, read_words

__all__ = [
    "EXACT_UP_TO",
    "PLACES",
    "Box",
    "Concept",
    "Concepts",
    "Example",
    "Hit",
    "Index",
    "IndexResult",
    "KeptConcepts",
    "Match",
    "Query",
    "SearchError",
    "Unwanted",
    "Words",
    "build_index",
    "open_index",
    "parse_place",
    "read_words",
]
