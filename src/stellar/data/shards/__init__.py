"""Pictures in tar files of the WebDataset format, local or behind an address.

`source.py` reads any of them at once, and `writing.py` writes a folder as shards. Writing is not
imported here: it locks its folder in a way that not every system knows.
"""

from stellar.data.shards.ranges import is_address
from stellar.data.shards.source import Shards
from stellar.data.shards.tar import ShardError

__all__ = ["ShardError", "Shards", "is_address"]
