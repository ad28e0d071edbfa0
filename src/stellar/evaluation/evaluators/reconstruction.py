"""How well the pictures can be drawn again: picture by picture (PSNR, SSIM, LPIPS), and all of
them as a whole (Frechet distances, rFID).

PSNR = -10 log10 mean (x - x')^2, in dB, for pixels in [0, 1].
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.data.folder import evenly_spread
from stellar.data.inference import picture_batches
from stellar.errors import MissingPackage
from stellar.evaluation.metrics.frechet import Moments, RandomConvolutions, frechet_distance
from stellar.evaluation.metrics.inception import load_inception
from stellar.evaluation.metrics.lpips import SMALLEST, load_lpips
from stellar.evaluation.metrics.ssim import WINDOW, ssim
from stellar.evaluation.scores import Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Factors, Stellar
from stellar.model.files.loading import WeightsError

ENOUGH_FOR_FID = 2000
"""Pictures; with fewer, the FID says more about their number than about the drawings."""

Draw = Callable[[Tensor], Tensor]
"""From pictures (b c h w) as they were read to drawings of them in [0, 1], on the CPU."""
Compare = Callable[[Tensor, Tensor], Tensor]
"""From pictures and drawings (b c h w), both in [0, 1], to a number for each (b)."""
Extract = Callable[[Tensor], Tensor]
"""From pictures (b c h w) in [0, 1] to their features (b d)."""


def reconstruction(subject: Subject) -> Iterator[Score]:
    """Of a model that draws: from Z = L S alone."""
    model = subject.model
    if isinstance(model, Stellar) and model.can_draw:
        yield from judge(subject, lambda images: draw_again(model, images)[1])
    elif not subject.settings.decoder_steps:
        subject.note(
            "this model cannot draw; --decoder-steps 2000 trains a decoder on its frozen features"
        )


def judge(subject: Subject, draw: Draw) -> Iterator[Score]:
    """Every measure of the drawings of test pictures, evenly spread over the set."""
    settings, config, images = subject.settings, subject.model.config, subject.data.test
    indices = evenly_spread(images, settings.num_drawn or len(images))
    count = len(indices)
    compare, extract = _comparisons(subject), _extractors(subject, count)
    found: dict[str, list[Tensor]] = {name: [] for name in compare}
    moments: dict[str, list[Moments]] = {}
    num_drawn = 0
    for batch in picture_batches(
        images, indices, subject.fit, config, settings.batch_size, settings.num_workers
    ):
        if batch.indices:
            num_drawn += len(batch.indices)
            pictures, drawn = unit_range(batch.images), draw(batch.images)
            for name, measure in compare.items():
                found[name].append(measure(pictures, drawn))
            for name, features in extract.items():
                sides = [Moments.of(features(side)) for side in (pictures, drawn)]
                before = moments.get(name)
                moments[name] = (
                    [a + b for a, b in zip(before, sides, strict=True)] if before else sides
                )
        subject.progress(f"{subject.name}, drawn", num_drawn, count)
    if not num_drawn:
        return
    detail = f"{num_drawn} test pictures"
    for name, values in found.items():
        each = torch.cat(values).double()
        finite = each[each.isfinite()]  # PSNR is infinite where nothing differs
        exact = f"; {len(each) - len(finite)} drawn exactly, not counted"
        said = detail + (exact if len(finite) < len(each) else "")
        if len(finite):
            unit = "dB" if name == "PSNR" else ""
            yield Score("reconstruction", name, finite.mean().item(), unit, said)
    for name, (pictures, drawn) in moments.items():
        yield Score("reconstruction", name, frechet_distance(pictures, drawn), "", detail)


def _comparisons(subject: Subject) -> dict[str, Compare]:
    """Measures of one picture; a note for those that cannot be taken."""
    side = subject.model.config.image_size
    measures: dict[str, Compare] = {"PSNR": psnr}
    if side < WINDOW:
        subject.note(
            f"SSIM needs at least {WINDOW} pixels a side, the model's pictures have {side}"
        )
    else:
        measures["SSIM"] = ssim
    if subject.model.config.in_chans != 3:
        subject.note("LPIPS and rFID are of RGB pictures only")
    elif side < SMALLEST:
        subject.note(f"LPIPS needs {SMALLEST} pixels a side, the model's pictures have {side}")
    else:
        try:
            lpips = load_lpips(subject.settings.metric_weights).to(subject.model.device)
            measures["LPIPS, AlexNet"] = partial(_on, lpips, subject.model.device)
        except (MissingPackage, WeightsError) as error:
            subject.note(str(error))
    return measures


def _extractors(subject: Subject, count: int) -> dict[str, Extract]:
    """Features of `count` pictures to compare as a whole; a note where the rFID's are missing."""
    settings, device = subject.settings, subject.model.device
    channels = subject.model.config.in_chans
    random = RandomConvolutions(channels).to(device)
    extractors: dict[str, Extract] = {
        "Frechet distance, random convolutions": partial(_on, random, device)
    }
    few = count < ENOUGH_FOR_FID
    if channels == 3 and few and not settings.force_fid:
        subject.note(
            f"rFID needs at least {ENOUGH_FOR_FID:,} pictures, and {count:,} are drawn; more with "
            "--num-drawn, where there are more, or --force-fid for a number that is marked"
        )
    elif channels == 3:
        try:
            inception = load_inception(settings.metric_weights).to(device)
            name = f"rFID, forced: of {count:,} pictures only" if few else "rFID"
            extractors[name] = partial(_on, inception, device)
        except WeightsError as error:
            subject.note(str(error))
    return extractors


@torch.inference_mode()
def _on(network: torch.nn.Module, device: torch.device, *images: Tensor) -> Tensor:
    """The network's answer, on the CPU."""
    return network(*(side.to(device) for side in images)).cpu()


def draw_again(
    model: Stellar, images: Tensor
) -> tuple[Factors, Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
    """Pictures (b c h w) as they were read: their factors, what is drawn from them, and its PSNR;
    the last two on the CPU.
    """
    with torch.inference_mode():
        factors = model.encode(images.to(model.device))
        drawn = model.reconstruct(factors).cpu()
    return factors, drawn, psnr(unit_range(images), drawn)


def psnr(
    images: Float[Tensor, "b c h w"], reconstructions: Float[Tensor, "b c h w"]
) -> Float[Tensor, " b"]:
    """PSNR of each image in dB; infinite where nothing differs."""
    error = (images.double() - reconstructions.double()).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).to(images.dtype)
