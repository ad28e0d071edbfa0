"""The views of an image that a training step sees."""

from dataclasses import dataclass
from typing import Literal

from stellar.config.checks import check_at_least, check_choices, check_numbers, require
from stellar.config.field_types import settle_types


def num_kept(num_patches: int, masking_ratio: float) -> int:
    """How many patches a masked view keeps: all whole ones of the share."""
    return int(num_patches * (1 - masking_ratio) + 1e-6)  # 100 * (1 - 0.9) is 9.999...


@dataclass(frozen=True)
class ViewConfig:
    """The views of an image that a training step sees: one full view, V masked views, W local
    crops.
    """

    num_masked: int = 8
    """Number V of masked views, each its own random crop at the model's image size."""
    share_crop: bool = False
    """The first masked view is cut as the full view is, in colours and with patches of its own: so
    it is in the published recipe.
    """
    num_local: int = 8
    """Number W of small crops, of which only the global token is used."""
    local_size: int = 96
    """Side of a local crop, in pixels."""
    global_scale: tuple[float, float] = (0.36, 1.0)
    """Share of the image's area that a full or masked view covers, smallest and largest."""
    local_scale: tuple[float, float] = (0.06, 0.36)
    """The same for a local crop."""
    flip_probability: float = 0.5
    """Chance of a horizontal flip, for each view."""
    vertical_flip_probability: float = 0.0
    """Chance of a vertical flip, for each view: for pictures that have no top, as those of a
    microscope or from above.
    """
    turn_probability: float = 0.0
    """Chance of a turn by 90, 180 or 270 degrees, for each view: for such pictures too."""
    antialias: bool = True
    """Antialias when a crop is made smaller. The published crops are not antialiased."""
    crops: Literal["auto", "workers", "device"] = "auto"
    """Who cuts the crops out of the pictures: the loader's workers, or the device, so that workers
    only decode. auto: a GPU cuts its own. The same crops either way; where two pixels of theirs
    differ, then by a grey level, and more only at hard edges.
    """
    masking: Literal["random", "block", "focal"] = "focal"
    """Which patches a masked view keeps: uniform, around a rectangle, or around a Gaussian focus
    (the paper).
    """
    masking_ratio: float = 0.8
    """Share of the patches that a masked view drops."""
    masking_probability: float = 0.5
    """Chance that block or focal masking applies to a view; otherwise its patches are drawn
    uniformly.
    """
    jitter_probability: float = 0.8
    """Chance of a colour jitter, for each masked or local view."""
    brightness: float = 0.4
    """Largest relative change of brightness."""
    contrast: float = 0.4
    """Largest relative change of contrast."""
    saturation: float = 0.2
    """Largest relative change of saturation; RGB only, other channels are left as they are."""
    hue: float = 0.1
    """Largest rotation of the hue, in full turns; RGB only."""
    grey_probability: float = 0.2
    """Chance that a masked or local view loses its colour; RGB only."""
    blur_probability: float = 0.5
    """Chance of a Gaussian blur, for each masked or local view."""
    blur_kernel: int = 9
    """Side of the blur's kernel, in pixels; odd."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest standard deviation of the blur, in pixels."""

    def __post_init__(self) -> None:
        settle_types(self, "views")
        check_choices(self, "views")
        check_numbers(self, "views")
        check_at_least(self, "views", 1, "local_size")
        for name in ("num_masked", "num_local"):
            require(
                getattr(self, name) >= 0,
                f"views.{name} must not be negative, got {getattr(self, name)}",
            )
        for name in ("global_scale", "local_scale"):
            low, high = getattr(self, name)
            require(
                0 < low <= high <= 1,
                f"views.{name} must be two shares 0 < low <= high <= 1, got {low}, {high}",
            )
        for name in ("flip", "vertical_flip", "turn", "masking", "jitter", "grey", "blur"):
            value = getattr(self, f"{name}_probability")
            require(
                0 <= value <= 1, f"views.{name}_probability must be between 0 and 1, got {value}"
            )
        for name in ("brightness", "contrast", "saturation"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"views.{name} must be between 0 and 1, got {value}")
        require(0 <= self.hue <= 0.5, f"views.hue must be between 0 and 0.5, got {self.hue}")
        require(
            0 <= self.masking_ratio < 1,
            f"views.masking_ratio must be in [0, 1), got {self.masking_ratio}",
        )
        require(
            self.blur_kernel % 2 == 1 and self.blur_kernel > 0,
            f"views.blur_kernel must be odd and positive, got {self.blur_kernel}",
        )
        require(
            0 < self.blur_sigma[0] <= self.blur_sigma[1],
            f"views.blur_sigma must be two positive numbers, low first, got {self.blur_sigma}",
        )
