"""The network of a run, trained with labels in place of views: to name the kinds of drawn things
from Z pooled over them. What it reaches, its tokens can hold.

    python recipes/with_labels.py recipes/scenes.toml --out runs/labels
    stellar evaluate runs/labels --data scenes

The scenes are those that the run trains on, as they are or mirrored. Steps of 32 scenes; 1,500 of
them take 20 minutes on one core. The model cannot draw.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from stellar.config import RunConfig
from stellar.config_toml import read_run_config
from stellar.data import Scenes
from stellar.data.scenes import KINDS, Scene
from stellar.evaluation.features.objects import coverage
from stellar.model import Factors, Stellar
from stellar.training.optimizer import build_optimizer
from stellar.training.schedule import learning_rate

BATCH = 32
LOG_EVERY = 50


@dataclass(frozen=True)
class Labelled:
    """B scenes with n things in all."""

    images: UInt8[Tensor, "B 3 h w"]
    scene: Int64[Tensor, " n"]
    """The scene that each thing is in."""
    masks: Float[Tensor, "n h w"]
    kinds: Int64[Tensor, " n"]


def labelled(scenes: Sequence[Scene], mirrored: Sequence[bool]) -> Labelled:
    """The scenes as a batch, some of them mirrored."""
    flip = [(-1,) if is_mirrored else () for is_mirrored in mirrored]
    things = [
        (number, scene.instances.flip(flip[number]) == place, thing.kind)
        for number, scene in enumerate(scenes)
        for place, thing in enumerate(scene.objects, start=1)
    ]
    numbers, masks, kinds = zip(*things, strict=True)
    return Labelled(
        torch.stack([scene.image.flip(dims) for scene, dims in zip(scenes, flip, strict=True)]),
        torch.tensor(numbers),
        torch.stack(masks).float(),
        torch.tensor(kinds),
    )


def batches(size: int) -> Iterator[Labelled]:
    """Scenes of the training split, one after the other."""
    source = Scenes("train", size=size)
    mirror = torch.Generator().manual_seed(0)
    for start in count(step=BATCH):
        scenes = [source.scene(index % len(source)) for index in range(start, start + BATCH)]
        yield labelled(scenes, (torch.rand(BATCH, generator=mirror) < 0.5).tolist())


def over_things(factors: Factors, batch: Labelled) -> Float[Tensor, "n D"]:
    """Z pooled over each thing, as an evaluation does."""
    covered = coverage(batch.masks, factors.grid)
    shares = covered / covered.sum(dim=1, keepdim=True)
    sparse, spatial = factors.sparse.float(), factors.spatial.float()
    mass = torch.einsum("np,npk->nk", shares, spatial[batch.scene])
    return torch.einsum("nk,nkd->nd", mass, sparse[batch.scene])


def train(config: RunConfig, steps: int) -> Stellar:
    """The model after so many steps at the run's learning rate."""
    torch.manual_seed(config.training.seed)
    model = Stellar(config.model, draws=False)
    head = nn.Linear(config.model.embed_dim, len(KINDS))
    both = nn.ModuleDict({"model": model, "head": head})
    optimizer = build_optimizer(both, config.training)
    for step, batch in zip(range(steps), batches(config.model.image_size), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, config.training)
        logits = head(over_things(model.encode(batch.images), batch))
        loss = F.cross_entropy(logits, batch.kinds)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), config.training.gradient_clip)
        optimizer.step()
        if step % LOG_EVERY == 0 or step == steps - 1:
            right = (logits.argmax(dim=1) == batch.kinds).float().mean()
            print(f"step {step + 1}/{steps}  loss {loss:.3f}  right {right:.2f}", flush=True)
    model.learned_to_draw = False
    return model.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the model."""
    parser = argparse.ArgumentParser(description="Train a run's network with labels.")
    parser.add_argument("config", type=Path, help="run.toml of the network and its learning rate")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args(arguments)
    train(read_run_config(options.config), options.steps).save_pretrained(options.out)


if __name__ == "__main__":
    main()
