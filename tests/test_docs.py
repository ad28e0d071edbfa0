"""What docs/models.md names is there."""

import re
from pathlib import Path

from stellar.cli import COMMANDS
from stellar.model.files.model_file import NAMES
from stellar.model.files.tokenizer import FILE, REPOSITORY

MODELS = (Path(__file__).parents[1] / "docs/models.md").read_text()


def test_names_of_models() -> None:
    assert set(re.findall(r"^\| `(stellar-\w+)`", MODELS, flags=re.M)) == set(NAMES)
    assert f"`{FILE}`" in MODELS
    assert f"`{REPOSITORY}`" in MODELS


def test_commands() -> None:
    verbs = re.findall(r"(?:^|`)stellar (\w+) ", MODELS, flags=re.M)
    assert len(verbs) >= 5
    assert set(verbs) <= COMMANDS.keys()
