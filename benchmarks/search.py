"""An index of many pictures: how long it takes to make, its memory, and how fast and how well it is
searched.

    python benchmarks/search.py
    python benchmarks/search.py --pictures 20000 --kinds

Tokens (16 of each picture, 192 wide) lie around 1,000 centres, each picture's mostly around those
of one of 500 themes; maps (14 x 14) are blobs. A query has tokens of a picture with noise added, as
another photograph of the same would. Building and searching are processes of their own, so that
memory is theirs. Recall is of the ten best, against looking at every token. `--kinds` trains
LanceDB's other approximate indices in place of ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import stellar
from stellar.embedding.embedder import schema_of
from stellar.embedding.parts import LAYOUT, PART_SIZE
from stellar.searching import EXACT_UP_TO, Index, Query
from stellar.searching.growing import TOKENS_A_CELL
from stellar.searching.places import PLACES
from stellar.searching.tables import WHOLE, connect, read_contents, write_contents
from stellar.searching.vectors import unit
from table import header, peak_memory, table

K, D, SIDE = 16, 192, 14
CENTRES, THEMES, OF_A_THEME = 1000, 500, 12
FROM_THEME, APART, NOISE = 0.7, 0.7, 0.4
"""The share of a picture's tokens that are of its theme; lengths of what is added to a centre, and
to a token for a query, where centres have length 1."""
METADATA = {
    "model_sha256": "0" * 64, "preprocessing": "none", "fit": "squash", "image_size": 224,
    "patch_size": 16, "shapes": {"cls": [D], "tokens": [K, D], "maps": [K, SIDE, SIDE]},
}  # fmt: skip
KINDS = ("IvfFlat", "IvfSq", "IvfPq", "IvfRq", "HnswSq")
REPEATS = 30
"""Queries of each form."""


def pictures(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens and maps, a part at a time."""
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(CENTRES, D)))
    themes = rng.integers(CENTRES, size=(THEMES, OF_A_THEME))
    grid = np.stack(np.meshgrid(*2 * [(np.arange(SIDE) + 0.5) / SIDE]), -1).astype(np.float32)
    for start in range(0, count, PART_SIZE):
        n = min(PART_SIZE, count - start)
        own = themes[rng.integers(THEMES, size=n)[:, None], rng.integers(OF_A_THEME, size=(n, K))]
        any_centre = rng.integers(CENTRES, size=(n, K))
        chosen = np.where(rng.random((n, K)) < FROM_THEME, own, any_centre)
        tokens = centres[chosen] + APART / D**0.5 * rng.normal(size=(n, K, D))
        middle = rng.random((n, K, 1, 1, 2), np.float32)
        share = np.exp(-((grid - middle) ** 2).sum(-1) / (2 * 0.1**2)) + 1e-6
        yield tokens, share / share.sum(axis=1, keepdims=True)


def write_embedding(file: Path, count: int) -> None:
    schema, done = schema_of(METADATA), 0
    with pq.ParquetWriter(file, schema, **LAYOUT) as writer:
        for tokens, maps in pictures(count):
            columns: list[pa.Array] = [
                pa.array([f"{number:07d}.jpg" for number in range(done, done + len(tokens))])
            ]
            for values in (tokens.mean(axis=1), tokens, maps):
                flat = pa.array(values.astype(np.float16).ravel())
                size = int(np.prod(values.shape[1:]))
                columns.append(pa.FixedSizeListArray.from_arrays(flat, size))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            done += len(tokens)


def build(embedding: Path, folder: Path, kind: str) -> dict[str, float]:
    """Seconds and bytes that an index takes."""
    start = perf_counter()
    stellar.build_index(embedding, folder, exact_up_to=EXACT_UP_TO if kind == "ours" else 10**9)
    if kind != "ours":
        _train(folder, kind)
    seconds = perf_counter() - start
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"seconds": seconds, "memory": peak_memory(torch.device("cpu")), "disk": disk}


