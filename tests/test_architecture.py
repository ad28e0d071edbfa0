"""Imports point one way, and nothing in the core needs an optional library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/stellar"

BASE = {
    "config",
    "configfile",
    "errors",
    "images",
    "precision",
    "presets",
    "processes",
    "storage",
}
MAY_IMPORT = {
    "cost": BASE,
    "model": BASE,
    "objective": BASE | {"model"},
    "data": BASE,
    "pictures": BASE | {"model"},
    "evaluation": BASE | {"model", "data"},
    "training": BASE | {"model", "objective", "data", "pictures"},
    "weights": BASE | {"model", "objective"},
    "embedding": BASE | {"model", "data"},
    "exporting": BASE | {"model"},
    "reconstructing": BASE | {"model", "data", "pictures", "evaluation"},
    "study": BASE | {"model", "data", "evaluation", "training", "reconstructing", "weights"},
    "demo": BASE
    | {"model", "data", "evaluation", "training", "reconstructing", "study", "weights"},
}
WITHIN = {
    "data": {
        "indexfile": set(),
        "folderindex": {"indexfile"},
        "folder": {"folderindex", "indexfile"},
        "shards": {"folder", "indexfile"},
        "labelled": {"folder", "folderindex"},
        "unreadable": {"folder"},
        "views": {"folder", "unreadable"},
        "cutouts": {"folder", "labelled"},
        "sources": {"folder", "folderindex", "shards"},
        "opening": {"labelled", "cutouts"},
        "loader": {"folder", "views"},
        "inference": {"folder", "loader"},
    },
    "evaluation": {
        "scores": set(),
        "metrics": set(),
        "features": set(),
        "probes": {"features", "metrics"},
        "subject": {"features"},
        "evaluators": {"scores", "subject", "features", "probes", "metrics", "report"},
        "report": {"scores"},
        "evaluate": {"scores", "subject", "evaluators", "probes"},
    },
}
"""Who may import whom within a package."""
OPTIONAL = {
    "torchvision",
    "timm",
    "lightly",
    "kornia",
    "skimage",
    "sklearn",
    "simplejpeg",
    "transformers",
    "torchmetrics",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "ray",
    "pandas",
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files_of(part: str) -> list[Path]:
    folder = SOURCE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{part}.py"]


@pytest.mark.parametrize("part", [*MAY_IMPORT, *sorted(BASE)])
def test_imports_point_one_way(part: str) -> None:
    allowed = MAY_IMPORT.get(part, BASE) | {part}
    for path in files_of(part):
        for module in imports(path):
            if module.startswith("stellar."):
                assert module.split(".")[1] in allowed, f"{path.name} imports {module}"


@pytest.mark.parametrize(
    ("package", "part"), [(package, part) for package in WITHIN for part in WITHIN[package]]
)
def test_imports_within_a_package_point_one_way(package: str, part: str) -> None:
    allowed, home = WITHIN[package][part] | {part}, f"stellar.{package}"
    for path in files_of(f"{package}/{part}"):
        for module in imports(path):
            if f"{module}.".startswith(f"{home}."):
                assert f"{module}.".split(".")[2] in allowed, f"{path.name} imports {module}"


def parts_of(folder: Path) -> set[str]:
    parts = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    return parts - {"__init__", "__main__", "__pycache__"}


def test_every_part_is_known_and_nothing_imports_the_command_line() -> None:
    assert parts_of(SOURCE) - {"cli", "shipped"} == MAY_IMPORT.keys() | BASE
    for package, parts in WITHIN.items():
        assert parts_of(SOURCE / package) == parts.keys()
    for path in SOURCE.rglob("*.py"):
        if "cli" not in path.parts and path.name != "__main__.py":
            assert not any(module.startswith("stellar.cli") for module in imports(path)), path


def test_the_core_needs_no_optional_library() -> None:
    """In a process where none of them can be imported, everything still loads."""
    script = f"""
import sys
for name in {sorted(OPTIONAL)}:
    sys.modules[name] = None
import stellar
for name in stellar.__all__:
    getattr(stellar, name)
import stellar.demo, stellar.evaluation.report.page, stellar.embedding.on_ray
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_say_something_and_functions_fit_a_screen() -> None:
    for path in SOURCE.rglob("*.py"):
        assert path.stem not in {"utils", "helpers", "common", "misc"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{path.name}: {node.name} has {length} lines"


def test_public_names_are_there() -> None:
    import stellar

    assert set(stellar.__all__) <= set(dir(stellar))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stellar.nothing
