"""What each concept explains of each picture, as a table: a row for each picture, by its path in
the index, and a column for each concept: its name, or `concept_0`, ... by its number.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stellar.searching.concepts import Concepts
from stellar.storage import place_file

DIGITS = 4
"""Behind the point, in a CSV file."""
WRITERS = {".csv": pyarrow.csv.write_csv, ".parquet": pyarrow.parquet.write_table}
"""By the file's ending."""


def write_table(file: Path, paths: list[str], concepts: Concepts) -> None:
    """Write the table, as the file's ending says; the file appears whole or not at all. Raises
    NotWritten.
    """
    shares = concepts.shares
    if file.suffix == ".csv":
        shares = np.round(shares.astype(np.float64), DIGITS)
    names = [each.name or f"concept_{number}" for number, each in enumerate(concepts.concepts)]
    columns = dict(zip(names, shares.T, strict=True))
    table = pa.table({"path": paths, **columns})
    place_file(file, lambda temporary: WRITERS[file.suffix](table, temporary))
