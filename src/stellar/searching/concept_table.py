"""What each concept explains of each picture, as a table: a row for each picture, by its path in
the index, and a column `concept_0`, ... for each concept.
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
    columns = {f"concept_{number}": share for number, share in enumerate(shares.T)}
    table = pa.table({"path": paths, **columns})
    place_file(file, lambda temporary: WRITERS[file.suffix](table, temporary))
