"""What is best, and how numbers read."""

from stellar.evaluation.report.measures import HEADLINE, NUMBERS, PSNR, S_PLACE, number, text
from stellar.evaluation.scores import ModelScores, Score


def psnr(value: float) -> Score:
    return Score("reconstruction", "PSNR", value, "dB")


def test_the_best_of_a_row() -> None:
    assert PSNR.best([psnr(20.0), None, psnr(21.0)]) == {2}
    assert PSNR.best([psnr(20.0), psnr(21.01), psnr(20.99)]) == {1, 2}, "they read the same"
    assert PSNR.best([psnr(20.0), None]) == set(), "nothing to compare with"
    assert PSNR.best([psnr(20.0), psnr(20.0)]) == set()
    low, high = (Score("factorization", "S to place, kNN", value) for value in (0.2, 0.9))
    assert S_PLACE.best([high, low]) == {1}


def test_a_model_is_judged_by_the_first_score_that_it_has() -> None:
    dense = Score("cost", "dense, numbers an image", 900.0)
    both = Score("cost", "S and L, numbers an image", 100.0)
    assert NUMBERS.of(ModelScores("a", "", "", 0, (dense, both))) is both
    assert NUMBERS.of(ModelScores("b", "", "", 0, (dense,))) is dense
    assert PSNR.of(ModelScores("c", "", "", 0, ())) is None


def test_numbers_have_the_digits_that_they_deserve() -> None:
    assert text(Score("linear probe", "top-1", 71.234, "%", spread=0.251)) == "71.2 ± 0.3 %"
    assert text(psnr(20.96)) == "21.0 dB"
    assert number(Score("cost", "S, numbers an image", 12288.0)) == "12,288"
    assert number(Score("factorization", "S to place, kNN", 0.256)) == "0.26"
    assert number(Score("localisation", "ARI", 0.2564)) == "0.256"


def test_names_of_the_headline_are_those_that_tests_yield(make_evaluation) -> None:
    """Of those that the fixture, made like the tests', has."""
    (model,) = make_evaluation("a").models
    found = {measure.label for measure in HEADLINE if measure.of(model)}
    assert found == {"Linear probe", "kNN on S", "kNN on cls", "S knows what", "S forgets where",
                     "L knows where", "PSNR", "Numbers an image"}  # fmt: skip
