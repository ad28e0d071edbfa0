"""Numbers as a file, and back; another file is refused."""

import json
from pathlib import Path

import pytest

from stellar.errors import UserError
from stellar.evaluation.report.report_json import read_evaluation, to_json


def test_what_was_written_is_read(tmp_path: Path, make_evaluation) -> None:
    evaluation = make_evaluation("untrained", "trained")
    (tmp_path / "evaluation.json").write_text(to_json(evaluation))
    assert read_evaluation(tmp_path / "evaluation.json") == evaluation


@pytest.mark.parametrize("added", [True, False])
@pytest.mark.parametrize("part", ["evaluation", "model", "score"])
def test_a_key_too_many_or_too_few_is_a_sentence(
    tmp_path: Path, make_evaluation, part: str, added: bool
) -> None:
    content = json.loads(to_json(make_evaluation("trained")))
    model = content["models"][0]
    fields = {"evaluation": content, "model": model, "score": model["scores"][0]}[part]
    if added:
        fields["new"] = 1
    else:
        del fields[next(iter(fields))]
    assert_refused(tmp_path / "evaluation.json", json.dumps(content))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"models": 3}', '{"models": [', "3", "\udc80", "[" * 100_000]
)
def test_damage_is_a_sentence(tmp_path: Path, text: str) -> None:
    assert_refused(tmp_path / "evaluation.json", text)


def assert_refused(file: Path, text: str) -> None:
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(UserError, match=r"evaluation.json is damaged, or .* delete it"):
        read_evaluation(file)


def test_a_number_that_no_evaluator_declares_is_a_sentence(tmp_path: Path, make_evaluation) -> None:
    content = json.loads(to_json(make_evaluation("trained")))
    content["models"][0]["scores"][0]["metric"] = "another"
    assert_refused(tmp_path / "evaluation.json", json.dumps(content))


def test_a_file_from_before_scores_had_fields_is_a_sentence(
    tmp_path: Path, make_evaluation
) -> None:
    content = json.loads(to_json(make_evaluation("trained")))
    old = ("test", "name", "value", "unit", "detail", "spread")
    for score in content["models"][0]["scores"]:
        chance = score["baseline"]
        kept = {key: score[key] for key in old}
        score.clear()
        score.update(kept, chance=chance)
    assert_refused(tmp_path / "evaluation.json", json.dumps(content))