def _train(folder: Path, kind: str) -> None:
    import lancedb.index

    contents = read_contents(folder / WHOLE)
    assert contents is not None
    cells = max(1, contents.num_pictures * K // TOKENS_A_CELL)
    tokens = connect(folder).open_table("tokens")
    config = getattr(lancedb.index, kind)(distance_type="cosine", num_partitions=cells)
    tokens.create_index("sparse", config=config)
    trained = replace(contents, tokens=tokens.version, trained_on=contents.num_pictures)
    write_contents(folder / WHOLE, trained)


def forms(index: Index, rng: np.random.Generator) -> dict[str, Query]:
    """A query of each form, by a random picture as another photograph would show it."""
    sparse = index.example(index.paths[rng.integers(len(index))]).sparse
    seen = unit(sparse + NOISE / D**0.5 * rng.normal(size=sparse.shape))
    other = index.example(index.paths[rng.integers(len(index))]).sparse[:1]
    nothing = np.zeros((0, D), np.float32)
    return {
        "a picture": Query(seen, nothing),
        "a token": Query(seen[:1], nothing),
        "a token at a place": Query(seen[:1], nothing, PLACES["upper-left"]),
        "two tokens, without a third": Query(seen[:2], other),
    }


def search(folder: Path) -> dict[str, Any]:
    """Times of an open index, its memory, and how it agrees with looking at every token."""
    start = perf_counter()
    index = stellar.open_index(folder)
    index.search("0000000.jpg", token=[0])
    first = perf_counter() - start
    rng = np.random.default_rng(1)
    asked = [forms(index, rng) for _ in range(REPEATS)]
    found = {form: _timed(index, [each[form] for each in asked]) for form in asked[0]}
    memory = peak_memory(torch.device("cpu"))
    result: dict[str, Any] = {"first": first, "memory": memory, "forms": {}}
    for form, (times, paths) in found.items():
        exact_times, exact_paths = _timed(index, [each[form] for each in asked], exact=True)
        same = [len(set(a) & set(b)) / len(b) for a, b in zip(paths, exact_paths, strict=True)]
        result["forms"][form] = {
            "p50": float(np.median(times)),
            "p95": float(np.quantile(times, 0.95)),
            "exact": float(np.median(exact_times)),
            "recall": float(np.mean(same)),
        }
    return result


def _timed(
    index: Index, queries: Sequence[Query], exact: bool = False
) -> tuple[list[float], list[list[str]]]:
    """Seconds and paths of each; the first is asked once before."""
    index.find(queries[0], exact=exact)
    times, paths = [], []
    for query in queries:
        start = perf_counter()
        hits = index.find(query, exact=exact)
        times.append(perf_counter() - start)
        paths.append([hit.path for hit in hits])
    return times, paths


def measured(count: int, kind: str, folder: Path) -> tuple[list[str], list[list[str]]]:
    """A line about the index, and lines about the forms of queries."""
    embedding, out = folder / f"{count}.parquet", folder / f"{count}-{kind}.index"
    if not embedding.exists():
        write_embedding(embedding, count)
    made = _in_a_process("build", str(embedding), str(out), kind)
    found = _in_a_process("search", str(out))
    name = f"{count:,}" if kind == "ours" else f"{count:,}, {kind}"
    index = [
        name, f"{made['seconds']:.0f} s", _mb(made["memory"]), _mb(made["disk"]),
        f"{found['first']:.2f} s", _mb(found["memory"]),
    ]  # fmt: skip
    lines = [
        [name, form, *(f"{1e3 * of[key]:.1f} ms" for key in ("p50", "p95", "exact")),
         f"{of['recall']:.3f}"]
        for form, of in found["forms"].items()
    ]  # fmt: skip
    return index, lines


def _in_a_process(*arguments: str) -> dict[str, Any]:
    call = [sys.executable, __file__, "--side", *arguments]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pictures", type=int, nargs="*", default=[1000, 20_000, 100_000])
    parser.add_argument("--kinds", action="store_true", help="LanceDB's other indices instead")
    parser.add_argument("--side", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side, *rest = options.side
        sides: dict[str, Callable[[], dict[str, Any]]] = {
            "build": lambda: build(Path(rest[0]), Path(rest[1]), rest[2]),
            "search": lambda: search(Path(rest[0])),
        }
        print(json.dumps(sides[side]()))
        return
    print(header("Search"))
    indices, lines = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.pictures:
            for kind in KINDS if options.kinds else ["ours"]:
                index, some = measured(count, kind, Path(folder))
                indices.append(index)
                lines += some
    about = ("pictures", "built in", "memory", "on the disk", "open and first", "memory, searching")
    print(table(about, indices) + "\n")
    print(table(("pictures", "query", "p50", "p95", "exact p50", "recall@10"), lines))


if __name__ == "__main__":
    main()
