import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, jaccard_score

from stellar.evaluation.evaluators.localisation import (
    METRICS,
    adjusted_rand_index,
    agreement,
    localisation,
    segment,
)
from stellar.model import Stellar


def oracle(truth, prediction):
    return [
        adjusted_rand_score(a.flatten(), b.flatten())
        for a, b in zip(truth, prediction, strict=True)
    ]


@pytest.mark.parametrize(("num_true", "num_predicted"), [(4, 6), (2, 64), (30, 3)])
def test_agrees_with_scikit_learn_on_random_segments(num_true, num_predicted):
    rng = np.random.default_rng(num_true)
    truth = torch.from_numpy(rng.integers(0, num_true, (7, 9, 11)))
    noise = torch.from_numpy(rng.integers(0, num_predicted, (7, 9, 11)))
    prediction = torch.where(torch.from_numpy(rng.random((7, 9, 11)) < 0.5), truth, noise)
    assert adjusted_rand_index(truth, prediction).tolist() == pytest.approx(
        oracle(truth, prediction), abs=1e-9
    )


def test_agrees_with_scikit_learn_on_degenerate_segments():
    one, two = torch.zeros(6, 6, dtype=torch.int64), torch.ones(6, 6, dtype=torch.int64)
    half = torch.arange(36).reshape(6, 6) // 18
    pixels = torch.arange(36).reshape(6, 6)
    lone_pixel = (pixels == 7).long()
    cases = [one, two, half, pixels, lone_pixel]
    truth = torch.stack([a for a in cases for _ in cases])
    prediction = torch.stack([b for _ in cases for b in cases])
    assert adjusted_rand_index(truth, prediction).tolist() == pytest.approx(
        oracle(truth, prediction), abs=1e-9
    )


def test_the_names_of_the_segments_do_not_matter():
    rng = np.random.default_rng(0)
    truth = torch.from_numpy(rng.integers(0, 5, (3, 8, 8))).to(torch.uint8)
    renamed = torch.tensor([17, 3, 40, 0, 8])[truth.long()]
    assert adjusted_rand_index(truth, renamed).tolist() == [1, 1, 1]


def test_a_single_pixel_image_is_equal_to_itself():
    image = torch.zeros(1, 1, 1, dtype=torch.uint8)
    assert adjusted_rand_index(image, image).tolist() == [1]


def test_does_not_lose_digits_on_large_images():
    truth = torch.zeros(1, 3000, 3000, dtype=torch.int64)
    truth[:, :, :1] = 1
    assert adjusted_rand_index(truth, truth).item() == 1
    shifted = truth.roll(1, dims=2)
    assert -0.01 < adjusted_rand_index(truth, shifted).item() < 0


def test_perfect_maps_give_one():
    """Each segment has its token, and segments follow patch borders that bilinear L still finds."""
    truth = torch.zeros(2, 4, 6, dtype=torch.int64)
    truth[0, :2, :3] = 1
    truth[1, :, 2:4] = 2
    maps = torch.nn.functional.one_hot(truth, 5).permute(0, 3, 1, 2).float()
    pixels = truth.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    found = segment(maps, (32, 48))
    assert (found != pixels).float().mean() < 0.01, "only corners are rounded"
    assert adjusted_rand_index(pixels, found).min() > 0.95
    assert adjusted_rand_index(truth, segment(maps, (4, 6))).tolist() == [1, 1]


def values(subject):
    return {score.quantity.name: score.value for score in localisation(subject)}


def test_maps_that_are_right_reach_one(seeing, mosaics, subject_of):
    """Masks of one pixel for each patch; what is ignored in the mask is seen by the model."""
    scores = list(localisation(subject_of(seeing, mosaics())))
    assert [score.quantity.metric for score in scores] == list(METRICS)
    for score in scores:
        assert score.value == pytest.approx(1)
        assert score.spread is None
        assert score.detail == "argmax of L; 20 pictures"


def test_clusters_of_u_stand_in_for_maps(seeing_backbone, mosaics, subject_of):
    scores = list(localisation(subject_of(seeing_backbone, mosaics())))
    for score in scores:
        assert score.value == pytest.approx(1)
        assert score.spread == pytest.approx(0)
        assert score.detail == "k-means on U, K = 6; 20 pictures"


