"""What a model says about each object of the embedded scenes, beside what the object truly is.

An object's token is the one that explains most of it: k = argmax_k sum_p m_p L_pk, where m_p is the
share of the object's visible pixels that lies in patch p. Its *what* is S_k, its *where* is the map
L_:k, and the dense feature that both are measured against is U pooled over it, sum_p m_p U_p.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from stellar.config import Fit
from stellar.data.cutouts import Scene
from stellar.model.factors import Factors


@runtime_checkable
class Encoder(Protocol):
    """What an evaluation needs of a model; `Stellar` is one."""

    @property
    def device(self) -> torch.device: ...

    def encode(self, images: Tensor, fit: Fit | None = None) -> Factors: ...


@runtime_checkable
class SceneSource(Protocol):
    """Numbered scenes with ground truth; `Cutouts` is one."""

    def scene(self, index: int) -> Scene: ...


@dataclass(frozen=True)
class SceneBatch:
    """Scenes of one size as they are, on the CPU, and as a model sees them, on its device."""

    scenes: tuple[Scene, ...]
    images: UInt8[Tensor, "b 3 h w"]
    instances: UInt8[Tensor, "b h w"]
    """0 for the background, 1..n for the visible pixels of a scene's objects."""
    factors: Factors


@dataclass(frozen=True)
class SceneFeatures:
    """The n visible objects of some scenes: what the model says of each, and what it is."""

    sparse: Float[Tensor, "n _"]
    """S of the object's token; no columns where a model has no tokens."""
    spatial: Float[Tensor, "n _"]
    """L of the object's token over all patches of the image, as the model gives it; or none."""
    dense: Float[Tensor, "n d"]
    """U pooled over the object's mask."""
    cls: Float[Tensor, "n d"]
    """The global token of the object's image."""
    material: Int64[Tensor, " n"]
    quadrant: Int64[Tensor, " n"]
    digit: Int64[Tensor, " n"]
    area: Float[Tensor, " n"]
    """Share of the image where the object is visible."""

    def __len__(self) -> int:
        return len(self.material)


def encode_scenes(
    model: Encoder, source: SceneSource, indices: Sequence[int], batch_size: int = 128
) -> Iterator[SceneBatch]:
    """The scenes with the factors that the model gives them, batch by batch."""
    for start in range(0, len(indices), batch_size):
        scenes = tuple(source.scene(index) for index in indices[start : start + batch_size])
        images = torch.stack([scene.image for scene in scenes])
        instances = torch.stack([scene.instances for scene in scenes])
        with torch.inference_mode():
            factors = model.encode(images.to(model.device), fit="squash")
        yield SceneBatch(scenes, images, instances, factors)


def collect(
    model: Encoder, source: SceneSource, indices: Sequence[int], batch_size: int = 128
) -> SceneFeatures:
    """The features and labels of every visible object in the scenes at `indices`."""
    return concatenate(
        object_features(batch) for batch in encode_scenes(model, source, indices, batch_size)
    )


def object_features(batch: SceneBatch) -> SceneFeatures:
    """The features (fp32) and labels of every visible object of one batch, on the CPU."""
    factors = _to_cpu(batch.factors)
    counts = [len(scene.objects) for scene in batch.scenes]
    image = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    number = torch.cat([torch.arange(1, count + 1) for count in counts])
    shares = pixel_shares(batch.instances, image, number, factors.grid)
    truth = torch.tensor(
        [(o.material, o.quadrant, o.digit) for scene in batch.scenes for o in scene.objects],
        dtype=torch.int64,
    ).reshape(-1, 3)

    area = (batch.instances[image] == number[:, None, None]).float().mean(dim=(1, 2))

    visible = area > 0
    image, shares, truth, area = image[visible], shares[visible], truth[visible], area[visible]
    sparse = spatial = torch.empty(len(image), 0)
    if factors.sparse.shape[1]:
        token = torch.einsum("np,npk->nk", shares, factors.spatial[image]).argmax(dim=1)
        sparse = factors.sparse[image, token]
        spatial = factors.spatial[image, :, token]
    return SceneFeatures(
        sparse=sparse,
        spatial=spatial,
        dense=torch.einsum("np,npd->nd", shares, factors.dense[image]),
        cls=factors.cls[image],
        material=truth[:, 0],
        quadrant=truth[:, 1],
        digit=truth[:, 2],
        area=area,
    )


def pixel_shares(
    instances: UInt8[Tensor, "b h w"],
    image: Int64[Tensor, " n"],
    number: Int64[Tensor, " n"],
    grid: tuple[int, int],
) -> Float[Tensor, "n p"]:
    """The share of object `number` of mask `image` in each patch; the row of a hidden one is 0."""
    masks = (instances[image] == number[:, None, None]).float()
    area = F.adaptive_avg_pool2d(masks[:, None], grid).flatten(1)
    return area / area.sum(dim=1, keepdim=True).clamp_min(torch.finfo(area.dtype).tiny)


def concatenate(parts: Iterable[SceneFeatures]) -> SceneFeatures:
    """The objects of all parts, in order."""
    parts = list(parts)
    names = [field.name for field in fields(SceneFeatures)]
    return SceneFeatures(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    )


def _to_cpu(factors: Factors) -> Factors:
    return Factors(
        cls=factors.cls.float().cpu(),
        sparse=factors.sparse.float().cpu(),
        spatial=factors.spatial.float().cpu(),
        dense=factors.dense.float().cpu(),
        grid=factors.grid,
    )
