"""`stellar reconstruct`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of
from stellar.config import Fit

DESCRIPTION = """Draw pictures again from their tokens: a sheet with maps and reconstruction.

  stellar reconstruct runs/photos photos --out sheet.png
  stellar reconstruct runs/photos cat.jpg dog.png
  stellar reconstruct stellar-scenes scenes"""


@dataclass(frozen=True)
class Options:
    """What to draw, with what, to where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    pictures: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PICTURES")]
    """Pictures, one folder of them or shards, or `scenes`: held-out embedded ones."""
    out: Path = Path("sheet.png")
    """The sheet to write; an existing one is replaced."""
    count: int = 8
    """Pictures on the sheet, spread evenly over a folder."""
    fit: Fit = "crop"
    """How pictures come to a size that the patch divides: crop: the largest centred square; squash:
    all of it, square; resize: the nearest size; pad: edges repeated; exact: refuse."""
    tokenizer: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The MaskGIT-VQGAN file, for models that reconstruct its codes; published models find it."""
    device: str = "auto"
    """auto, cpu or cuda."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "reconstruct", arguments, DESCRIPTION)
    from stellar.config import check_count
    from stellar.data.sources import require_outside
    from stellar.errors import UserError
    from stellar.load_model import load
    from stellar.precision import choose_device
    from stellar.reconstructing import reconstruct
    from stellar.storage import one_line, place_file

    if not options.pictures:
        raise UserError("reconstruct needs at least one picture: files, a folder, or scenes")
    check_count(options.count, "--count")
    if not options.out.parent.is_dir():
        raise UserError(
            f"the folder {options.out.parent} does not exist; create it, or choose another --out"
        )
    if options.out.suffix != ".png":
        raise UserError(f"the sheet is a PNG: end its name in .png, got --out {options.out}")
    if any(
        Path(picture).is_file() and options.out.exists() and options.out.samefile(picture)
        for picture in options.pictures
    ):
        raise UserError(f"{options.out} is one of the pictures; choose another --out")
    for picture in options.pictures:
        require_outside(options.out, picture)
    device = choose_device(options.device)
    model = load(options.model, device, options.tokenizer, revision=options.revision)
    result = reconstruct(model, options.pictures, options.count, options.fit)
    place_file(options.out, lambda path: result.sheet.save(path, format="PNG"))
    for name, decibels in zip(result.names, result.psnr, strict=True):
        print(f"{decibels:5.1f} dB  {one_line(name)}")
    for name, reason in result.unreadable:
        print(f"  unread  {one_line(name)}: {one_line(reason)}")
    print(f"mean PSNR {sum(result.psnr) / len(result.psnr):.2f} dB -> {options.out}")
    return 0
