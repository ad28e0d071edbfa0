"""What docs/models.md names is there, docs/scale.md shows what its commands print, and what is said
about contributing, changes and citing agrees with the repository.
"""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import stellar
from stellar.cli import COMMANDS, main
from stellar.model.files.known_models import NAMES, TOKENIZER_FILE, TOKENIZER_REPOSITORY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MODELS, SCALE = ((DOCS / name).read_text() for name in ("models.md", "scale.md"))
CONTRIBUTING, CHANGELOG = (
    (ROOT / f"{name}.md").read_text() for name in ("CONTRIBUTING", "CHANGELOG")
)
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


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


def test_what_contributing_says_to_open_is_there() -> None:
    rows = [line.split("|")[2] for line in CONTRIBUTING.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`([^`]+)`", row) + re.findall(r"\]\(([^)]+)\)", row)
        assert named, row
        for name in named:
            assert (ROOT / name).exists(), name
            assert (ROOT / name).is_dir() == name.endswith("/"), name


def test_what_contributing_says_to_run_is_there() -> None:
    targets = set(re.findall(r"make ([a-z-]+)", CONTRIBUTING))
    assert targets >= {"install", "check", "test", "wheel", "bench", "gpu-day"}
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for name in re.findall(r"`((?:tests|benchmarks|docs|src)/[^`]+)`", CONTRIBUTING):
        assert (ROOT / name).exists(), name


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == CITATION["version"] == stellar.__version__
    assert project["license"] == CITATION["license"]
    newest = re.findall(r"^## (.*)$", CHANGELOG, flags=re.M)[0]
    assert newest == "Unreleased" or newest.startswith(f"{stellar.__version__} - ")


def test_changelog() -> None:
    kinds = set(re.findall(r"^### (.*)$", CHANGELOG, flags=re.M))
    assert "Added" in kinds
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"`stellar (\w+)`", CHANGELOG)) == COMMANDS.keys()


def test_citation() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= CITATION.keys()
    (paper,) = CITATION["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["url"] in (ROOT / "README.md").read_text()


def test_faults_are_injected_by_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (DOCS / "reliability.md").read_text())
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file(), (
            test
        )
