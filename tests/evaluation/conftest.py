from collections.abc import Callable

import pytest

from stellar.evaluation.scores import Evaluation, ModelScores, Score

CHANCE = {"material": 0.11, "place": 0.26, "digit": 0.12, "size": 0.35}


def classification(shift: float) -> list[Score]:
    """kNN and linear probe."""
    knn = [
        Score("kNN", f"{feature}, k = {k}", 40 + shift + k / 10, "%")
        for feature in ("cls", "S", "U")
        for k in (10, 20)
    ]
    return [*knn, Score("linear probe", "top-1", 61.26 + shift, "%", "S, rate 1.0e-03", 0.31)]


def scenes(shift: float) -> list[Score]:
    """The matrix, each cell with a value of its own."""
    cells = [
        (feature, label, probe)
        for feature in ("S", "L", "dense")
        for label in CHANCE
        for probe in ("kNN", "linear")
    ]
    return [
        Score("factorization", f"{feature} to {label}, {probe}", 0.05 + 0.03 * place + shift / 100,
              detail=f"chance {CHANCE[label]:.2f}, 1973 objects")
        for place, (feature, label, probe) in enumerate(cells)
    ]  # fmt: skip


def drawing(shift: float) -> list[Score]:
    """Of a model that draws."""
    return [Score("reconstruction", "PSNR", 18.76 + shift, "dB", "1000 test pictures")]


def cost(shift: float) -> list[Score]:
    """Sizes and speed."""
    sizes = {"cls": 128, "S": 768, "L": 384, "S and L": 1152, "dense": 8192 + shift}
    found = [Score("cost", f"{name}, numbers an image", float(n)) for name, n in sizes.items()]
    return [*found, Score("cost", "encoding", 1234.4, "images/s")]


Part = Callable[[float], list[Score]]


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    """Models by their names, each with the scores of these parts, which differ by the model."""

    def make(
        *names: str, parts: tuple[Part, ...] = (classification, scenes, drawing, cost)
    ) -> Evaluation:
        models = tuple(
            ModelScores(
                name=name,
                sha256="0123456789abcdef" * 4,
                preprocessing="RGB, 48 x 48",
                num_unreadable=3,
                scores=tuple(score for part in parts for score in part(2.0 * place)),
                notes=("LPIPS needs its weights",),
            )
            for place, name in enumerate(names)
        )
        return Evaluation(
            data="training set: train, test set: val, as given",
            num_train=2345,
            num_test=1802,
            classes=("cat", "dog"),
            chance=0.375,
            protocol={"kNN": "by cosine", "seeds": "0, 1, 2"},
            models=models,
        )

    return make
