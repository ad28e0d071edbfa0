"""How fast one core makes views: from JPEG files, from the embedded scenes, and the colour changes.

    python benchmarks/loader.py

The plain side is what a usual pipeline does: Pillow decodes, crops and resizes (bicubic), and every
crop becomes a float32 tensor; with kornia installed, also with a colour change of every crop. All
sides take turns, and each figure is the median of their runs in CPU seconds of one process with one
thread, so that other work on the machine matters little.
"""

import argparse
import io
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image

from stellar import presets
from stellar.config import ViewConfig
from stellar.data import Cutouts, ImageFolder, MultiView, photometric
from stellar.data.crops import draw_box
from stellar.data.loader import view_batches
from stellar.images import files, read_image

PUBLISHED = 33.5
"""Images a second and core of the published pipeline on the same work, as measured before."""
RECIPE = ViewConfig()
SIXTEEN = ViewConfig(num_masked=7)
"""One full and seven masked views at 224 px, eight local crops at 96 px: the published 16 crops."""
NUM_FILES = 40


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


def plain_views(path: Path, views: ViewConfig, rng: np.random.Generator) -> list[torch.Tensor]:
    """The crops of one file, by Pillow, as float32 tensors."""
    image = Image.open(path).convert("RGB")
    sizes = [(224, views.global_scale)] * (1 + views.num_masked)
    sizes += [(views.local_size, views.local_scale)] * views.num_local
    crops = []
    for size, scale in sizes:
        top, left, height, width = draw_box(rng, image.height, image.width, scale)
        crop = image.crop((left, top, left + width, top + height))
        pixels = np.array(crop.resize((size, size), Image.Resampling.BICUBIC))
        crops.append(torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255)
    return crops


@contextmanager
def without_simplejpeg() -> Iterator[None]:
    installed, files.simplejpeg = files.simplejpeg, None
    try:
        yield
    finally:
        files.simplejpeg = installed


def decoding_jobs(folder: Path) -> dict[str, Callable[[], object]]:
    """Each job works through all files once."""
    paths = sorted(folder.iterdir())
    source = ImageFolder(folder)

    def ours(views: ViewConfig) -> None:
        for _ in view_batches(MultiView(source, 224, 16, views, 0), 8, 0, 0, NUM_FILES // 8):
            pass

    def ours_with_pillow() -> None:
        with without_simplejpeg():
            ours(SIXTEEN)

    def plain(change: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        rng = np.random.default_rng(0)
        for path in paths:
            for crop in plain_views(path, SIXTEEN, rng):
                if change is not None:
                    change(crop[None])

    jobs: dict[str, Callable[[], object]] = {"plain, 16 crops": plain}
    if find_spec("kornia") is not None:
        changes = kornia_changes()
        jobs["plain, 16 crops, colours by kornia"] = lambda: plain(changes)
    jobs["stellar, 16 crops"] = lambda: ours(SIXTEEN)
    if files.simplejpeg is not None:
        jobs["stellar, 16 crops, without simplejpeg"] = ours_with_pillow
    jobs["stellar, all 17 views of the recipe"] = lambda: ours(RECIPE)
    jobs["stellar, reading alone"] = lambda: [read_image(path) for path in paths]
    return jobs


def kornia_changes() -> Callable[[torch.Tensor], torch.Tensor]:
    from kornia import augmentation

    return augmentation.AugmentationSequential(
        augmentation.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        augmentation.RandomGrayscale(p=0.2),
        augmentation.RandomGaussianBlur((9, 9), (0.1, 2.0), p=0.5),
    )


def colour_jobs(size: int, number: int) -> dict[str, Callable[[], object]]:
    """Each job changes the colours of a batch of views; kornia's parameters are for the batch."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randint(0, 256, (number, 3, size, size), generator=generator).byte()
    rng = np.random.default_rng(0)
    params = torch.stack([photometric.draw(rng, RECIPE) for _ in range(number)])
    jobs: dict[str, Callable[[], object]] = {
        f"stellar, {size} px": lambda: photometric.apply(views, params, RECIPE)
    }
    if find_spec("kornia") is not None:
        change = kornia_changes()
        jobs[f"kornia, {size} px"] = lambda: change(views.float() / 255)
    return jobs


def scene_jobs(number: int) -> dict[str, Callable[[], object]]:
    source, preset = Cutouts("train"), presets.demo()
    dataset = MultiView(source, 48, 6, preset.views, 0)
    batch = preset.training.batch_size
    return {
        "scenes of 48 px": lambda: [source.read(index) for index in range(number)],
        "scenes as the demo's views": lambda: list(
            view_batches(dataset, batch, 0, 0, number // batch)
        ),
    }


def medians(jobs: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """CPU seconds of each job; the jobs take turns, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for run in range(runs + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            if run > 0:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    decoder = "none" if files.simplejpeg is None else files.simplejpeg.__version__
    return (
        f"{models[0] if models else platform.processor()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, Pillow {PIL.__version__}, simplejpeg {decoder}"
    )


def report(runs: int) -> str:
    out = io.StringIO()
    print(f"{machine()}; one thread, medians of {runs} runs", file=out)
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder))
        rates = {
            name: NUM_FILES / seconds
            for name, seconds in medians(decoding_jobs(Path(folder)), runs).items()
        }
    plain = rates["plain, 16 crops"]
    print("\nJPEG 500 x 375 to views         images/s/core   x plain   x published", file=out)
    for name, rate in rates.items():
        print(f"{name:40}{rate:8.0f}{rate / plain:10.1f}{rate / PUBLISHED:14.1f}", file=out)
    print("\nEmbedded scenes                            images/s/core", file=out)
    for name, seconds in medians(scene_jobs(1024), runs).items():
        print(f"{name:40}{1024 / seconds:8.0f}", file=out)
    print("\nColours and blur of a view                 ms a view", file=out)
    for jobs, number in ((colour_jobs(224, 24), 24), (colour_jobs(48, 256), 256)):
        for name, seconds in medians(jobs, runs).items():
            print(f"{name:40}{seconds / number * 1e3:10.3f}", file=out)
    return out.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each job (default: 5)")
    torch.set_num_threads(1)
    print(report(parser.parse_args().runs), end="")
