"""`stellar export`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from stellar.cli.options import options_of

if TYPE_CHECKING:
    from stellar.model import Stellar

DESCRIPTION = """Write a model for other runtimes: ONNX, or torch.export's archive.

  stellar export runs/photos --out photos.onnx
  stellar export runs/photos --format torch-export --out photos.pt2

Two files, as photos-encode.onnx (images -> cls, sparse, spatial, dense) and
photos-reconstruct.onnx (sparse, spatial, grid -> images); any batch, any size that the patch
divides. Both are run and compared with the model first; above a difference of 0.001 nothing is
written."""


@dataclass(frozen=True)
class Options:
    """What to write, how, and where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    format: Literal["onnx", "torch-export"] = "onnx"
    """onnx runs without torch; torch-export is for torch.export.load."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("model")
    """Where to, and the first part of both names; existing files are replaced."""
    tokenizer: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The MaskGIT-VQGAN file, for models that reconstruct its codes; published models find it."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "export", arguments, DESCRIPTION)
    from stellar.exporting import export
    from stellar.load_model import load

    model = load(options.model, tokenizer=options.tokenizer, revision=options.revision)
    exported = export(model, options.out, options.format)
    for graph in exported:
        print(f"{graph.path}: {', '.join(graph.inputs)} -> {', '.join(graph.outputs)}")
        print(f"  maximal difference to the model {graph.difference:.1e}")
    if len(exported) == 1:
        print(f"without reconstruct: {why_without_reconstruct(model)}")
    return 0


def why_without_reconstruct(model: "Stellar") -> str:
    """What a model lacks that was exported to encode only."""
    if not model.config.num_sparse_tokens:
        return "it draws from S and L, and this model has no tokens"
    if not model.learned_to_draw:
        return "the training of this model had no reconstruction term"
    return "it needs the MaskGIT-VQGAN file, --tokenizer FILE"