def test_means_over_pictures_agree_with_other_libraries(small, mosaics, subject_of):
    """A random model; masks of another size than the grid, with ignored pixels."""
    torch.manual_seed(3)
    model = Stellar(small).eval()
    with torch.no_grad():
        model.get_parameter("factorization.dense_proj.weight").mul_(50)
    subject = subject_of(model, mosaics((23, 31)))
    source, patches = subject.data.test, subject.test_patches
    rows = {name: [] for name in METRICS}
    for index in range(20):
        masks, maps = source.masks(index), patches.read([index], torch.device("cpu")).spatial
        maps = maps[0].T.view(1, 3, 4, 4)
        found = torch.nn.functional.interpolate(maps, (23, 31), mode="bilinear").argmax(dim=1)[0]
        counted = (masks.classes != 255).numpy()
        truth, found = masks.instances.numpy()[counted], found.numpy()[counted]
        rows["ARI"].append(adjusted_rand_score(truth, found))
        rows["FG-ARI"].append(adjusted_rand_score(truth[truth > 0], found[truth > 0]))
        numbers = [n for n in range(1, 4) if (truth == n).any()]
        iou = np.array([[jaccard_score(truth == n, found == k) for k in range(3)] for n in numbers])
        rows["mBO^i"].append(iou.max(axis=1).mean())
        kinds = masks.classes.numpy()[counted] * (truth > 0)
        by_kind = [
            max(jaccard_score(kinds == kind, found == k) for k in range(3))
            for kind in sorted({*kinds.tolist()} - {0})
        ]
        rows["mBO^c"].append(np.mean(by_kind))
        matched = iou[linear_sum_assignment(iou, maximize=True)].sum()
        rows["mIoU"].append(matched / len(numbers))
    expected = {name: pytest.approx(np.mean(column), abs=1e-6) for name, column in rows.items()}
    assert values(subject) == expected


def test_pictures_without_objects_have_an_ari_alone(seeing, mosaics, subject_of):
    data = mosaics()
    data.test.tiles[:15] = 0
    scores = {score.quantity.name: score for score in localisation(subject_of(seeing, data))}
    assert [s.detail.split("; ")[1] for s in scores.values()] == ["20 pictures"] + 4 * [
        "5 pictures"
    ]
    assert scores["mBO^i"].value == pytest.approx(1)
    data.test.tiles[:] = 0
    subject = subject_of(seeing, data)
    assert list(values(subject)) == ["ARI"]
    assert "mBO^i needs test pictures with masks of objects" in subject.notes


def test_fg_ari_needs_a_picture_with_two_objects(seeing, mosaics, subject_of):
    """Of a lone object in each picture it says nothing; one picture with two is enough."""
    data = mosaics()
    data.test.tiles.clamp_(max=1)
    subject = subject_of(seeing, data)
    assert list(values(subject)) == [name for name in METRICS if name != "FG-ARI"]
    assert subject.notes == ["FG-ARI needs a test picture with masks of two objects or more"]
    data.test.tiles[3, 0] = torch.tensor([0, 1, 2, 3])
    data.test.ignored[3] = False
    found = subject_of(seeing, data)
    assert list(values(found)) == list(METRICS)
    assert not found.notes


def test_masks_in_which_nothing_counts_are_left_out(seeing, mosaics, subject_of):
    data = mosaics()
    data.test.ignored[0] = True
    assert {s.detail for s in localisation(subject_of(seeing, data))} == {
        "argmax of L; 19 pictures"
    }
    assert agreement(torch.zeros(0).byte(), torch.zeros(0).byte(), torch.zeros(0).long()) == {}


def test_a_constant_segmentation_finds_objects_by_their_size():
    instances = torch.tensor([0, 0, 1, 2])
    found = agreement(instances, torch.tensor([0, 0, 5, 5]).byte(), torch.zeros(4).long())
    assert found == {
        "ARI": 0,
        "FG-ARI": 0,
        "mBO^i": 0.25,
        "mBO^c": 0.5,
        "mIoU": 0.125,
    }


def by_hand(
    instances: np.ndarray, classes: np.ndarray, segments: np.ndarray
) -> tuple[float, float, float]:
    """mBO^i, mBO^c and mIoU by loops over sets of pixels."""
    pixels = range(len(instances))
    parts = [{p for p in pixels if segments[p] == k} for k in sorted({*segments.tolist()})]
    objects = [{p for p in pixels if instances[p] == n} for n in {*instances.tolist()} - {0}]
    kinds = [
        {p for p in pixels if instances[p] and classes[p] == c}
        for c in {classes[p] for p in pixels if instances[p]}
    ]

    def mean_best(found: list[set[int]]) -> float:
        return float(np.mean([max(len(a & b) / len(a | b) for b in parts) for a in found]))

    iou = np.array([[len(a & b) / len(a | b) for b in parts] for a in objects])
    matched = iou[linear_sum_assignment(iou, maximize=True)].sum() / len(objects)
    return mean_best(objects), mean_best(kinds), matched


@pytest.mark.parametrize("num_segments", [1, 3, 12])
def test_agrees_with_sets_of_pixels(num_segments: int) -> None:
    """Objects that share classes, and numbers that 8 bits do not hold."""
    rng = np.random.default_rng(num_segments)
    numbers = rng.integers(0, 5, 60)
    instances = np.array([0, 1, 2, 700, 701])[numbers]
    classes = np.array([9, 0, 0, 3, 254])[numbers]
    segments = rng.integers(0, num_segments, 60)
    found = agreement(
        torch.from_numpy(instances).int(),
        torch.from_numpy(classes).byte(),
        torch.from_numpy(segments),
    )
    foreground = instances > 0
    assert list(found) == list(METRICS)
    assert list(found.values()) == pytest.approx(
        [
            adjusted_rand_score(instances, segments),
            adjusted_rand_score(instances[foreground], segments[foreground]),
            *by_hand(instances, classes, segments),
        ]
    )
