"""Threads that read pictures leave the process as it was: its warnings and its loggers."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import tifffile
from PIL import Image

from stellar.images import read_image
from stellar.images.quiet import UNWARNED


def test_threads_that_read_pictures_leave_warnings_and_loggers_as_they_were(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}{end}" for number in range(12) for end in (".png", ".tiff")]
    pixels = np.zeros((32, 32, 3), np.uint8)
    for file in files:
        Image.fromarray(pixels).save(file)
    before = list(warnings.filters), tifffile.logger().disabled
    with ThreadPoolExecutor(8) as threads:
        assert all(image.shape == (3, 32, 32) for image in threads.map(read_image, 20 * files))
    assert (list(warnings.filters), tifffile.logger().disabled) == before


def test_the_last_to_go_leaves_what_the_first_entered() -> None:
    """Two threads: the one that begins first ends first."""
    first_inside, both_inside, first_gone = Event(), Event(), Event()

    def first() -> None:
        with UNWARNED:
            first_inside.set()
            assert both_inside.wait(30)
        first_gone.set()

    def second() -> None:
        assert first_inside.wait(30)
        with UNWARNED:
            both_inside.set()
            assert first_gone.wait(30)
            warnings.warn("an error here, were it not silenced", stacklevel=1)

    before = list(warnings.filters)
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(first), threads.submit(second)]:
            done.result()
    assert list(warnings.filters) == before
