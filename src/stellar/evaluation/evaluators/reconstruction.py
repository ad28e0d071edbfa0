"""How well the pictures can be drawn again: picture by picture (PSNR, SSIM, LPIPS), and all of
them as a whole (Frechet distances, rFID).

PSNR = -10 log10 mean (x - x')^2, in dB, for pixels in [0, 1].
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from stellar.data.folder import ImageSource, evenly_spread
from stellar.data.picture_batches import picture_batches
from stellar.errors import MissingPackage
from stellar.evaluation.evaluators.evaluator import Evaluator, Measure
from stellar.evaluation.metrics.frechet import Moments, RandomConvolutions, frechet_distance
from stellar.evaluation.metrics.inception import load_inception
from stellar.evaluation.metrics.lpips import SMALLEST, load_lpips
from stellar.evaluation.metrics.ssim import WINDOW, ssim
from stellar.evaluation.scores import Quantity, Score
from stellar.evaluation.subject import Subject
from stellar.images import unit_range
from stellar.model import Factors, Stellar
from stellar.model.files.strict_loading import WeightsError

ENOUGH_FOR_FID = 2000
"""Pictures; with fewer, the FID says more about their number than about the drawings."""

TEST = "reconstruction"
NAMES: Mapping[str, str] = {
    "PSNR": "PSNR",
    "SSIM": "SSIM",
    "LPIPS": "LPIPS, AlexNet",
    "Frechet distance": "Frechet distance, random convolutions",
    "rFID": "rFID",
    "forced rFID": "rFID, forced: of too few pictures",
}
"""Names that people read, by metric."""

Draw = Callable[[Tensor], Tensor]
"""From pictures (b c h w) as they were read to drawings of them in [0, 1], on the CPU."""
Compare = Callable[[Tensor, Tensor], Tensor]
"""From pictures and drawings (b c h w), both in [0, 1], to a number for each (b)."""
Extract = Callable[[Tensor], Tensor]
"""From pictures (b c h w) in [0, 1] to their features (b d)."""


def likeness(metric: str, test: str = TEST) -> Quantity:
    """How alike pictures and their drawings are, by one of NAMES."""
    return Quantity(test, NAMES[metric], metric, unit="dB" if metric == "PSNR" else "")


def reconstruction(subject: Subject) -> Iterator[Score]:
    """Of a model that draws: from Z = L S alone."""
    model = subject.model
    if model.can_draw:
        yield from judge(
            subject, subject.data.test, lambda images: draw_again(model, images)[1], TEST
        )
    elif not subject.settings.decoder_steps:
        subject.note(
            "this model cannot draw; --decoder-steps 2000 trains a decoder on its frozen features"
        )


def judge(subject: Subject, images: ImageSource, draw: Draw, test: str) -> Iterator[Score]:
    """Every measure of the drawings of test pictures, evenly spread over the set; `test` is what
    made them.
    """
    settings, config = subject.settings, subject.model.config
    indices = evenly_spread(images, settings.num_drawn or len(images))
    count = len(indices)
    compare, extract = _comparisons(subject), _extractors(subject, count)
    found: dict[str, list[Tensor]] = {metric: [] for metric in compare}
    moments: dict[str, list[Moments]] = {}
    num_drawn = 0
    for batch in picture_batches(
        images, indices, subject.fit, config, settings.batch_size, settings.num_workers
    ):
        if batch.indices:
            num_drawn += len(batch.indices)
            pictures, drawn = unit_range(batch.images), draw(batch.images)
            for metric, measure in compare.items():
                found[metric].append(measure(pictures, drawn))
            for metric, features in extract.items():
                sides = [Moments.of(features(side)) for side in (pictures, drawn)]
                before = moments.get(metric)
                moments[metric] = (
                    [a + b for a, b in zip(before, sides, strict=True)] if before else sides
                )
        subject.progress(f"{subject.name}, drawn", num_drawn, count)
    if not num_drawn:
        return
    detail = f"{num_drawn} test pictures"
    for metric, values in found.items():
        each = torch.cat(values).double()
        finite = each[each.isfinite()]  # PSNR is infinite where nothing differs
        exact = f"; {len(each) - len(finite)} drawn exactly, not counted"
        said = detail + (exact if len(finite) < len(each) else "")
        if len(finite):
            yield Score(likeness(metric, test), finite.mean().item(), said)
    for metric, (pictures, drawn) in moments.items():
        yield Score(likeness(metric, test), frechet_distance(pictures, drawn), detail)


def _comparisons(subject: Subject) -> dict[str, Compare]:
    """Measures of one picture, by their metric; a note for those that cannot be taken."""
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
            measures["LPIPS"] = partial(_on, lpips, subject.model.device)
        except (MissingPackage, WeightsError) as error:
            subject.note(str(error))
    return measures


def _extractors(subject: Subject, count: int) -> dict[str, Extract]:
    """Features of `count` pictures to compare as a whole, by their metric; a note where the rFID's
    are missing.
    """
    settings, device = subject.settings, subject.model.device
    channels = subject.model.config.in_chans
    random = RandomConvolutions(channels).to(device)
    extractors: dict[str, Extract] = {"Frechet distance": partial(_on, random, device)}
    few = count < ENOUGH_FOR_FID
    if channels == 3 and few and not settings.force_fid:
        subject.note(
            f"rFID needs at least {ENOUGH_FOR_FID:,} pictures, and {count:,} are drawn; more with "
            "--num-drawn, where there are more, or --force-fid for a number that is marked"
        )
    elif channels == 3:
        try:
            inception = load_inception(settings.metric_weights).to(device)
            extractors["forced rFID" if few else "rFID"] = partial(_on, inception, device)
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


PSNR = Measure("PSNR", "drawn again", (likeness("PSNR"),))
RFID = Measure("rFID", "drawn again", (likeness("rFID"),), lower_is_better=True)
RECONSTRUCTION = Evaluator(
    TEST,
    "test pictures, evenly spread, drawn from Z: mean PSNR, SSIM (window 11, sigma 1.5) and LPIPS; "
    "Frechet distances between pictures and drawings as two sets",
    reconstruction,
    quantities=tuple(map(likeness, NAMES)),
    headline=(PSNR, RFID),
)
