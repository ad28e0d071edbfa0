"""Move, mirror or shrink a picture: S should stay, and L should follow.

Every picture is read with a margin around its middle. The middle is the reference; the changed
pictures are another part of the same canvas (shift), the mirrored middle (flip), and the whole
canvas at the middle's size (scale), so all that the reference shows is there but for the patches
that a shift takes away. With the token j(k) of the changed picture that is nearest to token k,

    S stays:   mean over k of cos(s_k, s'_j(k))
    L follows: mean over k of the IoU of the patches that k leads, and that j(k) leads when the
               change is undone

Each has a baseline, the same number where nothing could stay or follow: S of the next picture, and
L as if nothing had moved.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from stellar.data.folder import evenly_spread
from stellar.data.picture_batches import picture_batches
from stellar.evaluation.evaluators.evaluator import Evaluator
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.model import Factors
from stellar.precision import inference

MAX_PICTURES = 256
"""Test pictures, evenly spread."""
CHANGES = ("shift", "flip", "scale")

Map = Float[Tensor, "b k h w"]


def stays(change: str) -> Quantity:
    """How far S stays what it was."""
    return Quantity(
        "equivariance", f"S, {change}", "cosine",
        feature="S", label=change, baseline="between different pictures",
    )  # fmt: skip


def follows(change: str) -> Quantity:
    """How far L goes where the picture went."""
    return Quantity(
        "equivariance", f"L, {change}", "IoU",
        feature="L", label=change, baseline="if it had stayed where it was",
    )  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A way to change what the middle of a canvas shows."""

    name: str
    """One of CHANGES."""
    apply: Callable[[Tensor], Tensor]
    """From a canvas (b c h w) to the changed picture, of the middle's size."""
    undo: Callable[[Map], Map]
    """The changed picture's maps, back to where their content lies in the middle."""
    lost: int = 0
    """Upper rows and left columns of the middle's patches that the changed picture lacks."""


def changes(grid: int, margin: int, patch: int) -> tuple[Change, ...]:
    """Of canvases of (grid + 2 margin) patches a side."""
    whole, end = (grid + 2 * margin, grid + 2 * margin), 2 * margin * patch

    def shrunk(canvas: Tensor) -> Tensor:
        small = F.interpolate(
            canvas.float(), (grid * patch, grid * patch), mode="bicubic", antialias=True
        )
        small = small.round().clamp(0, 255) if canvas.dtype == torch.uint8 else small.clamp(0, 1)
        return small.to(canvas.dtype)

    return (
        Change(
            "shift",
            lambda canvas: canvas[:, :, end:, end:],
            lambda maps: maps[:, :, : grid - margin, : grid - margin],
            lost=margin,
        ),
        Change("flip", lambda canvas: middle(canvas, margin * patch).flip(3), lambda m: m.flip(3)),
        Change(
            "scale",
            shrunk,
            lambda maps: middle(F.interpolate(maps, whole, mode="bilinear"), margin),
        ),
    )


def middle(canvas: Float[Tensor, "b c H W"] | Tensor, margin: int) -> Tensor:
    """Without the margin on all sides."""
    return canvas[:, :, margin:-margin, margin:-margin]


def equivariance(subject: Subject) -> Iterator[Score]:
    """How far S stays and L follows, of a model that has them, for every change."""
    model, settings, images = subject.model, subject.settings, subject.data.test
    if not model.config.num_sparse_tokens:
        return
    patch = model.config.patch_size
    grid = model.config.image_size // patch
    margin = max(1, grid // 4)
    all_changes = changes(grid, margin, patch)
    canvas = replace(model.config, image_size=(grid + 2 * margin) * patch)
    indices = evenly_spread(images, MAX_PICTURES)
    seen: list[list[Factors]] = [[] for _ in range(1 + len(all_changes))]
    for batch in picture_batches(
        images, indices, subject.fit, canvas, settings.batch_size, settings.num_workers
    ):
        if batch.indices:
            pictures = [middle(batch.images, margin * patch)]
            pictures += [change.apply(batch.images) for change in all_changes]
            for factors, picture in zip(seen, pictures, strict=True):
                with inference(model):
                    factors.append(model.encode(picture.to(model.device)))
    if not seen[0]:
        return
    sparse, maps = zip(*map(_together, seen), strict=True)
    for change, s, m in zip(all_changes, sparse[1:], maps[1:], strict=True):
        yield from _scores(change, sparse[0], maps[0], s, m)


def _together(factors: list[Factors]) -> tuple[Float[Tensor, "b k d"], Map]:
    """S and L of all batches, in fp32 on the CPU."""
    sparse = torch.cat([batch.sparse.float().cpu() for batch in factors])
    return sparse, torch.cat([batch.maps.float().cpu() for batch in factors])


def _scores(
    change: Change,
    sparse: Float[Tensor, "b k d"],
    maps: Map,
    changed: Float[Tensor, "b k d"],
    moved: Map,
) -> Iterator[Score]:
    """Both numbers, each beside its baseline; a lone picture has no other to compare S with."""
    detail = f"{len(sparse)} pictures"
    cosine, match = nearest_tokens(sparse, changed)
    alike, _ = nearest_tokens(sparse, sparse.roll(1, dims=0))
    between = alike.mean().item() if len(sparse) > 1 else None
    yield Score(stays(change.name), cosine.mean().item(), detail, baseline=between)
    here, still = (side[:, :, change.lost :, change.lost :] for side in (maps, moved))
    followed, unmoved = (
        overlap(here, there, match).mean().item() for there in (change.undo(moved), still)
    )
    yield Score(follows(change.name), followed, detail, baseline=unmoved)


def nearest_tokens(
    a: Float[Tensor, "b k d"], b: Float[Tensor, "b j d"]
) -> tuple[Float[Tensor, "b k"], Int64[Tensor, "b k"]]:
    """For each token of a, the cosine to the most similar one of b in the same row, and its
    place.
    """
    cosine = F.normalize(a, dim=2) @ F.normalize(b, dim=2).mT
    best = cosine.max(dim=2)
    return best.values, best.indices


def overlap(a: Map, b: Map, match: Int64[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Mean IoU of the patches that token k leads in a and token match(k) leads in b, over the
    tokens that lead anywhere in either.
    """
    leads_a, leads_b = (
        F.one_hot(maps.flatten(2).argmax(dim=1), maps.shape[1]).transpose(1, 2).bool()
        for maps in (a, b)
    )
    leads_b = leads_b.gather(1, match[:, :, None].expand(-1, -1, leads_b.shape[2]))
    union = (leads_a | leads_b).sum(dim=2)
    iou = (leads_a & leads_b).sum(dim=2) / union.clamp_min(1)
    return iou.sum(dim=1) / (union > 0).sum(dim=1).clamp_min(1)


EQUIVARIANCE = Evaluator(
    "equivariance",
    "S: mean cosine of every token to its nearest in the changed picture; L: mean IoU of their "
    "argmax maps, after the change is undone; baselines: S of the next picture, and L as if it had "
    "stayed where it was",
    equivariance,
    quantities=tuple(part(change) for change in CHANGES for part in (stays, follows)),
)
