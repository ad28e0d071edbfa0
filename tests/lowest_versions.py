"""Prints the lowest versions that pyproject.toml promises, as constraints for pip: `make
test-lowest` runs the tests with them.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest() -> Iterator[str]:
    """NAME==VERSION of every requirement NAME>=VERSION, with and without extras."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        if found := re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", requirement):
            yield f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    print("\n".join(lowest()))
