"""The model card: a README.md that says what a model is, how it came about and how to load it."""

from collections.abc import Iterable, Mapping

from stellar.config import ModelConfig
from stellar.model.history import History
from stellar.quantities import scaled

CARD = "README.md"

TEMPLATE = """---
# license: fill in, as mit or apache-2.0
library_name: stellar-vision
pipeline_tag: image-feature-extraction
tags:
- stellar
- self-supervised-learning
- vision-transformer
---

# {title}

A [STELLAR](https://arxiv.org/abs/2602.01905) model, trained without labels. It factorizes an image
into `Z = L S`: {tokens} semantic tokens S (*what* is in it) times their spatial distribution L
(*where* it is){again}.

```python
import stellar
model = stellar.Stellar.from_pretrained("{source}")
factors = model.encode("{picture}")  # or {images}, in [0, 1] or uint8
```

`factors.sparse` is S, `factors.maps` is L as pictures, `factors.cls` the image as a whole{drawing}
The package: `pip install stellar-vision`.

## Configuration

{configuration}

## Training

{training}

## Licence

Not stated yet: fill in `license` at the top of this file, and what the data's licence asks for.
"""

DRAWS = """;
`model.reconstruct(factors)` draws it."""
DRAWS_NOT = """.
It cannot draw the image: its training had no reconstruction term."""
TOKENIZER = """ It draws the codes of a MaskGIT-VQGAN, which is a file of its own:
`maskgit-vqgan-imagenet-f16-256.bin` in the hub repository `fun-research/TiTok`."""


def model_card(
    config: ModelConfig, history: History | None, parameters: Mapping[str, int], source: str
) -> str:
    """The text of a README.md with the hub's metadata on top.

    `parameters` are numbers of parameters by part, with `decoder` where the model draws; `source`
    is what `from_pretrained` takes: a hub repository's name, or a folder's.
    """
    patch, draws = config.patch_size, "decoder" in parameters
    tokenizer = TOKENIZER if config.decoder.target == "codes" else ""
    return TEMPLATE.format(
        title=source.rpartition("/")[2],
        source=source,
        tokens=config.num_sparse_tokens,
        picture="photo.jpg" if config.in_chans in (1, 3) else "scan.tif",
        images=f"a tensor (B, {config.in_chans}, H, W), H and W multiples of {patch}",
        again=", and draws the image again from them" if draws else "",
        drawing=DRAWS + tokenizer if draws else DRAWS_NOT,
        configuration=_configuration(config, parameters),
        training=_training(history),
    )


def _configuration(config: ModelConfig, parameters: Mapping[str, int]) -> str:
    side = config.image_size // config.patch_size
    decoder = config.decoder
    sizes = {part: f"{scaled(count)} parameters" for part, count in parameters.items()}
    drawing = [("decoder", "none")]
    if "decoder" in sizes:
        size = f"{sizes['decoder']}, depth {decoder.depth}, {decoder.num_heads} heads"
        drawing = [("decoder", size), ("draws", decoder.target)]
    rows = [
        ("image", f"{config.image_size} px, {config.in_chans} channels; other sizes work"),
        ("patches", f"{side} x {side} of {config.patch_size} px"),
        ("sparse tokens", f"{config.num_sparse_tokens} of width {config.embed_dim}"),
        ("positions", config.positions),
        ("encoder", f"{sizes['encoder']}, depth {config.depth}, {config.num_heads} heads"),
        ("MLPs", "gated (SwiGLU)" if config.gated_mlp else "GELU"),
        *drawing,
        ("temperature of L", str(config.spatial_temperature)),
        ("mean, subtracted inside", ", ".join(map(str, config.image_mean))),
        ("standard deviation, divided inside", ", ".join(map(str, config.image_std))),
    ]
    return _table(("what", "value"), rows)


def _training(history: History | None) -> str:
    if history is None:
        return "Nothing is recorded about its training."
    rows = [
        ("data", f"{history.data}, {history.num_images:,} images"),
        ("started from", history.init or "random weights"),
        ("steps", f"{history.steps:,} of {history.total_steps:,}"),
        ("batch", f"{history.batch_size:,} images"),
        ("passes over the data", f"{history.epochs:.1f}"),
    ]
    measured = [
        (name.replace("_", " "), f"{value:.4g}")
        for name, value in history.metrics.items()
        if name != "step"
    ]
    if not measured:
        return _table(("what", "value"), rows)
    step = int(history.metrics["step"])
    return (
        f"{_table(('what', 'value'), rows)}\n\n"
        f"Measured on the batch of step {step:,}, that is, on training data:\n\n"
        f"{_table(('figure', 'value'), measured)}"
    )


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [columns, ("---", "---"), *rows]
    return "\n".join(f"| {name} | {value} |" for name, value in lines)
