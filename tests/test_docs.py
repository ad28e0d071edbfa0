"""What docs/models.md names is there, and docs/scale.md shows what its commands print."""

import re
from pathlib import Path

import pytest

from stellar.cli import COMMANDS, main
from stellar.model.files.locating import NAMES, TOKENIZER_FILE, TOKENIZER_REPOSITORY

DOCS = Path(__file__).parents[1] / "docs"
MODELS, SCALE = ((DOCS / name).read_text() for name in ("models.md", "scale.md"))


def test_names_of_models() -> None:
    assert set(re.findall(r"^\| `(stellar-\w+)`", MODELS, flags=re.M)) == set(NAMES)
    assert f"`{TOKENIZER_FILE}`" in MODELS
    assert f"`{TOKENIZER_REPOSITORY}`" in MODELS


def test_commands() -> None:
    verbs = re.findall(r"(?:^|`)stellar (\w+) ", MODELS, flags=re.M)
    assert len(verbs) >= 5
    assert set(verbs) <= COMMANDS.keys()


def test_costs_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"```sh\nstellar (cost .*)\n```\n\n((?:\|.*\n)+)", SCALE)
    assert len(shown) == 2
    for command, table in shown:
        assert main(command.split()) == 0
        assert capsys.readouterr().out == table
