"""Imports point one way, and nothing in the core needs an optional library."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/stellar"

BASE = {
    "config",
    "config_toml",
    "errors",
    "images",
    "json_text",
    "precision",
    "presets",
    "processes",
    "quantities",
    "storage",
    "styles",
}
MAY_IMPORT = {
    "cost": BASE,
    "model": BASE,
    "objective": BASE | {"model"},
    "data": BASE,
    "pictures": BASE | {"model"},
    "evaluation": BASE | {"model", "data"},
    "training": BASE | {"model", "objective", "data", "pictures"},
    "load_model": BASE | {"model", "objective"},
    "embedding": BASE | {"model", "data"},
    "searching": BASE | {"model", "data", "embedding"},
    "aligning": BASE | {"model", "data", "searching"},
    "exploring": BASE | {"model", "data", "embedding", "evaluation", "pictures", "searching"},
    "exporting": BASE | {"model"},
    "reconstructing": BASE | {"model", "data", "pictures", "evaluation"},
    "study": BASE | {"model", "data", "evaluation", "training", "reconstructing", "load_model"},
    "demo": BASE
    | {"model", "data", "evaluation", "training", "reconstructing", "study", "load_model"},
}
WITHIN = {
    "data": {
        "short_names": set(),
        "indexfile": set(),
        "folderindex": {"indexfile"},
        "folder": {"folderindex", "indexfile"},
        "shards": {"folder", "indexfile", "short_names"},
        "labelled": {"folder", "folderindex", "indexfile"},
        "unreadable": {"folder"},
        "views": {"folder", "unreadable"},
        "scenes": {"folder", "labelled"},
        "sources": {"embedded", "folder", "folderindex", "shards"},
        "embedded": {"scenes"},
        "named_pictures": {"embedded", "folder", "sources", "short_names"},
        "evaluation_data": {"labelled", "embedded", "folder", "scenes"},
        "loader": {"folder", "views"},
        "picture_batches": {"folder", "loader"},
    },
    "evaluation": {
        "scores": set(),
        "metrics": set(),
        "features": set(),
        "probes": {"features", "metrics"},
        "subject": {"features"},
        "evaluators": {"scores", "subject", "features", "probes", "metrics"},
        "report": {"scores", "evaluators", "probes"},
        "evaluate": {"scores", "subject", "evaluators", "probes"},
        "glance": {"scores", "subject", "evaluators", "features", "probes"},
    },
    "model": {
        "factorization": set(),
        "fewer_tokens": set(),
        "factors": {"fewer_tokens"},
        "edits": {"factors"},
        "finite": set(),
        "history": set(),
        "positions": set(),
        "resizing": {"positions"},
        "transformer": {"positions"},
        "vqgan": set(),
        "decoder": {"transformer"},
        "encoder": {"positions", "transformer"},
        "slot_attention": {"factorization", "transformer"},
        "inputs": {"encoder"},
        "stellar": {
            "decoder",
            "encoder",
            "factorization",
            "factors",
            "history",
            "inputs",
            "slot_attention",
            "vqgan",
        },
        "files": {"decoder", "history", "stellar", "vqgan"},
        "backbones": {"encoder", "files", "positions", "stellar"},
    },
    "searching": {
        "places": set(),
        "tables": set(),
        "originals": {"tables"},
        "thumbnails": {"originals"},
        "vectors": set(),
        "asked": {"tables"},
        "vector_files": {"tables"},
        "words": {"tables", "vector_files", "vectors"},
        "scoring": {"places", "words"},
        "candidates": {"places", "rows", "scoring"},
        "example": {"places", "tables", "thumbnails", "vectors"},
        "columns": {"originals", "places", "thumbnails"},
        "difference": {"tables"},
        "growing": {"columns", "difference", "originals", "tables", "thumbnails"},
        "building": {"difference", "growing", "originals", "tables", "words"},
        "runs": set(),
        "rows": {"runs", "tables", "vectors"},
        "hits": {"places", "rows", "scoring"},
        "looking": {"candidates", "rows", "scoring", "vectors"},
        "index": {
            "asked",
            "concepts",
            "example",
            "hits",
            "kept_concepts",
            "looking",
            "places",
            "rows",
            "scoring",
            "tables",
            "vectors",
            "words",
        },
        "clustering": set(),
        "concepts": {"clustering", "hits", "rows", "scoring", "vectors"},
        "concept_table": {"concepts"},
        "kept_concepts": {"asked", "concepts", "tables", "vector_files", "vectors"},
        "page": {"concepts", "example", "hits", "places"},
    },
    "aligning": {
        "towers": set(),
        "examples": {"towers"},
        "fitting": {"examples"},
        "align": {"examples", "fitting", "towers"},
    },
    "exploring": {
        "turns": set(),
        "bodies": {"turns"},
        "guard": set(),
        "names": set(),
        "gallery": {"names"},
        "own_index": set(),
        "steps": {"gallery"},
        "workbench": {"gallery", "steps"},
        "vectors": set(),
        "overview": {"vectors"},
        "finder": {"gallery", "overview", "own_index", "steps", "vectors", "workbench"},
        "payload": {"finder", "workbench"},
        "app": {"bodies", "finder", "gallery", "payload", "steps", "turns", "workbench"},
        "serving": {"finder"},
        "showcase": {"finder", "gallery", "serving", "workbench"},
        "page": set(),
    },
    "data/scenes": {
        "sketch": set(),
        "things": {"sketch"},
        "palette": {"sketch"},
        "sprites": {"sketch", "things"},
        "grounds": set(),
        "scenes": {"grounds", "palette", "sprites", "things"},
    },
    "model/files": {
        "strict_loading": set(),
        "known_models": set(),
        "layout": {"strict_loading"},
        "json_fields": {"strict_loading"},
        "biases": {"json_fields", "layout", "strict_loading"},
        "families": {"layout", "strict_loading"},
        "published_layout": {"families", "layout"},
        "prefixes": {"families", "strict_loading"},
        "tensors": {"strict_loading", "prefixes"},
        "config_json": {"strict_loading"},
        "manifest": {"config_json", "json_fields", "strict_loading"},
        "sizes_from_tensors": {
            "config_json",
            "families",
            "json_fields",
            "layout",
            "strict_loading",
            "manifest",
        },
        "hub": {"strict_loading"},
        "locating": {"config_json", "hub", "known_models", "strict_loading", "manifest"},
        "tokenizer": {"strict_loading", "locating", "tensors"},
        "opening": {
            "biases",
            "config_json",
            "families",
            "json_fields",
            "strict_loading",
            "layout",
            "locating",
            "manifest",
            "prefixes",
            "published_layout",
            "sizes_from_tensors",
            "tensors",
        },
        "fingerprint": set(),
        "saving": {"config_json", "locating", "prefixes"},
        "published_saving": {
            "config_json",
            "layout",
            "strict_loading",
            "manifest",
            "published_layout",
            "saving",
        },
        "card": set(),
        "pretrained": {"card", "config_json", "hub", "saving"},
    },
}
"""Who may import whom within a package."""
LAZILY = {("model", "stellar"): {"files"}}
"""Imported by methods, when they are called: those that the Hugging Face world expects of a model
(save_pretrained, from_pretrained, push_to_hub).
"""
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
    "lancedb",
    "starlette",
    "uvicorn",
    "anyio",
    "aiohttp",
}


def imports(path: Path, lazily: bool = True) -> set[str]:
    """Modules that a file imports, wherever in it, or (not `lazily`) when it is imported itself."""
    found, module = set(), ast.parse(path.read_text())
    for node in ast.walk(module) if lazily else module.body:
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
    allowed, home = WITHIN[package][part] | {part}, f"stellar.{package.replace('/', '.')}."
    for path in files_of(f"{package}/{part}"):
        for lazily, own in ((False, allowed), (True, allowed | LAZILY.get((package, part), set()))):
            for module in imports(path, lazily):
                if f"{module}.".startswith(home):
                    found = f"{module}.".removeprefix(home).split(".")[0]
                    assert found in own, f"{path.name} imports {module}"


def graph() -> dict[str, set[str]]:
    """Every module of stellar, with those of stellar that it names when it is imported."""
    modules = {
        ".".join(("stellar", *path.relative_to(SOURCE).with_suffix("").parts)): path
        for path in SOURCE.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    named = {}
    for module, path in modules.items():
        found = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {name if name in modules else node.module for name in names}
        named[module] = found & modules.keys()
    return named


def test_the_network_knows_nothing_of_processes() -> None:
    """Only what reads and writes its files, since weights may be split."""
    for path in files_of("model"):
        if "files" not in path.parts:
            assert not any(module.startswith("stellar.processes") for module in imports(path)), path


def test_no_modules_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter(graph()).static_order())


def test_files_are_located_and_read_without_the_model_that_they_hold() -> None:
    """Only what writes a model knows `Stellar`."""
    needed, reached, new = graph(), set[str](), {"stellar.model.files.opening"}
    while new:
        reached |= new
        new = set[str]().union(*(needed[name] for name in new)) - reached
    assert "stellar.model.files.locating" in reached
    assert not reached & {"stellar.model", "stellar.model.stellar", "stellar.model.encoder"}


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
import stellar.searching.page, stellar.exploring, stellar.aligning
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


def test_json_is_read_in_one_place() -> None:
    """There what is nested too deeply is told from what is ours."""
    for path in SOURCE.rglob("*.py"):
        if path.stem != "json_text":
            assert "json.load" not in path.read_text(), path


def test_public_names_are_there() -> None:
    import stellar

    assert set(stellar.__all__) <= set(dir(stellar))
    assert not {"Any", "TYPE_CHECKING", "import_module"} & set(dir(stellar))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stellar.nothing
