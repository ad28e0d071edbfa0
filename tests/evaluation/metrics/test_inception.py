"""The FID's Inception: its file, its names, and the features that torch-fidelity gives."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stellar.evaluation.metrics.inception import FILES, Inception, enlarged, load_inception
from stellar.model.files.strict_loading import WeightsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the file that everybody uses, with its classifier and its counters."""
    stream, state = np.random.RandomState(0), {}
    for name, tensor in sorted(Inception().state_dict().items()):
        values = torch.from_numpy(stream.standard_normal(tuple(tensor.shape))).float()
        if tensor.ndim == 4:
            state[name] = values * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = 1 + 0.1 * values.tanh()
        else:
            state[name] = 0.1 * values
    state["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(0)
    state |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    folder = tmp_path_factory.mktemp("weights")
    torch.save(state, folder / FILES[1])
    return folder


def test_gives_the_features_of_torch_fidelity(weights: Path) -> None:
    """Every 256th feature of two pictures, computed with torch-fidelity 0.4.0 on these weights."""
    pictures = np.random.RandomState(1).randint(0, 256, (2, 3, 48, 64))
    features = load_inception(weights)(torch.from_numpy(pictures) / 255)
    expected = [
        [0.0, 1.02184, 0.0, 0.00483, 3.64877, 1.24141, 1.45962, 1.2283],
        [0.0, 1.0097, 0.0, 0.00503, 3.59727, 1.1852, 1.43451, 1.20408],
    ]
    assert features.shape == (2, 2048)
    assert torch.allclose(features[:, ::256], torch.tensor(expected), atol=2e-5)


def test_has_the_published_number_of_parameters() -> None:
    """23,834,568 of Inception-v3 without its auxiliary head, less the 2,049,000 of its classes."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in Inception().parameters())
    assert parameters == 23_834_568 - 2_049_000


def test_enlarges_from_corner_to_corner() -> None:
    """Pixel i of 6 lies at i / 2 of 3; behind the last pixel there is the last pixel."""
    row = torch.tensor([0.0, 10.0, 30.0]).expand(1, 1, 3, 3)
    assert enlarged(row, 6)[0, 0, 4].tolist() == pytest.approx([0, 5, 10, 20, 30, 30], abs=1e-5)
    assert torch.allclose(enlarged(row.mT, 6), enlarged(row, 6).mT)
    assert torch.allclose(enlarged(row, 3), row)


def test_says_which_file_is_missing_and_where_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"rFID needs {FILES[0]}: download it from https://"):
        load_inception(tmp_path)
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, tmp_path / FILES[0])
    with pytest.raises(WeightsError, match=r"missing: Conv2d_1a_3x3\.bn\.bias"):
        load_inception(tmp_path)
