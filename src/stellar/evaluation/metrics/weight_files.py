"""Weights of the networks that judge pictures: never downloaded here, but found where others have
put them.
"""

from collections.abc import Sequence
from pathlib import Path

from stellar.model.files.strict_loading import WeightsError


def find_metric_file(
    metric: str, names: Sequence[str], address: str, folder: Path | None = None
) -> Path:
    """The first file of these names in a folder, by default torch's cache of downloads, where
    torchvision, torch-fidelity and torchmetrics leave theirs. Raises WeightsError, which says where
    to get it.
    """
    from torch.hub import get_dir

    folder = folder or Path(get_dir()) / "checkpoints"
    for name in names:
        if (folder / name).is_file():
            return folder / name
    home = Path.home()
    shown = Path("~", folder.relative_to(home)) if folder.is_relative_to(home) else folder
    raise WeightsError(
        f"{metric} needs {names[0]}: download it from {address} into {shown}, "
        "or name the folder that holds it (--metric-weights)"
    )
