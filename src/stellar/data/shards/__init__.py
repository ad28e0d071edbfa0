"""Pictures in tar files of the WebDataset format, local or behind an address.

`source.py` reads any of them at once, and `writing.py`, for `stellar shard` alone, writes a folder
as shards.
"""

from stellar.data.shards.source import Shards
from stellar.data.shards.tar import ShardError

__all__ = ["ShardError", "Shards"]
