"""A CSV file of paths and labels: path,label or path,label,split; several labels in one cell,
as in "cat;dog", make it multi-label.
"""

import csv
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from stellar.data.folder import DataError
from stellar.data.labelled.listing import HELD_OUT, TRAIN, LabelsOf
from stellar.errors import UserError
from stellar.images.files import require_regular
from stellar.storage import one_line

SEPARATOR = ";"
"""Between the labels of one picture."""


class NoTable(DataError):
    """A file that is no such table; the message says what it is instead."""


def read_table(path: Path) -> tuple[dict[str, LabelsOf], bool]:
    """Labels by split, and whether a picture has several; the split's name is empty where there is
    no such column. Where pictures may have several labels, they may also have none.

    Paths are relative to the file. Raises NoTable or, for a wrong row, DataError with its line.
    """
    listed, seen, unlabelled = defaultdict(dict), set(), None
    for line, row in csv_rows(path, "path", "label"):
        picture = on_disk(path.parent, row["path"] or "")
        labels = _labels(row["label"] or "")
        split = (row["split"] or "none").strip() if "split" in row else ""
        problem = _problem_of_row(path.parent, picture, split)
        if (once := os.path.normpath(path.parent / picture)) in seen:
            problem = f"{picture} was there before"
        if problem:
            raise DataError(f"{path}, line {line}: {problem}")
        if not labels and unlabelled is None:
            unlabelled = f"{path}, line {line}: {picture} has no label"
        seen.add(once)
        listed[split][bytes(picture)] = labels
    if not listed:
        raise NoTable(f"{path} has no rows")
    several = any(len(labels) > 1 for split in listed.values() for labels in split.values())
    if unlabelled and not several:
        raise DataError(unlabelled)
    return listed, several


def csv_rows(path: Path, *needed: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line and cells of each row of a file that has these columns. Raises NoTable, and DataError
    for too many cells.
    """
    done = 0
    try:
        require_regular(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = rows.fieldnames or ()
            done = rows.line_num
            if not set(needed) <= set(columns):
                names = ",".join(columns) or "none"
                raise NoTable(f"{path} has the columns {names}{_hint(names, needed)}")
            for row in rows:
                if None in row:
                    raise DataError(
                        f"{path}, line {rows.line_num}: it has more cells than the header has "
                        "columns; put quotes around a cell that holds a comma"
                    )
                done = rows.line_num
                yield done, row
    except UserError:
        raise
    except UnicodeDecodeError as error:
        raise NoTable(
            f"{path} cannot be read as a CSV file: it is no text in UTF-8; save it as such"
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        where = f"; the row at line {done + 1} is wrong" if isinstance(error, csv.Error) else ""
        raise NoTable(f"{path} cannot be read as a CSV file ({error}){where}") from error


def _hint(names: str, needed: Sequence[str]) -> str:
    """What to do where the columns are there, but called or separated otherwise."""
    commas = names.translate(str.maketrans(";\t|", ",,,")).split(",")
    known = {name.strip().lower() for name in commas}
    if not set(needed) <= known:
        return ""
    if not set(needed) <= {name.strip().lower() for name in names.split(",")}:
        return "; separate them by commas"
    return f"; write {','.join(needed)} in small letters, without spaces"


def on_disk(root: Path, name: str) -> Path:
    """The path in a cell, as the disk has it: accents may be composed in the one and not in the
    other.
    """
    if name.isascii():
        return Path(name)
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    return Path(next((form for form in forms if (root / form).is_file()), name))


def _labels(cell: str) -> tuple[str, ...]:
    """The different labels of a cell, in its order."""
    return tuple(dict.fromkeys(label.strip() for label in cell.split(SEPARATOR) if label.strip()))


def _problem_of_row(root: Path, picture: Path, split: str) -> str | None:
    if not (root / picture).is_file():
        return f"{one_line(str(picture))} is no file; paths are relative to {root}"
    if split not in ("", TRAIN, *HELD_OUT):
        return f"the split must be one of {', '.join((TRAIN, *HELD_OUT))}, got {split}"
    return None
