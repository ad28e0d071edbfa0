"""`stellar info`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_of

DESCRIPTION = """Say what a model is; without one, what this machine and installation can do.

  stellar info
  stellar info runs/photos
  stellar info stellar-scenes
  stellar info stellar-b16"""
EXTRAS = {
    "demo": ("skimage", "sklearn"), "coco": ("pycocotools",), "fast": ("simplejpeg",),
    "tiff": ("tifffile", "imagecodecs"), "tensorboard": ("tensorboard",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"), "metrics": ("torchmetrics",),
    "search": ("lancedb",), "words": ("transformers",), "explore": ("starlette", "uvicorn"),
    "ray": ("ray",),
}  # fmt: skip
"""The packages that each extra brings, by the names that they are imported by."""


@dataclass(frozen=True)
class Options:
    """What to look at."""

    model: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")] = None
    """A name (stellar-scenes; stellar-b16, -l16, -h16, -b8, -b24), a run, or a file of weights."""
    revision: str | None = None
    """Branch, tag or commit of a published model."""


def run(arguments: Sequence[str]) -> int:
    options = options_of(Options, "info", arguments, DESCRIPTION)
    from stellar.storage import one_line

    if options.model is None:
        rows = describe_machine()
    else:
        rows = describe_model(options.model, options.revision)
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        print(f"{name:<{width}}  {one_line(value)}")
    return 0


def describe_machine() -> dict[str, str]:
    """Versions, device, precision, extras and presets."""
    import platform
    from importlib.util import find_spec

    import torch

    from stellar import __version__
    from stellar.precision import choose_device, resolve_precision
    from stellar.presets import PRESETS

    device = choose_device("auto")
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.machine()
    lacking = {
        extra: [package for package in packages if find_spec(package) is None]
        for extra, packages in EXTRAS.items()
    }
    return {
        "stellar": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": f"{device} ({name}), {torch.get_num_threads()} threads",
        "precision": f"{resolve_precision('auto', device)} (what auto means here)",
        "extras": ", ".join(extra for extra, missing in lacking.items() if not missing) or "none",
        "extras missing": ", ".join(
            f"{extra} ({', '.join(missing)})" for extra, missing in lacking.items() if missing
        )
        or "none",
        "presets": ", ".join(PRESETS),
    }


def describe_model(model: str, revision: str | None = None) -> dict[str, str]:
    """Sizes, hash and, for a run, how far it came."""
    import torch

    from stellar.load_model import build
    from stellar.model import Stellar
    from stellar.model.files.fingerprint import fingerprint
    from stellar.model.files.opening import open_model
    from stellar.quantities import scaled
    from stellar.training.run_folder import METRICS, read_metrics

    file = open_model(model, revision)
    config = file.config
    with torch.device("meta"):
        whole = Stellar(config)
    parameters = {
        name: scaled(sum(p.numel() for p in part.parameters()))
        for name, part in (("encoder", whole.encoder), ("decoder", whole.decoder))
    }
    drawing = f"{parameters['decoder']} parameters, draws {config.decoder.target}"
    side = config.image_size // config.patch_size
    rows = {
        "weights": str(file.path),
        "sha256": fingerprint(build(file, purpose="encode")),
        "encoder": f"{parameters['encoder']} parameters: {config.depth} layers, "
        f"{config.embed_dim} wide, "
        f"{config.num_heads} heads, patch {config.patch_size}"
        f"{', gated MLPs' if config.gated_mlp else ''}",
        "positions": config.positions,
        "image": f"{config.image_size} px, {side} x {side} patches "
        f"(other sizes work: multiples of {config.patch_size})",
        "tokens": f"{config.num_sparse_tokens} of width {config.embed_dim} for an image, "
        f"temperature {config.spatial_temperature}",
        "decoder": drawing if file.learned_to_draw else "none that learned to draw",
        "heads": f"{file.objective.num_prototypes} prototypes" if file.objective else "none",
    }
    if file.category:
        rows["category"] = file.category
    path = Path(model)
    if (path / METRICS).is_file() and (metrics := read_metrics(path / METRICS)):
        last = metrics[-1]
        rows["training"] = (
            f"step {last['step']}, loss {_figure(last['loss'], '.3f')}, "
            f"effective rank {_figure(last['effective_rank'], '.1f')}"
        )
        if "prototype_perplexity" in last:  # where a term was about prototypes
            in_use = _figure(last["prototype_perplexity"], ".0f")
            rows["training"] += f", prototypes in use {in_use}"
    return rows


def _figure(value: float | None, digits: str) -> str:
    """Of a line of metrics, which has none for what was not finite."""
    return "not finite" if value is None else format(value, digits)
