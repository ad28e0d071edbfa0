"""`stellar convert`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of

DESCRIPTION = """Write a model as the published STELLAR code reads it: safetensors and manifest.

  stellar convert runs/photos --out photos-published
  stellar info photos-published

Heads and teacher go along when the model has them."""


@dataclass(frozen=True)
class Options:
    """What to write, and where to."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    out: Path
    """The folder to write; it must be new or empty."""
    name: str = "stellar"
    """What the manifest calls the model, and its file."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "convert", arguments, DESCRIPTION)
    from stellar.load_model import build
    from stellar.model.files.opening import open_model
    from stellar.model.files.published_saving import save_published

    file = open_model(options.model, options.revision)
    model = build(file, purpose="reconstruct" if file.objective is None else "pretrain")
    print(save_published(model, options.out, options.name))
    return 0
