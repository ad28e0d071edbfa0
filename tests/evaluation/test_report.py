from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from sklearn.metrics import adjusted_rand_score

from stellar.config import DecoderConfig, ModelConfig
from stellar.data.cutouts import Cutouts
from stellar.evaluation import evaluate_scenes
from stellar.model import Stellar


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    decoder = DecoderConfig(target="pixels", embed_dim=16, depth=1, num_heads=2)
    return Stellar(
        ModelConfig(
            image_size=24,
            patch_size=6,
            embed_dim=16,
            depth=1,
            num_heads=2,
            num_sparse_tokens=4,
            decoder=decoder,
        )
    )


@pytest.fixture(scope="module")
def report(model):
    return evaluate_scenes(model, num_train=40, num_heldout=30, seed=3)


def test_means_agree_with_other_libraries_image_by_image(model, report):
    cutouts = Cutouts("heldout", seed=3, size=24)
    decibels, rand_indices = [], []
    for index in range(30):
        scene = cutouts.scene(index)
        image = scene.image[None] / 255
        with torch.no_grad():
            factors = model.encode(image)
            drawn = model.reconstruct(factors)
        maps = torch.nn.functional.interpolate(factors.maps, (24, 24), mode="bilinear")
        found = maps.argmax(dim=1).flatten()
        decibels.append(peak_signal_noise_ratio(image.numpy(), drawn.numpy(), data_range=1))
        rand_indices.append(adjusted_rand_score(scene.instances.flatten(), found))
    assert report.psnr == pytest.approx(np.mean(decibels), abs=1e-3)
    assert report.ari == pytest.approx(np.mean(rand_indices), abs=1e-3)


def test_the_report_counts_what_it_saw(model, report):
    for cutouts, scenes, objects in (
        (Cutouts("train", seed=3, size=24), 40, report.num_train_objects),
        (Cutouts("heldout", seed=3, size=24), 30, report.num_heldout_objects),
    ):
        assert objects == sum(len(cutouts.scene(index).objects) for index in range(scenes))
    assert (report.num_train_scenes, report.num_heldout_scenes) == (40, 30)
    assert report.num_parameters == sum(p.numel() for p in model.parameters())
    assert len(report.scores) == 18
    assert report.score("L", "place", "knn") in report.scores
    with pytest.raises(KeyError):
        report.score("L", "colour", "knn")


def test_the_same_model_gets_the_same_numbers_but_for_speed(model, report):
    again = evaluate_scenes(model, num_train=40, num_heldout=30, seed=3)
    assert again.images_per_second > 0
    assert replace(again, images_per_second=0.0) == replace(report, images_per_second=0.0)
