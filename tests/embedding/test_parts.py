"""Parts are the unit of work: whoever makes them, and whatever dies, the result is the same."""

import copy
import errno
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from stellar.config import ModelConfig
from stellar.data import ImageFolder
from stellar.embedding import (
    Embedder,
    EmbeddingError,
    describe_embeddings,
    embed,
    global_tokens,
    read_embeddings,
    row_groups,
)
from stellar.embedding.beginning import open_parts
from stellar.embedding.finishing import finish
from stellar.embedding.parts import Parts
from stellar.errors import UserError
from stellar.model import Stellar
from stellar.processes.launch import Ranks


def assert_same(ours: Path, theirs: Path) -> None:
    assert read_embeddings(ours).metadata == read_embeddings(theirs).metadata
    assert_same_numbers(ours, theirs)


def assert_same_numbers(ours: Path, theirs: Path) -> None:
    one, other = read_embeddings(ours), read_embeddings(theirs)
    assert one.paths == other.paths
    for name in ("cls", "tokens", "maps"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_a_folder_is_one_data_set(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "one.parquet", batch_size=2, part_size=2)
    result = embed(model, photos, tmp_path / "many", batch_size=2, part_size=2)
    assert (result.num_images, result.num_unreadable) == (6, 1)
    assert [path.name for path in sorted((tmp_path / "many").iterdir())] == [
        f"{start:012d}.parquet" for start in (0, 2, 4, 6)
    ]
    assert (tmp_path / "many.unreadable.txt").read_text().startswith("broken.jpg\t")
    assert_same(tmp_path / "many", tmp_path / "one.parquet")
    table = pyarrow.dataset.dataset(tmp_path / "many").to_table()
    assert table["path"].to_pylist() == read_embeddings(tmp_path / "one.parquet").paths
    assert {path.name for path in tmp_path.iterdir()} == {
        "photos", "one.parquet", "one.parquet.unreadable.txt", "many", "many.unreadable.txt",
    }  # fmt: skip


def test_pandas_reads_it(tmp_path: Path, model: Stellar, photos: Path) -> None:
    pandas = pytest.importorskip("pandas")
    embed(model, photos, tmp_path / "many", part_size=2)
    frame = pandas.read_parquet(tmp_path / "many")
    assert list(frame.path) == read_embeddings(tmp_path / "many").paths
    assert len(frame.tokens[0]) == 72


@pytest.mark.parametrize("world_size", [2, 3, 9])
def test_processes_at_once_make_what_one_makes(
    tmp_path: Path, model: Stellar, photos: Path, world_size: int
) -> None:
    """Also more of them than parts: those help, or come when all is done."""
    embed(model, photos, tmp_path / "one.parquet", batch_size=2, part_size=2)

    def process(rank: int) -> None:
        ranks = Ranks(rank, world_size)
        embed(
            model, photos, tmp_path / "many.parquet", batch_size=2, num_workers=0, part_size=2,
            ranks=ranks,
        )  # fmt: skip

    with ThreadPoolExecutor(world_size) as processes:
        list(processes.map(process, range(world_size)))
    assert_same(tmp_path / "many.parquet", tmp_path / "one.parquet")
    lines = (tmp_path / "many.parquet.unreadable.txt").read_text().splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["broken.jpg"]
    assert not (tmp_path / "many.parquet.parts").exists()


def test_a_process_takes_over_from_one_that_died(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Nothing that is done is done again, and the parts keep their size."""
    out, encoded = tmp_path / "out.parquet", []
    embedder, source = Embedder(model), ImageFolder(photos)
    parts = open_parts(out, source, embedder, 2)
    made_before = embedder(["4.png"], torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    parts.write(parts.look_at(1, source), [([2], made_before)], [("also before", "a reason")])

    def count(_encoder: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        encoded.append(len(inputs[0]))

    model.encoder.register_forward_pre_hook(count)
    embed(model, photos, out, part_size=5, ranks=Ranks(1, 2))
    assert sum(encoded) == 4  # two pictures of the part that was there are not
    assert not out.exists()
    result = embed(model, photos, out, part_size=5, ranks=Ranks(0, 2))
    assert sum(encoded) == 4
    assert result.num_images == 5
    assert pq.read_table(out)["tokens"][2] == made_before["tokens"][0]
    assert "also before\ta reason\n" in out.with_name("out.parquet.unreadable.txt").read_text()


def test_killed_while_parts_are_joined_it_goes_on_and_tidies_up(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out, embedder, source = tmp_path / "out.parquet", Embedder(model), ImageFolder(photos)
    parts = open_parts(out, source, embedder, part_size=len(source))
    images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    unread = [(source.name(number), "a reason") for number in range(1, len(source))]
    parts.write(parts.look_at(0, source), [([0], embedder(["0.png"], images))], unread)
    process = multiprocessing.get_context("fork").Process(target=_joined_and_killed, args=(parts,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert embed(model, photos, out).num_images == 1
    listed = out.with_name("out.parquet.unreadable.txt")
    assert set(tmp_path.iterdir()) == {photos, out, listed}


def _joined_and_killed(parts: Parts) -> None:
    """In a process of its own."""
    setattr(pq.ParquetWriter, "write_table", lambda *_: os.kill(os.getpid(), signal.SIGKILL))  # noqa: B010
    finish(parts)


def test_a_late_process_finds_nothing_to_do(
    tmp_path: Path, small: ModelConfig, model: Stellar, photos: Path
) -> None:
    for out in (tmp_path / "one.parquet", tmp_path / "many"):
        embed(model, photos, out)
        before = sorted(tmp_path.rglob("*"))
        embed(model, photos, out, ranks=Ranks(1, 2))
        assert embed(model, photos, out, ranks=Ranks(0, 2)).num_images == 6
        assert sorted(tmp_path.rglob("*")) == before
        with pytest.raises(EmbeddingError, match="is an embedding of another model; remove it"):
            embed(Stellar(small).eval(), photos, out, ranks=Ranks(1, 2))


@pytest.mark.parametrize("name", ["out.parquet", "out"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pa.concat_tables([table, table]), "has 12 rows for 7 images, of which"),
        (lambda table: table.slice(2), "has 4 rows for 7 images, of which 1 could"),
        (lambda table: table.drop_columns(["maps"]), "no part of this embedding, or is damaged"),
    ],
)
def test_a_result_that_was_changed_is_not_finished(
    tmp_path: Path,
    model: Stellar,
    photos: Path,
    name: str,
    change: Callable[[pa.Table], pa.Table],
    message: str,
) -> None:
    """Nor are other files that say of themselves that they hold the same."""
    out = tmp_path / name
    embed(model, photos, out)
    file = out if out.is_file() else out / "000000000000.parquet"
    said = pq.read_metadata(file).metadata  # which pyarrow does not give with the table
    table = change(pq.read_table(file))
    said = {name: said[name] for name in (b"stellar", b"unreadable")}
    pq.write_table(table.replace_schema_metadata(said), file)
    changed = file.read_bytes()
    with pytest.raises(EmbeddingError, match=rf"{message}.* choose another --out"):
        embed(model, photos, out)
    assert file.read_bytes() == changed


def test_a_folder_is_of_one_embedding(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "out")
    part = tmp_path / "out/000000000000.parquet"
    (tmp_path / "out/1.parquet").write_bytes(part.read_bytes())
    with pytest.raises(EmbeddingError, match="has 12 rows for 7 images"):
        embed(model, photos, tmp_path / "out")
    (tmp_path / "out/1.parquet").write_bytes(part.read_bytes()[:500])
    with pytest.raises(EmbeddingError, match=r"1\.parquet is no part of this embedding"):
        embed(model, photos, tmp_path / "out")
    (tmp_path / "out/1.parquet").unlink()
    assert embed(model, photos, tmp_path / "out").num_images == 6


def test_a_result_that_was_moved_lists_what_it_lacks_again(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    for before, after in (("before", "after"), ("before.parquet", "after.parquet")):
        embed(model, photos, tmp_path / before)
        (tmp_path / before).rename(tmp_path / after)
        result = embed(model, photos, tmp_path / after)
        assert (result.num_images, result.num_unreadable, result.num_kept) == (6, 1, 6)
        listed = (tmp_path / f"{after}.unreadable.txt").read_text()
        assert listed == (tmp_path / f"{before}.unreadable.txt").read_text()


@pytest.mark.parametrize("out", [".", "./", ".."])
def test_the_folder_where_one_is_may_be_an_embedding(
    tmp_path: Path, model: Stellar, photos: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files beside one are no part of it."""
    folder = tmp_path / "many"
    embed(model, photos, folder)
    (folder / "_here").mkdir()
    monkeypatch.chdir(folder / "_here" if out == ".." else folder)
    result = embed(model, photos, out)
    assert (result.file, result.num_images) == (folder, 6)
    for beside in ("notes.txt", "._hidden.parquet", "_also.parquet"):
        (folder / beside).touch()
    assert embed(model, photos, out).num_images == 6
    whole = read_embeddings(folder).paths
    assert whole == [path for group in row_groups(folder) for path in group.paths]
    paths, cls, _ = zip(*global_tokens(folder), strict=True)
    assert [path for some in paths for path in some] == whole
    assert (np.concatenate(cls) == read_embeddings(folder).cls).all()
    assert describe_embeddings(folder)[0] == len(whole) == 6
    (folder / "a.parquet").touch()
    with pytest.raises(EmbeddingError, match=r"a\.parquet is no part of this embedding"):
        embed(model, photos, out)


def test_a_slow_process_holds_nobody_up(tmp_path: Path, model: Stellar, photos: Path) -> None:
    """The others make its part and finish; what it brings then is not needed."""
    finished, slow = threading.Event(), copy.deepcopy(model)
    slow.encoder.register_forward_pre_hook(lambda *_: finished.wait(30) and None)

    def late() -> None:
        embed(slow, photos, tmp_path / "many", num_workers=0, part_size=2, ranks=Ranks(1, 2))

    with ThreadPoolExecutor(1) as other:
        second = other.submit(late)
        result = embed(model, photos, tmp_path / "many", part_size=2, ranks=Ranks(0, 2))
        finished.set()
        second.result()
    assert result.num_images == 6
    assert len(list((tmp_path / "many").iterdir())) == 4
    assert not (tmp_path / "many.parts").exists()


def test_the_turns_of_all_processes_are_all_parts(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Each begins with its share; helping starts at the end, away from where the owners are."""
    parts = open_parts(tmp_path / "out", ImageFolder(photos), Embedder(model), 1)
    assert list(parts.turns(Ranks(0, 1))) == list(range(7))
    first, second = (list(parts.turns(Ranks(rank, 2))) for rank in range(2))
    assert first[:4] == [0, 2, 4, 6]
    assert second[:3] == [1, 3, 5]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first[4] == 5


def test_a_part_says_what_it_lacks(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "many", part_size=7)
    (file,) = (tmp_path / "many").iterdir()
    metadata = pq.read_schema(file).metadata
    ((name, reason, stamp),) = json.loads(metadata[b"unreadable"])
    assert name == "broken.jpg"
    assert stamp[0] == len(b"nothing")
    assert "picture" in reason
    assert json.loads(metadata[b"stellar"])["images"] == 7


@pytest.mark.parametrize("name", ["out.parquet", "out"])
@pytest.mark.parametrize("column", [*range(4), "cut off", "empty"])
def test_a_part_that_the_disk_changed_is_made_again(
    tmp_path: Path, model: Stellar, photos: Path, column: int | str, name: str
) -> None:
    out = tmp_path / name
    embed(model, photos, out, part_size=2, ranks=Ranks(1, 2))
    part = tmp_path / f"{name}.parts/data/000000000000.parquet"
    whole = bytearray(part.read_bytes())
    if isinstance(column, int):
        chunk = pq.read_metadata(part).row_group(0).column(column)
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        whole[begin + chunk.total_compressed_size - 1] ^= 1
    part.write_bytes(whole if isinstance(column, int) else whole[: 500 * (column == "cut off")])
    with pytest.raises(EmbeddingError, match=r"was damaged on the disk .* makes it again"):
        embed(model, photos, out, part_size=2)
    embed(model, photos, out, part_size=2)
    embed(model, photos, tmp_path / "whole.parquet", part_size=2)
    assert_same(out, tmp_path / "whole.parquet")


@pytest.mark.parametrize(
    "content", ["", "[]", "\x00", "{}", '{"part_size": 0}', "[" * 100_000, None]
)
def test_parts_of_nobody_knows_what_are_refused(
    tmp_path: Path, model: Stellar, photos: Path, content: str | None
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out, part_size=2, ranks=Ranks(1, 2))
    manifest = tmp_path / "out.parquet.parts/manifest.json"
    manifest.unlink() if content is None else manifest.write_text(content)
    with pytest.raises(EmbeddingError, match=r"does not say what it holds parts of .* remove it"):
        embed(model, photos, out, part_size=2)


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_a_part_that_cannot_be_read_is_named(
    tmp_path: Path, model: Stellar, photos: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is not said that something cannot be written, and nothing is placed."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    source, embedder = ImageFolder(photos), Embedder(model)
    parts = open_parts(tmp_path / name, source, embedder, 2)
    rows = embedder(["0.png"], torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    parts.write(parts.look_at(0, source), [([0], rows)], [])
    monkeypatch.setattr(pq, "read_table", fails)
    with pytest.raises(EmbeddingError, match=r"0.parquet cannot be read \(Input/output error\)"):
        finish(parts)
    assert not (tmp_path / name).exists()


def test_a_file_of_somebody_else_is_no_part(tmp_path: Path, model: Stellar, photos: Path) -> None:
    embed(model, photos, tmp_path / "out", part_size=2, ranks=Ranks(1, 2))
    stranger = tmp_path / "out.parts/data/1x.parquet"
    stranger.write_text("mine")
    with pytest.raises(EmbeddingError, match=r"1x\.parquet is no part of this embedding; move it"):
        embed(model, photos, tmp_path / "out", part_size=2)
    stranger.unlink()
    assert embed(model, photos, tmp_path / "out", part_size=2).num_images == 6


def test_two_calls_at_once_both_succeed(tmp_path: Path, model: Stellar, photos: Path) -> None:
    for number in range(5):
        out = tmp_path / f"{number}.parquet"
        with ThreadPoolExecutor(2) as both:
            calls = [both.submit(embed, model, photos, out, num_workers=0) for _ in range(2)]
        assert [call.result().num_images for call in calls] == [6, 6]


def test_a_model_that_gives_nan_is_no_embedding(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    spoiled = copy.deepcopy(model)
    with torch.no_grad():
        spoiled.encoder.sparse_tokens.fill_(float("nan"))
    with pytest.raises(UserError, match=r"says of .*, its cls, is not finite"):
        embed(spoiled, photos, tmp_path / "out.parquet", num_workers=0)
    assert not [file.name for file in tmp_path.iterdir() if "out" in file.name]


def test_a_failed_call_keeps_the_parts_that_were_made(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    calls = 0

    def spoil(_: nn.Module, given: tuple) -> tuple:
        nonlocal calls
        calls += 1
        return given if calls == 1 else (given[0] * float("nan"), *given[1:])

    spoiled = copy.deepcopy(model)
    spoiled.encoder.register_forward_pre_hook(spoil)
    with pytest.raises(UserError, match="is not finite"):
        embed(spoiled, photos, tmp_path / "out", batch_size=2, part_size=2)
    assert (tmp_path / "out.parts/data/000000000000.parquet").exists()


def test_an_embedding_that_the_disk_changed_is_not_read(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Or is read as it was: not every byte is a number."""
    file, changed = tmp_path / "whole.parquet", tmp_path / "changed.parquet"
    embed(model, photos, file)
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 101):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        changed.write_bytes(damaged)
        try:
            read_embeddings(changed)
        except EmbeddingError:
            refused += 1
        else:
            assert_same_numbers(changed, file)
    assert refused > 10


def test_a_full_disk_is_a_sentence(tmp_path: Path, model: Stellar, photos: Path) -> None:
    source = ImageFolder(photos)
    parts = open_parts(tmp_path / "out", source, Embedder(model), 2)
    (tmp_path / "out.parts/data").write_text("in the way")
    with pytest.raises(EmbeddingError, match=r"cannot be written .* the same command goes on"):
        parts.write(parts.look_at(0, source), [], [])
