"""The numbers that matter most, in the order in which they are read, and numbers as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellar.evaluation.scores import ModelScores, Score

FROZEN = "decoder on frozen features"
"""Ends the names of reconstruction by a decoder that is new for each model."""


@dataclass(frozen=True)
class Measure:
    """A number that is compared between models."""

    label: str
    meaning: str
    test: str
    names: tuple[str, ...]
    """Of its scores: a model is judged by the first that it has."""
    lower_is_better: bool = False

    def of(self, model: ModelScores) -> Score | None:
        """The model's score, where it was measured."""
        found = (model.score(self.test, name) for name in self.names)
        return next((score for score in found if score is not None), None)

    def best(self, scores: Sequence[Score | None]) -> set[int]:
        """Places of the best of several scores: more than one when they read the same, none when
        there is nothing to compare.
        """
        values = {place: score.value for place, score in enumerate(scores) if score is not None}
        if len(values) < 2:
            return set()
        leader = (min if self.lower_is_better else max)(values, key=values.__getitem__)
        text = [number(score) if score is not None else None for score in scores]
        found = {place for place in values if text[place] == text[leader]}
        return found if len(found) < len(values) else set()


LINEAR = Measure("Linear probe", "top-1", "linear probe", ("top-1",))
MAP = Measure("Linear probe", "mean average precision", "linear probe", ("mAP",))
KNN_S = Measure("kNN on S", "top-1, k = 20", "kNN", ("S, k = 20",))
KNN_CLS = Measure("kNN on cls", "top-1, k = 20", "kNN", ("cls, k = 20",))
MIOU_U = Measure("mIoU of U", "segmentation, linear on patches", "segmentation", ("mIoU, U",))
MIOU_Z = Measure("mIoU of Z", "segmentation, linear on what is drawn from", "segmentation",
                 ("mIoU, Z", "mIoU, U"))  # fmt: skip
MIOU_TOKENS = Measure("mIoU of S and L", "tokens named, painted with L", "segmentation",
                      ("mIoU, tokens painted with L",))  # fmt: skip
S_MATERIAL = Measure("S knows what", "S to material, kNN", "factorization", ("S to material, kNN",))
DENSE_MATERIAL = Measure("U knows what", "dense to material, kNN", "factorization",
                         ("dense to material, kNN",))  # fmt: skip
S_PLACE = Measure("S forgets where", "S to place, kNN; lower is better", "factorization",
                  ("S to place, kNN",), lower_is_better=True)  # fmt: skip
L_PLACE = Measure("L knows where", "L to place, kNN", "factorization", ("L to place, kNN",))
ARI = Measure("ARI", "argmax of L against the objects", "localisation", ("ARI",))
PSNR = Measure("PSNR", "drawn again", "reconstruction", ("PSNR",))
PSNR_FROZEN = Measure("PSNR", FROZEN, "reconstruction", (f"PSNR, {FROZEN}",))
RFID = Measure("rFID", "drawn again; lower is better", "reconstruction", ("rFID",), True)
RFID_FROZEN = Measure("rFID", f"{FROZEN}; lower is better", "reconstruction",
                      (f"rFID, {FROZEN}",), True)  # fmt: skip
NUMBERS = Measure(
    "Numbers an image", "S and L; lower is better", "cost",
    ("S and L, numbers an image", "bottleneck, numbers an image", "dense, numbers an image"), True,
)  # fmt: skip

HEADLINE = (
    LINEAR, MAP, KNN_S, KNN_CLS, S_MATERIAL, S_PLACE, L_PLACE, MIOU_U, MIOU_TOKENS, ARI,
    PSNR, PSNR_FROZEN, RFID, RFID_FROZEN, NUMBERS,
)  # fmt: skip
SEMANTICS = (LINEAR, MAP, S_MATERIAL, KNN_S, KNN_CLS, MIOU_Z, DENSE_MATERIAL)
"""What is understood, the most telling first."""
DRAWING = (RFID_FROZEN, PSNR_FROZEN, RFID, PSNR)
"""What can be drawn again, the most telling first."""


def number(score: Score) -> str:
    """The value with as many digits as it deserves, without its unit."""
    return format(score.value, _digits(score))


def text(score: Score) -> str:
    """Value, spread and unit."""
    digits = _digits(score)
    spread = "" if score.spread is None else f" ± {score.spread:{digits}}"
    return f"{score.value:{digits}}{spread} {score.unit}".rstrip()


def _digits(score: Score) -> str:
    if score.test == "cost":
        return ",.0f"
    if score.unit or abs(score.value) >= 100:
        return ",.1f"
    return ".2f" if score.test == "factorization" else ".3f"
