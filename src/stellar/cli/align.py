"""`stellar align`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from stellar.cli.options import options_of
from stellar.errors import UserError

if TYPE_CHECKING:
    from stellar.aligning import Alignment

DESCRIPTION = """Learn what words tokens answer to, from a model of pictures and texts and your own
pictures, so that stellar search takes words.

  stellar align runs/photos --to openai/clip-vit-base-patch32 --data photos --out words.safetensors
  stellar align runs/photos --to openai/clip-vit-base-patch32 --captions texts.csv --out ...
  stellar index photos.parquet --out photos.index --pictures photos --words words.safetensors
  stellar search photos.index "a red boat" --where right

Without captions, parts of pictures that tokens explain are shown to the tower, and a linear map
learns to say from the token what the tower says. It needs transformers: pip install
'stellar-vision[words]'."""


@dataclass(frozen=True)
class Options:
    """What to align, to what, by which pictures."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    to: Annotated[str, tyro.conf.arg(metavar="TOWER")]
    """CLIP, SigLIP or their like, in a folder or on the hub: openai/clip-vit-base-patch32,
    google/siglip-base-patch16-224."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write (.safetensors); an existing one is replaced."""
    data: str | None = None
    """A folder of pictures or shards, or `scenes`."""
    captions: Annotated[Path | None, tyro.conf.arg(metavar="CSV")] = None
    """In place of --data: a file with the columns path,text, whose paths are relative to it."""
    fit: Literal["crop", "squash"] = "crop"
    """How pictures come to the model's size: as in the embedding that is searched."""
    count: int = 2000
    """Pictures to learn from, spread evenly over a folder."""
    crops: int = 4
    """Tokens of each that are shown to the tower, beside the whole picture."""
    device: str = "auto"
    """auto, cpu or cuda."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "align", arguments, DESCRIPTION)
    if options.out.suffix != ".safetensors":
        raise UserError(f"the file ends in .safetensors, got --out {options.out}")
    if not options.out.parent.is_dir():
        raise UserError(
            f"the folder {options.out.parent} does not exist; create it, or choose another --out"
        )
    from stellar.aligning import align, load_tower
    from stellar.aligning.align import check_call, read_captions
    from stellar.cli.terminal import progress_line
    from stellar.data import open_pictures
    from stellar.load_model import load
    from stellar.precision import choose_device

    device = choose_device(options.device)
    check_call(options.data, options.captions, options.fit, options.count, options.crops)
    captions = None if options.captions is None else read_captions(options.captions)
    model = load(options.model, device, purpose="encode", revision=options.revision)
    pictures = None if options.data is None else open_pictures(options.data, model.config)
    tower = load_tower(options.to, device)
    with progress_line() as show:
        found = align(
            model, tower, pictures, captions, options.fit, options.count, options.crops,
            progress=lambda done, total: show("pictures", done, total),
        )  # fmt: skip
    found.words.save(options.out)
    if found.unreadable:
        print(f"{len(found.unreadable)} pictures could not be read")
    print(f"{_told(found, tower.name, options.captions is not None)} -> {options.out}")
    return 0


def _told(found: "Alignment", tower: str, by_captions: bool) -> str:
    """What is known of a map; with captions its rank alone, as the contrastive loss asks that the
    own one is nearest, however far that is.
    """
    held_out = f"{found.num_examples:,} examples; on {found.num_held_out:,} held out"
    rank = (
        f"{found.rank:.0%} of what {tower} says of others is nearer than their own, in the median"
    )
    if not by_captions:
        held_out += f", cosine {found.cosine:.3f} (of the mean: {found.baseline:.3f}), and"
    return f"{held_out} {rank} (by chance: 50%)"
