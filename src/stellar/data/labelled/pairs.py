"""Pictures and masks in two folders, under the same names: FOLDER/images and FOLDER/masks.

A mask holds the place of each pixel's class, and 255 where none is to count. Names of the classes
are the lines of FOLDER/classes.txt; where there is none, the masks are read to see how many there
are, and 0 is the background.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from stellar.data.folder import DataError, extensions_of
from stellar.data.folderindex import walk
from stellar.data.labelled.listing import HELD_OUT, TRAIN, by_hash, fifth, held_out_name, some
from stellar.data.labelled.masked import BACKGROUND, IGNORED, MaskedFiles, MaskedSplits
from stellar.images import MASK_EXTENSIONS, read_mask

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
TREE = """
  FOLDER/train/images/NAME.jpg and FOLDER/train/masks/NAME.png, and the same in FOLDER/val, or
  FOLDER/images/train/NAME.jpg and FOLDER/masks/train/NAME.png, and the same with val, or
  FOLDER/images/NAME.jpg and FOLDER/masks/NAME.png, of which a fifth becomes the test set;
  FOLDER/classes.txt may name the classes, one a line, the first being the masks' 0"""

MANY_MASKS, MANY_COUNTS = 10, 4
"""Masks, and different counts of what they hold, from which on it is no chance that all hold 1 to k
without a gap, as objects are numbered.
"""

MaskOf = dict[bytes, bytes]
"""The mask of each picture, as paths relative to a root."""


def are_pairs(folder: Path) -> bool:
    """Whether masks lie where they do in a folder of pairs."""
    return any((folder / masks).is_dir() for _, masks in _folders(folder).values())


def open_pairs(root: Path, channels: int = 3) -> MaskedSplits:
    """Raises DataError, with the expected tree, for any other layout."""
    train, test, description = _two_sets(root, channels)
    names = _read_names(root / CLASSES)
    notes = ()
    if names:
        _require_numbers(root, train | test)
    else:
        names, notes = _found_names(root, train | test)
    places = {place: place for place in (*range(len(names)), IGNORED)}
    return MaskedSplits(
        MaskedFiles(root, train, names, places, channels),
        MaskedFiles(root, test, names, places, channels),
        names,
        description,
        notes,
    )


def pair(
    root: Path,
    images: Path,
    masks: Path,
    channels: int,
    tree: str,
    ends: tuple[str, str] = ("", ""),
) -> MaskOf:
    """Pictures and masks of the same name in two folders below the root, also in subfolders.

    Before their extensions, the names may have different `ends`. Raises DataError, with the tree
    that is expected, for a picture without a mask and the other way round.
    """
    pictures = dict(_named(root / images, extensions_of(channels), ends[0]))
    found = dict(_named(root / masks, MASK_EXTENSIONS, ends[1]))
    if not pictures:
        raise DataError(f"no pictures in {root / images}; expected{tree}")
    for alone, folder, other in (
        (pictures.keys() - found, images, f"mask in {root / masks}"),
        (found.keys() - pictures, masks, f"picture in {root / images}"),
    ):
        if alone:
            raise DataError(
                f"no {other} for these files of {root / folder}: {some(alone)}; expected{tree}"
            )
    return {bytes(images / pictures[name]): bytes(masks / found[name]) for name in pictures}


def _named(folder: Path, extensions: tuple[str, ...], end: str) -> Iterator[tuple[str, str]]:
    """Name and path, below the folder, of its files with such an end; a name may be there once."""
    seen = set()
    for path in walk(str(folder), extensions) if folder.is_dir() else ():
        name = os.path.splitext(path)[0]  # noqa: PTH122
        if not name.endswith(end):
            continue
        name = name.removesuffix(end)
        if name in seen:
            raise DataError(f"{folder} holds several files that are called {some([name])}")
        seen.add(name)
        yield name, path


