"""What evaluators declare is what they yield, and what is shown: no more and no less."""

import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from rich.console import Console

from stellar.evaluation.evaluators import EVALUATORS, HEADLINE, Evaluator
from stellar.evaluation.evaluators.classification import KNN, SHOWN_K, linear
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import PSNR, likeness
from stellar.evaluation.evaluators.size_and_speed import NUMBERS, numbers
from stellar.evaluation.evaluators.what_where import S_FORGETS_WHERE, accuracy
from stellar.evaluation.report.page import render_page
from stellar.evaluation.report.page.figures import DRAWING, QUALITIES, SEMANTICS
from stellar.evaluation.report.report_json import to_json
from stellar.evaluation.report.terminal import print_evaluation
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity, Score

DECLARED = [quantity for evaluator in EVALUATORS for quantity in evaluator.quantities]


@pytest.fixture
def everything(make_evaluation) -> Evaluation:
    """Two models with a number of its own for each quantity that is declared."""
    evaluation, models = make_evaluation("a", "b"), []
    for first, model in zip((10_000, 20_000), evaluation.models, strict=True):
        scores = (Score(q, float(n), baseline=0.5) for n, q in enumerate(DECLARED, first))
        models.append(replace(model, scores=tuple(scores)))
    return replace(evaluation, models=tuple(models))


def printed(evaluation: Evaluation) -> str:
    stream = io.StringIO()
    print_evaluation(evaluation, Console(file=stream, width=200))
    return stream.getvalue()


def test_every_declared_number_reaches_the_table_the_page_and_the_file(
    everything: Evaluation,
) -> None:
    table, page = printed(everything), render_page(everything)
    written = json.loads(to_json(everything))["models"]
    for model, in_file in zip(everything.models, written, strict=True):
        for score, fields in zip(model.scores, in_file["scores"], strict=True):
            quantity = score.quantity
            of_another_k = quantity.test == KNN.name and quantity.k != SHOWN_K
            assert (score.number in table) != of_another_k, quantity
            assert f"<td>{score.number} " in page, quantity
            assert fields["value"] == score.value
            assert fields["baseline"] == 0.5
            assert all(fields[name] == getattr(quantity, name) for name in ("metric", "feature"))
    for measure in HEADLINE:
        assert f'<th scope="row">{measure.label}<small>' in page, measure
    for title in ("Semantics against reconstruction", "Quality against size", "What S and L know",
                  "What against where"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    assert page.count("--knows:") == 2 * sum(q.metric == "accuracy" for q in DECLARED)


def test_nothing_is_shown_that_is_not_declared(everything: Evaluation) -> None:
    """Not even where its name is that of a declared one."""
    for other in (Quantity("localisation", "ARI", "another"), Quantity("new", "new", "new")):
        model = replace(everything.models[0], scores=(Score(other, 54_321.0),))
        evaluation = replace(everything, models=(model,))
        assert "54,321" not in printed(evaluation)
        assert "54,321" not in render_page(evaluation)


def test_an_evaluator_that_yields_what_it_does_not_declare_is_at_fault(
    seeing, mosaics, subject_of
) -> None:
    made = Score(agreement_of("ARI"), 1.0)
    rogue = Evaluator("new", "", lambda _: iter([made]), (linear("top-1"),))
    with pytest.raises(AssertionError, match=r"new declares no .*ARI"):
        list(rogue.scores(subject_of(seeing, mosaics())))


def test_figures_and_headlines_are_of_declared_numbers_which_have_names_of_their_own() -> None:
    shown = {q for measure in (*HEADLINE, *SEMANTICS, *DRAWING) for q in measure.quantities}
    for part in (part for parts in QUALITIES.values() for part in parts):
        shown |= {part.quality, part.size}
    shown |= {q for evaluator in EVALUATORS for row in evaluator.table for q in row.quantities}
    assert shown <= set(DECLARED)
    assert len({(q.test, q.name) for q in DECLARED}) == len(DECLARED)
    fields = [replace(q, name="", unit="", digits="", baseline="") for q in DECLARED]
    assert len(set(fields)) == len(DECLARED), "identity lies in fields, not in names"
    for evaluator in EVALUATORS:
        assert {q.test for q in evaluator.quantities} == {evaluator.name}


def test_the_best_of_a_row() -> None:
    def psnr(value: float) -> Score:
        return Score(likeness("PSNR"), value)

    assert PSNR.best([psnr(20.0), None, psnr(21.0)]) == {2}
    assert PSNR.best([psnr(20.0), psnr(21.01), psnr(20.99)]) == {1, 2}, "they read the same"
    assert PSNR.best([psnr(20.0), None]) == set(), "nothing to compare with"
    assert PSNR.best([psnr(20.0), psnr(20.0)]) == set()
    low, high = (Score(accuracy("S", "place", "kNN"), value) for value in (0.2, 0.9))
    assert S_FORGETS_WHERE.best([high, low]) == {1}


def test_a_model_is_judged_by_the_first_score_that_it_has() -> None:
    dense, both = Score(numbers("dense"), 900.0), Score(numbers("S and L"), 100.0)
    assert NUMBERS.of(ModelScores("a", "", "", 0, (dense, both))) is both
    assert NUMBERS.of(ModelScores("b", "", "", 0, (dense,))) is dense
    assert PSNR.of(ModelScores("c", "", "", 0, ())) is None


def test_sections_of_the_table_come_in_the_order_of_the_evaluators(everything: Evaluation) -> None:
    table = printed(everything)
    places = [re.search(rf"^{e.name}\s*$", table, re.MULTILINE) for e in EVALUATORS]
    starts = [place.start() for place in places if place]
    assert len(starts) == len(EVALUATORS)
    assert all(before < after for before, after in pairwise(starts))


def test_numbers_have_the_digits_that_they_deserve() -> None:
    assert Score(linear("top-1"), 71.234, spread=0.251).text == "71.2 ± 0.3 %"
    assert Score(likeness("PSNR"), 20.96).text == "21.0 dB"
    assert Score(numbers("S"), 12288.0).number == "12,288"
    chance = Score(accuracy("S", "place", "kNN"), 0.256, baseline=0.253)
    assert (chance.number, chance.baseline_text) == ("0.26", "chance 0.25")
    assert Score(agreement_of("ARI"), 0.2564).number == "0.256"
