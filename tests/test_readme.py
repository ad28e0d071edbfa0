"""Every command of the README is run by a test, or marked as not run here."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TESTS = "\n".join(
    path.read_text()
    for path in (ROOT / "tests").rglob("test_*.py")
    if path.name != "test_readme.py"
)


def commands() -> list[str]:
    """The lines of its shell blocks, comments cut off, except under a 'not run here'."""
    found = []
    for before, block in re.findall(r"([^\n]*\n\n)```sh\n(.*?)```", README, flags=re.DOTALL):
        if "not run here" not in before:
            found += [shlex.join(shlex.split(line, comments=True)) for line in block.splitlines()]
    return [command for command in found if command]


def test_every_command_is_tested() -> None:
    assert len(commands()) >= 6
    for command in commands():
        program, verb, *_ = command.split()
        if program == "make":
            target = re.search(rf"^{verb}: install\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)
            assert target, command
        else:
            assert program == "stellar"
            assert re.search(rf'(stellar\(|= \[)f?"{verb}\b', TESTS), command


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch) -> None:
    """The block as it stands, on a preset cut short."""
    from dataclasses import replace

    from PIL import Image

    import stellar

    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    short = stellar.PRESETS["demo"]()
    short = replace(short, training=replace(short.training, steps=1, batch_size=4, num_workers=0))
    monkeypatch.setitem(stellar.PRESETS, "demo", lambda: short)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (60, 50), "teal").save("photo.jpg")
    exec(block, {})
    assert (tmp_path / "runs/scenes/run.toml").exists()


def test_pictures_and_pages_that_it_names_are_there() -> None:
    for name in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / name.partition("#")[0]).exists(), name
