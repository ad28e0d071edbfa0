"""Help as a terminal shows it: a field's docstring is one paragraph, and sentences fit."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from stellar.cli import COMMANDS, main
from stellar.cli.options import docstrings, options_of
from stellar.cli.pretrain import Options, configure
from stellar.errors import UserError


@dataclass(frozen=True)
class Common:
    out: str = "sheet"
    """Where the sheet
    goes."""


@dataclass(frozen=True)
class Sheet(Common):
    pictures: int = 8
    """Pictures on it, of a folder,
    (evenly spread), or all
    `scenes`."""
    unsaid: int = 0


def help_of(call: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit):
        call()
    return capsys.readouterr().out.splitlines()


def test_a_docstring_is_one_paragraph() -> None:
    assert docstrings(Sheet) == {
        "out": "Where the sheet goes.",
        "pictures": "Pictures on it, of a folder, (evenly spread), or all `scenes`.",
    }


def test_help_has_no_line_breaks_of_the_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = help_of(lambda: options_of(Sheet, "sheet", ["--help"], "Draw."), capsys)
    assert any("of a folder, (evenly spread), or all `scenes`. (default: 8)" in x for x in shown)
    assert any("Where the sheet goes. (default: sheet)" in line for line in shown)
    assert shown[:2] == ["Draw.", ""]
    assert shown[2].startswith("usage: stellar sheet ")


def test_what_is_given_is_read_and_the_rest_is_as_in_the_default() -> None:
    assert options_of(Sheet, "sheet", ["--out", "page"], "Draw.") == Sheet(out="page")
    assert options_of(Sheet, "sheet", ["--out", "page"], "Draw.", Sheet(pictures=3)) == Sheet(
        out="page", pictures=3
    )


@dataclass(frozen=True)
class Counted:
    count: int | None = 8

    def __post_init__(self) -> None:
        if self.count == 0:
            raise UserError("count must be at least 1, got 0")


def test_what_a_form_refuses_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^count must be at least 1, got 0$"):
        options_of(Counted, "sheet", ["--count", "0"], "Draw.")
    assert capsys.readouterr().err == ""


def test_none_is_written_as_in_a_run_toml(capsys: pytest.CaptureFixture[str]) -> None:
    for none in ("none", "None"):
        assert options_of(Counted, "sheet", ["--count", none], "Draw.") == Counted(None)
    with pytest.raises(SystemExit):
        options_of(Counted, "sheet", ["--count", "nil"], "Draw.")
    assert "none|INT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        (["--training.epochs", "5"], None),
        (["--training.epochs=5"], None),
        (["--training.epochs", "5", "--training.steps", "3"], 3),
        ([], 500),
    ],
)
def test_epochs_take_the_place_of_a_presets_steps(given: list[str], steps: int | None) -> None:
    training = configure(Options(data="scenes", preset="demo"), given).training
    assert training.steps == steps
    assert not given or training.epochs == 5


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", COMMANDS)
def test_sentences_of_help_fit_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, columns: int
) -> None:
    """Indented lines are commands to copy, which nobody wants to be broken."""
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = help_of(lambda: main([command, "--help"]), capsys)
    sentences = [line for line in shown if not line.startswith(("  ", "usage: "))]
    assert [line for line in sentences if len(line) > columns] == []
    assert not any(above == below == "" for above, below in pairwise(shown))
