"""What feeds a training: views made of JPEG files by one core, with its workers cutting the crops
or with the device; and the colour changes.

    python benchmarks/loader.py

The plain side is what the published pipeline does: Pillow decodes, the picture becomes float32, and
kornia cuts 16 crops and one that nobody uses (bicubic, not antialiased), then changes the colours,
here image by image. All sides take turns; a figure is the median of its runs in CPU seconds of one
process with one thread, so that other work on the machine matters little. What a GPU then does is
measured where there is one.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))

from stellar.config import ViewConfig
from stellar.data import ImageFolder, MultiView, view_batches
from stellar.data.views import photometric
from stellar.data.views.crops import draw_box
from stellar.images import read_image
from stellar.precision import choose_device
from table import Row, medians, print_rows, unmeasured

VIEWS = ViewConfig(num_masked=7)
"""One full and seven masked views at 224 px, eight local crops at 96 px: the published 16 crops."""
NUM_FILES, BATCH = 40, 8


def write_photographs(folder: Path) -> None:
    """JPEG files of 500 x 375 pixels, cut from photographs that come with scikit-image."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    rng = np.random.default_rng(0)
    names = ("coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "retina.jpg", "ihc.png")
    photographs = [
        Image.open(Path(spec.origin).parent / "data" / name).convert("RGB") for name in names
    ]
    for number in range(NUM_FILES):
        photograph = photographs[number % len(photographs)]
        top, left, height, width = draw_box(rng, photograph.height, photograph.width, (0.5, 1.0))
        photograph.resize((500, 375), box=(left, top, left + width, top + height)).save(
            folder / f"{number}.jpg", quality=90
        )


def published_views() -> Callable[[Path], list[Tensor]]:
    """From a file to the crops of the published pipeline, by kornia."""
    from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip, RandomResizedCrop

    def random_crops(size: int, scale: tuple[float, float]) -> AugmentationSequential:
        crop = RandomResizedCrop((size, size), scale=scale, resample="bicubic")
        return AugmentationSequential(crop, RandomHorizontalFlip(VIEWS.flip_probability))

    whole, local = random_crops(224, VIEWS.global_scale), random_crops(96, VIEWS.local_scale)

    def views(path: Path) -> list[Tensor]:
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB")))
        image = pixels.permute(2, 0, 1).contiguous()[None].float() / 255
        copies = image.expand(8, -1, -1, -1)
        return [crop(images).clamp(0, 1) for crop, images in
                ((whole, image), (whole, copies), (local, copies))]  # fmt: skip

    return views


def cpu_medians(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """As `medians`, in CPU seconds of this process."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(1 + rounds):
        for name, run in sides.items():
            start = process_time()
            run()
            taken[name].append(process_time() - start)
    return {name: median(times[1:]) for name, times in taken.items()}


def loader_rows(rounds: int) -> Iterator[Row]:
    """Images a second of one core, from JPEG files to batches in this process."""
    with TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        source, paths = ImageFolder(folder), sorted(Path(folder).iterdir())

        def ours(uncut: bool) -> None:
            data = MultiView(source, 224, 16, VIEWS, 0, uncut)
            for _ in view_batches(data, BATCH, 0, 0, NUM_FILES // BATCH):
                pass

        published = published_views()
        sides = {
            "plain": lambda: [published(path) for path in paths],
            "workers": lambda: ours(uncut=False),
            "device": lambda: ours(uncut=True),
            "decoding": lambda: [read_image(path) for path in paths],
        }
        rates = {name: NUM_FILES / taken for name, taken in cpu_medians(sides, rounds).items()}
    what, limit = "loader, 500 x 375 JPEG to 16 crops", rates["decoding"]
    limited = "plain: the published pipeline, by kornia; limit: reading the files alone"
    unit = "images/s/core"
    yield Row(
        f"{what}, by workers", unit, rates["workers"], rates["plain"], 5.5, limit, note=limited
    )
    yield Row(
        f"{what}, by the device", unit, rates["device"], rates["plain"], 15, limit, note=limited
    )


def colour_row(rounds: int, number: int) -> Row:
    """Colour changes and blur of masked views: a batch at once, and image by image."""
    from kornia import augmentation

    change = augmentation.AugmentationSequential(
        augmentation.ColorJitter(
            VIEWS.brightness,
            VIEWS.contrast,
            VIEWS.saturation,
            VIEWS.hue,
            p=VIEWS.jitter_probability,
        ),
        augmentation.RandomGrayscale(p=VIEWS.grey_probability),
        augmentation.RandomGaussianBlur((9, 9), VIEWS.blur_sigma, p=VIEWS.blur_probability),
    )
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    views = torch.randint(0, 256, (number, 3, 224, 224), generator=generator).byte()
    params = torch.stack([photometric.draw(rng, VIEWS) for _ in range(number)])
    seconds = cpu_medians(
        {
            "plain": lambda: [change(view[None].float() / 255) for view in views],
            "ours": lambda: photometric.apply(views, params, VIEWS),
        },
        rounds,
    )
    rates = {name: number / taken for name, taken in seconds.items()}
    note = "plain: kornia, image by image"
    what, unit = "colour changes, 224 px", "views/s/core"
    return Row(what, unit, rates["ours"], rates["plain"], 10, note=note)


def device_row(rounds: int, device: torch.device, batch: int) -> Row:
    """What a GPU does with pictures of 500 x 375: all 16 crops and their colours."""
    what, unit, target = "16 crops and their colours, on the device", "images/s", None
    with TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        data = MultiView(ImageFolder(folder), 224, 16, VIEWS, 0, uncut=True)
        pictures = data.__getitems__([(0, number % NUM_FILES) for number in range(batch)])
    crops = pictures.to(torch.device("cpu"))

    def coloured(on: str) -> list[Tensor]:
        views = (pictures if on == "ours" else crops).to(device)
        groups = ((views.masked, views.masked_colour), (views.local, views.local_colour))
        return [photometric.apply(v.flatten(0, 1), c.flatten(0, 1), VIEWS) for v, c in groups]

    seconds = medians(
        {side: lambda side=side: coloured(side) for side in ("ours", "plain")}, rounds
    )
    note = "plain: the colours alone, crops by the workers; both from pageable memory"
    return Row(what, unit, batch / seconds["ours"], batch / seconds["plain"], target, note=note)


def rows(toy: bool = False) -> Iterator[Row]:
    torch.set_num_threads(1)
    device = choose_device("auto")
    rounds = 1 if toy else 3 if device.type == "cuda" else 7
    if device.type == "cuda" or toy:
        yield device_row(rounds, device, 4 if toy else 128)
    else:
        yield unmeasured("16 crops and their colours, on the device", "images/s", None)
    yield colour_row(rounds, 2 if toy else 16)
    yield from loader_rows(rounds)


if __name__ == "__main__":
    print_rows("Views", rows())
