"""The table in the terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from stellar.evaluation.report.terminal import print_evaluation
from stellar.evaluation.scores import Evaluation


def printed(evaluation: Evaluation, width: int = 120) -> str:
    stream = io.StringIO()
    print_evaluation(evaluation, Console(file=stream, width=width))
    return stream.getvalue()


def test_numbers_are_those_of_the_evaluation_and_long_lists_are_short(make_evaluation) -> None:
    evaluation = make_evaluation("untrained", "trained")
    shown = printed(evaluation)
    for model in evaluation.models:
        for score in model.scores:
            assert (score.without_unit in shown) == (score.quantity.k != 10), score
    assert "  encoding, images/s  " in shown
    (row,) = (line for line in shown.splitlines() if "S to class" in line)
    assert "0.05 / 0.08" in row
    assert "0.07 / 0.10" in row
    assert len(shown.splitlines()) < 40


def test_names_are_not_taken_for_markup_and_long_ones_fit_a_narrow_terminal(
    make_evaluation,
) -> None:
    assert "run [red]x" in printed(make_evaluation("run [red]x", "b", "c"))
    shown = printed(make_evaluation("x" * 60, "b", "c"), width=80)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert f"{'x' * 12}…{'x' * 11}" in shown
    assert all(printed(make_evaluation("a", "b"), width) for width in range(1, 9))


def test_a_note_names_the_models_that_it_is_about_unless_it_is_about_all(make_evaluation) -> None:
    evaluation = make_evaluation("a", "b", "c")
    *same, other = evaluation.models
    undrawn = (*other.notes, "this model cannot draw")
    models = (replace(same[0], notes=undrawn), same[1], replace(other, notes=undrawn))
    lines = printed(replace(evaluation, models=models)).splitlines()
    assert "note     LPIPS needs its weights" in lines
    assert "note     a, c: this model cannot draw" in lines
    (alone,) = (line for line in printed(make_evaluation("a")).splitlines() if "note" in line)
    assert alone == "note     LPIPS needs its weights"


def test_what_a_model_lacks_is_a_dash(make_evaluation) -> None:
    with_all, without = make_evaluation("a").models[0], make_evaluation("b", parts=()).models[0]
    evaluation = make_evaluation("a")
    evaluation = Evaluation(**{**vars(evaluation), "models": (with_all, without)})
    (row,) = (line for line in printed(evaluation).splitlines() if "PSNR" in line)
    assert row.split().count("-") == 1


def test_four_models_fit_eighty_columns_with_every_number_in_one_piece(make_evaluation) -> None:
    evaluation = make_evaluation("stellar", "dino", "mae", "dense")
    lines = printed(evaluation, width=80).splitlines()
    assert max(len(line) for line in lines) <= 80
    for model in evaluation.models:
        for score in model.scores:
            assert score.quantity.k == 10 or any(score.without_unit in line for line in lines)
    assert lines[1].split() == ["stellar", "dino", "mae", "dense"]


@pytest.mark.parametrize(("width", "models_at_once"), [(40, 1), (80, 3), (200, 5)])
def test_models_that_do_not_fit_go_into_tables_below_with_every_number_in_one_piece(
    make_evaluation, width: int, models_at_once: int
) -> None:
    names = ("stellar", "slots", "dino", "mae", "dense")
    evaluation = make_evaluation(*names)
    models = tuple(
        replace(model, scores=tuple(replace(score, spread=0.011) for score in model.scores))
        for model in evaluation.models
    )
    lines = printed(replace(evaluation, models=models), width).splitlines()
    assert max(map(len, lines)) <= width
    heads = [line.split() for line in lines if set(line.split()) & {*names}]
    assert [name for head in heads for name in head] == [*names]
    assert len(heads[0]) == models_at_once
    for model in models:
        for score in model.scores:
            assert score.quantity.k == 10 or any(score.without_unit in line for line in lines)


def test_a_test_is_named_once_above_its_rows(make_evaluation) -> None:
    lines = [line.rstrip() for line in printed(make_evaluation("a")).splitlines()]
    assert lines.count("factorization") == 1
    assert lines[lines.index("factorization") + 1].startswith("  S to")