def _folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of pictures and of masks by split; the split's name is empty where there is none."""
    splits = [TRAIN, *HELD_OUT]
    above = {split: (Path(split, IMAGES), Path(split, MASKS)) for split in splits}
    below = {split: (Path(IMAGES, split), Path(MASKS, split)) for split in splits}
    for layout in (above, below):
        if there := {split: two for split, two in layout.items() if (root / two[1]).is_dir()}:
            return there
    return {"": (Path(IMAGES), Path(MASKS))}


def _two_sets(root: Path, channels: int) -> tuple[MaskOf, MaskOf, str]:
    """Training and test set, and where they come from."""
    folders = _folders(root)
    if "" in folders:
        mask_of = pair(root, *folders[""], channels, TREE)
        if len(mask_of) < 2:
            raise DataError(f"{root} holds one picture; at least 2 are needed")
        test = {path: mask_of[path] for path in by_hash(mask_of)[: fifth(len(mask_of))]}
        train = {path: mask for path, mask in mask_of.items() if path not in test}
        return train, test, "test set: a fifth of all, chosen by a hash of the file's name"
    held_out = held_out_name(folders)
    if TRAIN not in folders or not held_out:
        raise DataError(f"{root} holds masks of {some(folders)} alone; expected{TREE}")
    train, test = (pair(root, *folders[split], channels, TREE) for split in (TRAIN, held_out))
    return train, test, f"training set: {TRAIN}, test set: {held_out}, as given"


def _read_names(path: Path) -> tuple[str, ...]:
    """The lines of a file; none where there is no file."""
    if not path.is_file():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text("utf-8-sig").strip().splitlines())
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be text in UTF-8, a class in each line") from error
    if not all(names) or len(set(names)) < len(names) or not 2 <= len(names) <= IGNORED:
        raise DataError(f"{path} must name 2 to {IGNORED} different classes, one in each line")
    return names


def _found_names(root: Path, mask_of: MaskOf) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Background and numbers, up to the largest that a mask holds; and a note where these seem to
    be no classes.
    """
    values, counts, gap = set(), [], False
    for stored in _values(root, mask_of):
        values |= stored
        numbers = stored - {0, IGNORED}
        counts.append(len(numbers))
        gap = gap or max(numbers, default=0) > len(numbers)
    largest = max(values - {IGNORED}, default=0)
    if not largest:
        raise _not_numbered(root, values)
    notes = () if gap else _notes_on_objects(counts)
    return (BACKGROUND, *map(str, range(1, largest + 1))), notes


def _notes_on_objects(counts: Sequence[int]) -> tuple[str, ...]:
    """A note where masks that each hold 1 to one of these counts, without a gap, look as if they
    numbered objects. Few masks, or hardly different counts, may be of classes.
    """
    found = sorted({*counts} - {0})
    if len(counts) < MANY_MASKS or len(found) < MANY_COUNTS:
        return ()
    note = (
        f"each mask holds 1 to k without a gap, k from {found[0]} to {found[-1]}, as where the "
        "objects of each picture are numbered anew; these numbers were taken for classes, so if "
        "they are of objects, masks are needed that hold the class of each, as 1 for all of a kind"
    )
    return (note,)


def _require_numbers(root: Path, mask_of: MaskOf) -> None:
    """Raises DataError where no mask holds a class beside the first: masks of 0 and 255 are not
    numbered as classes are. Reads masks until one does, mostly the first.
    """
    values = set()
    for stored in _values(root, mask_of):
        values |= stored
        if values - {0, IGNORED}:
            return
    raise _not_numbered(root, values)


def _values(root: Path, mask_of: MaskOf) -> Iterator[set[int]]:
    """What each mask holds."""
    for picture, mask in mask_of.items():
        stored = read_mask(root / os.fsdecode(mask), root / os.fsdecode(picture))
        yield set(stored.unique().tolist())


def _not_numbered(root: Path, values: set[int]) -> DataError:
    problem = (
        f"{' and '.join(map(str, sorted(values)))} alone, but {IGNORED} marks what is not counted"
        if IGNORED in values
        else "0 alone, which is one class, but at least 2 are needed"
    )
    return DataError(f"the masks of {root} hold {problem}; number the classes 0, 1, 2 and so on")
