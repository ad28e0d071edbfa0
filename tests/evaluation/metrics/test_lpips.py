"""LPIPS agrees with torchmetrics' layers around an AlexNet that is written down here."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchmetrics
from torch import Tensor

from stellar.errors import MissingPackage
from stellar.evaluation.metrics.lpips import FILE, LPIPS, SMALLEST, load_lpips
from stellar.model.files.strict_loading import WeightsError

CONVOLUTIONS = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}
"""Place in torchvision's AlexNet: stride and padding; the second and third read a pooled input."""


@pytest.fixture
def alexnet(tmp_path: Path) -> dict[str, Tensor]:
    """Random weights in torchvision's file in `tmp_path`, its classifier included."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3)}
    shapes[10] = (256, 256, 3, 3)
    state = {"classifier.1.weight": torch.randn(4, 4), "classifier.1.bias": torch.randn(4)}
    for place, shape in shapes.items():
        state[f"features.{place}.weight"] = torch.randn(shape) / shape[1] ** 0.5 / shape[2]
        state[f"features.{place}.bias"] = torch.randn(shape[0])
    torch.save(state, tmp_path / FILE)
    return state


def by_torchmetrics(alexnet: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    from torchmetrics.functional.image.lpips import ScalingLayer, _normalize_tensor

    file = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth"
    linear = list(torch.load(file, weights_only=True, map_location="cpu").values())
    x = ScalingLayer()(torch.cat([2 * a - 1, 2 * b - 1]))
    total = torch.zeros(len(a))
    for weight, (place, (stride, padding)) in zip(linear, CONVOLUTIONS.items(), strict=True):
        x = F.max_pool2d(x, 3, 2) if place in (3, 6) else x
        kernel, bias = alexnet[f"features.{place}.weight"], alexnet[f"features.{place}.bias"]
        x = F.conv2d(x, kernel, bias, stride, padding).relu()
        first, second = _normalize_tensor(x).chunk(2)
        total += F.conv2d((first - second) ** 2, weight).mean(dim=(1, 2, 3))
    return total


@pytest.mark.parametrize("size", [(SMALLEST, SMALLEST), (48, 71)])
def test_agrees_with_torchmetrics(
    alexnet: dict[str, Tensor], tmp_path: Path, size: tuple[int, int]
) -> None:
    lpips = load_lpips(tmp_path)
    images, others = torch.rand(3, 3, *size), torch.rand(3, 3, *size)
    others[0], others[1] = images[0], 0
    found = lpips(images, others)
    assert torch.allclose(found, by_torchmetrics(alexnet, images, others), atol=1e-6)
    assert found[0] == 0
    assert found[1] > 0.01


def test_layers_are_as_wide_as_their_weights() -> None:
    convolutions = [layer for layer in LPIPS().features if isinstance(layer, torch.nn.Conv2d)]
    assert tuple(layer.out_channels for layer in convolutions) == LPIPS.WIDTHS


def test_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=rf"LPIPS needs {FILE}: download .* into {tmp_path}"):
        load_lpips(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(WeightsError, match="checkpoints"):
        load_lpips()
    monkeypatch.setattr("stellar.evaluation.metrics.lpips.find_spec", lambda _name: None)
    with pytest.raises(MissingPackage, match=r"stellar-vision\[metrics\]"):
        load_lpips(tmp_path)
    assert "torchvision" not in sys.modules
