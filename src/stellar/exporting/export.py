"""Export: each graph is written beside its place, run, compared with the model, and only then
gets its name.
"""

import json
import logging
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from stellar.config import nearest
from stellar.errors import UserError
from stellar.exporting.formats import FORMATS, Format
from stellar.exporting.graphs import Graph, graphs
from stellar.model import Stellar, check_model
from stellar.model.files.fingerprint import fingerprint
from stellar.storage import at_home, place_files, writing

logger = logging.getLogger(__name__)

OLDEST = TorchVersion("2.11")
"""Whose exporters do not fix the size of an image, or get it wrong."""
TOLERANCE = 1e-3
"""Largest difference between a file's result and the model's that is let through."""


class ExportError(UserError):
    """A model cannot be exported as asked; the message says why."""


@dataclass(frozen=True)
class ExportedGraph:
    """One file, as it was verified."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float
    """Largest absolute difference between any of its results and the model's, over all checks."""


@torch.no_grad()
def export(model: Stellar, path: str | Path, format: str = "onnx") -> tuple[ExportedGraph, ...]:
    """Write a model as `PATH-encode` and `PATH-reconstruct`, in fp32, with the format's suffix:
    `onnx` (.onnx, runs without torch) or `torch-export` (.pt2, called with keywords).

    encode: images (B, C, H, W) in [0, 1] -> cls, sparse, spatial, dense. reconstruct: sparse,
    spatial, grid (int64: height and width in patches) -> images. Any batch, and any H and W of at
    least two patches that the patch divides. A model without tokens, one that never learned to
    draw, and one that draws codes and has no tokenizer are exported without reconstruct; one that
    is there from before is removed.

    Raises MissingPackage when the format's packages are absent, ExportError when a file differs
    from the model by more than 1e-3, the path cannot be used or torch is older than 2.11, and
    NotWritten where the disk refuses; then nothing is left behind.
    """
    check_model(model)
    if format not in FORMATS:
        raise ExportError(
            f"format must be one of {', '.join(FORMATS)}, got {format!r}{nearest(format, FORMATS)}"
        )
    if torch.__version__ < OLDEST:
        raise ExportError(
            f"export needs torch {OLDEST} or newer, whose exporter takes any size of image, and "
            f"this is {torch.__version__}; upgrade torch"
        )
    chosen = FORMATS[format]
    chosen.require()
    path = Path(at_home(path))
    with writing(path):
        path = _without_suffix(path, chosen)
    if {(p.device.type, p.dtype) for p in model.parameters()} != {("cpu", torch.float32)}:
        model = deepcopy(model).to("cpu", torch.float32)
    about = json.dumps(_describe(model))
    made = {_place(path, graph.name, chosen): graph for graph in graphs(model)}
    with writing(path):
        # ONNX keeps more than 2 GB of weights in NAME.onnx.data, which is moved first.
        exported = place_files(
            path.parent,
            lambda folder: [_write(made[place], chosen, folder, place, about) for place in made],
        )
        if (drawing := _place(path, "reconstruct", chosen)) not in made:
            _remove(drawing)
    return tuple(exported)


def _place(path: Path, name: str, format: Format) -> Path:
    """Where a graph's file goes. Raises UserError for a name that is too long."""
    return Path(at_home(path.with_name(f"{path.name}-{name}{format.suffix}")))


def _remove(file: Path) -> None:
    """What an earlier export left: nobody is to draw with it what this model encodes."""
    for left in (file, file.with_name(f"{file.name}.data")):
        if left.exists():
            left.unlink()
            logger.warning("%s is removed: it is of an earlier export of a model that drew", left)


def _write(graph: Graph, format: Format, folder: Path, place: Path, about: str) -> ExportedGraph:
    """One file, verified, in a folder from where it will be moved to its place."""
    file = folder / place.name
    format.write(graph, file, about)
    difference = _verify(graph, format, file)
    return ExportedGraph(place, tuple(graph.inputs), tuple(graph.outputs), difference)


def _verify(graph: Graph, format: Format, file: Path) -> float:
    """The largest difference between a file and the model. Raises ExportError when it is too
    large, or not a number.
    """
    run = format.open(file)
    differences = [
        (theirs - ours).abs().max()
        for inputs in graph.checks
        for theirs, ours in zip(run(inputs), graph.module(**inputs), strict=True)
        if ours.numel()  # without tokens S and L are empty
    ]
    difference = torch.stack(differences).max().item()
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported {graph.name} differs from the model by up to {difference:.2g}, "
            f"more than {TOLERANCE:g}, so nothing was written; try the other format"
        )
    return difference


def _without_suffix(path: Path, format: Format) -> Path:
    """The first part of the files' names. Raises ExportError for another format's suffix, and for
    a folder that is not there.
    """
    for name, other in FORMATS.items():
        if other is not format and path.suffix == other.suffix:
            raise ExportError(
                f"{path} is a name for the format {name}: choose it, or end the name in "
                f"{format.suffix}"
            )
    if not path.name or path.is_dir():
        raise ExportError(
            f"expected the first part of the files' names, got the folder {path}; add a name, as "
            f"{path / 'model'}"
        )
    if not path.parent.is_dir():
        raise ExportError(
            f"the folder {path.parent} does not exist; create it, or choose another place"
        )
    return path.with_suffix("") if path.suffix == format.suffix else path


def _describe(model: Stellar) -> dict[str, Any]:
    """What a file says about itself."""
    from stellar import __version__

    config = model.config
    return {
        "stellar_version": __version__,
        "model_sha256": fingerprint(model),
        "images": f"float32 (B, {config.in_chans}, H, W) in [0, 1]; "
        f"H and W multiples of {config.patch_size}, at least {2 * config.patch_size}",
        "preprocessing": "none is inside but mean and std; the model was trained on crops of "
        f"{config.image_size} x {config.image_size}, resized with bicubic filtering",
        "subtracted_inside": config.image_mean,
        "divided_by_inside": config.image_std,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_sparse_tokens": config.num_sparse_tokens,
        "embed_dim": config.embed_dim,
    }
