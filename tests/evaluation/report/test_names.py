"""Short names of models."""

from stellar.evaluation.report.names import LONGEST, short_names, shortly_named


def test_short_names_are_short_and_different() -> None:
    assert short_names(["facebook/dinov2-base", "runs/photos/"]) == ["dinov2-base", "photos"]
    assert short_names(["a/model", "b/model"]) == ["a/model", "b/model"]
    alike = [f"{'x' * 30}-{number}-{'y' * 30}" for number in range(12)]
    short = short_names(alike)
    assert len(set(short)) == 12
    assert max(map(len, short)) <= LONGEST
    assert short_names(["/"]) == ["/"]


def test_models_bear_them_and_keep_their_numbers(make_evaluation) -> None:
    evaluation = make_evaluation("stellar-scenes", "runs/photos")
    short = shortly_named(evaluation)
    assert [model.name for model in short.models] == ["stellar-scenes", "photos"]
    assert short.models[1].scores == evaluation.models[1].scores
