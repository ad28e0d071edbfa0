"""An embedding that is brought up to date: what has not changed is not encoded again."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from stellar.cli import main
from stellar.data import ImageFolder, Shards
from stellar.data.folder import Stamp
from stellar.data.shards.writing import write_shards
from stellar.embedding import Embedder, EmbeddingError, embed, read_embeddings
from stellar.embedding.beginning import open_parts
from stellar.embedding.finishing import finish
from stellar.embedding.parts import Parts
from stellar.model import Stellar
from stellar.processes.launch import Ranks

OUTS = pytest.mark.parametrize("name", ["out.parquet", "out"])


@contextmanager
def encoded(model: Stellar) -> Iterator[list[int]]:
    """How many pictures the model encodes, batch by batch."""
    batches: list[int] = []

    def count(_encoder: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        batches.append(len(inputs[0]))

    handle = model.encoder.register_forward_pre_hook(count)
    yield batches
    handle.remove()


def paint(file: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def change(photos: Path) -> None:
    """Two new ones, first and last; one that was changed, one gone, and the broken one mended."""
    paint(photos / "00.png", 10)
    paint(photos / "b/9.png", 11)
    paint(photos / "2.png", 12)
    (photos / "b/3.png").unlink()
    paint(photos / "whole.png", 13)
    (photos / "whole.png").replace(photos / "broken.jpg")


def assert_as_if_at_once(model: Stellar, photos: Path, out: Path) -> None:
    """Batches of other pictures round their sums in another order."""
    fresh = out.with_name("fresh.parquet")
    embed(model, photos, fresh)
    ours, theirs = read_embeddings(out), read_embeddings(fresh)
    assert ours.paths == theirs.paths
    assert ours.metadata == theirs.metadata
    for name in ("cls", "tokens", "maps"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=0.01)
    stamps = ["size", "modified"]
    assert pq.read_table(out, columns=stamps).equals(pq.read_table(fresh, columns=stamps))


@OUTS
def test_what_is_new_or_changed_is_encoded_and_what_is_gone_goes(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    out = tmp_path / name
    embed(model, photos, out, part_size=2)
    change(photos)
    with encoded(model) as batches:
        result = embed(model, photos, out, part_size=3)
    assert sum(batches) == 4
    assert (result.num_images, result.num_unreadable) == (8, 0)
    assert (result.num_kept, result.num_gone) == (4, 1)
    assert_as_if_at_once(model, photos, out)
    assert {path.name for path in tmp_path.iterdir()} == {"photos", name, "fresh.parquet"}


@OUTS
def test_where_nothing_changed_nothing_is_done(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    out = tmp_path / name
    embed(model, photos, out)
    before = out.stat()
    with encoded(model) as batches:
        result = embed(model, photos, out)
    assert (batches, result.num_kept, result.num_gone) == ([], 6, 0)
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_picture_that_was_touched_is_looked_at_again(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Its name, size and beginning are what they were."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    os.utime(photos / "b/3.png", ns=(0, 0))
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 5
    assert batches == [1]
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 6
    assert batches == []


def test_a_broken_picture_that_was_touched_is_tried_again(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    later = out.stat().st_mtime_ns + 10**9
    os.utime(photos / "broken.jpg", ns=(later, later))
    paint(photos / "broken.png", 5)
    content = (photos / "broken.png").read_bytes()
    (photos / "broken.png").unlink()
    (photos / "broken.jpg").write_bytes(content)
    os.utime(photos / "broken.jpg", ns=(later, later))
    result = embed(model, photos, out)
    assert (result.num_kept, result.num_unreadable) == (6, 0)
    assert not out.with_name("out.parquet.unreadable.txt").exists()


@OUTS
def test_the_old_one_is_whole_until_the_new_one_is(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """A process that was killed between two parts loses none of them."""
    out = tmp_path / name
    embed(model, photos, out)
    old = read_embeddings(out).paths
    change(photos)
    embed(model, photos, out, part_size=2, ranks=Ranks(1, 2))  # all parts, and not the end of it
    (out.with_name(f"{name}.parts") / "data/000000000002.parquet").unlink()
    assert read_embeddings(out).paths == old
    with encoded(model) as batches:
        result = embed(model, photos, out)
    assert sum(batches) == 1  # of the two of that part, the one that had changed
    assert (result.num_kept, result.num_gone) == (4, 1)
    assert_as_if_at_once(model, photos, out)


def test_killed_between_the_old_and_the_new_folder_it_goes_on(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out"
    embed(model, photos, out)
    (out / "notes.txt").write_text("mine")
    change(photos)
    embed(model, photos, out, ranks=Ranks(1, 2))
    source = ImageFolder(photos)
    parts = open_parts(out, source, Embedder(model))
    process = multiprocessing.get_context("fork").Process(
        target=_replaced_and_killed, args=(parts,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    with encoded(model) as batches:
        assert embed(model, photos, out).num_images == len(source)
    assert batches == []
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    assert_as_if_at_once(model, photos, out)
    assert not out.with_name("out.parts").exists()


def _replaced_and_killed(parts: Parts) -> None:
    """In a process of its own: the second folder that moves is the result."""
    replace, moved = Path.replace, []

    def dying(path: Path, target: Path) -> Path:
        if path == parts.data:
            os.kill(os.getpid(), signal.SIGKILL)
        moved.append(path)
        return replace(path, target)

    setattr(Path, "replace", dying)  # noqa: B010
    finish(parts)


def test_processes_bring_it_up_to_date_together(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Also those that come when it is done."""
    out = tmp_path / "out"
    embed(model, photos, out, part_size=2)
    change(photos)

    def process(rank: int) -> None:
        embed(model, photos, out, num_workers=0, part_size=1, ranks=Ranks(rank, 3))

    with ThreadPoolExecutor(3) as processes:
        list(processes.map(process, range(3)))
    assert_as_if_at_once(model, photos, out)
    with encoded(model) as batches:
        process(2)
    assert batches == []


def test_only_one_process_asks_all_files_and_the_others_join_it(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    os.utime(photos / "0.png", ns=(0, 0))
    source, embedder = ImageFolder(photos), Embedder(model)
    assert open_parts(out, source, embedder, 2, thorough=False).missing() == []
    assert len(open_parts(out, source, embedder, 2).missing()) == 4
    assert len(open_parts(out, source, embedder, 2, thorough=False).missing()) == 4


def test_other_pictures_do_not_replace_an_embedding(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Nor do those of the same names in another folder."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    before = out.read_bytes()
    for number, place in enumerate(("0.png", "b/1.png")):
        paint(tmp_path / place.replace("b/", "other-"), number)
    (tmp_path / "others").mkdir()
    paint(tmp_path / "others/0.png", 1)
    with pytest.raises(EmbeddingError, match=r"of other images, or all of them were changed; rem"):
        embed(model, tmp_path / "others", out)
    assert out.read_bytes() == before
    assert not out.with_name("out.parquet.parts").exists()


def test_a_damaged_embedding_is_not_brought_up_to_date(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    damaged = bytearray(out.read_bytes())
    chunk = pq.read_metadata(out).row_group(0).column(2)
    damaged[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    out.write_bytes(damaged)
    paint(photos / "9.png", 9)
    with pytest.raises(EmbeddingError, match=r"out\.parquet is not an embedding .* is damaged"):
        embed(model, photos, out)
    assert out.read_bytes() == damaged
    assert not out.with_name("out.parquet.parts").exists()


def test_an_embedding_without_stamps_is_of_another_version(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    pq.write_table(pq.read_table(out).drop_columns(["size", "modified"]), out)
    with pytest.raises(EmbeddingError, match="is an embedding by another version of stellar; rem"):
        embed(model, photos, out)
    assert len(read_embeddings(out).paths) == 6


def test_parts_that_were_begun_before_another_change_are_named(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    shutil.copy(out, tmp_path / "copy.parquet")
    change(photos)
    embed(model, photos, out, part_size=2, ranks=Ranks(1, 2))
    (tmp_path / "copy.parquet").replace(out)
    with pytest.raises(
        EmbeddingError, match=r"out\.parquet\.parts holds parts that were begun bef"
    ):
        embed(model, photos, out)


def test_a_shard_more_costs_that_shard(tmp_path: Path, model: Stellar, photos: Path) -> None:
    shards, out = tmp_path / "shards", tmp_path / "out.parquet"
    write_shards(photos, shards)
    embed(model, shards, out)
    paint(photos / "9.png", 9)
    write_shards(photos, tmp_path / "more")
    shutil.move(tmp_path / "more/shard-000000.tar", shards / "shard-000001.tar")
    with encoded(model) as batches:
        result = embed(model, shards, out)
    assert result.num_kept == 6
    assert sum(batches) == 7
    assert read_embeddings(out).paths == [
        path for path in map(Shards(shards).name, range(15)) if "broken" not in path
    ]


def test_the_command_says_what_became_of_it(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.parquet")
    call = ["embed", "stellar-scenes", str(photos), "--out", out, "--num-workers", "0"]
    assert main(call) == 0
    assert capsys.readouterr().out.startswith(f"6 images -> {out}\n")
    assert main(call) == 0
    assert capsys.readouterr().out.startswith(f"6 images -> {out}, as it was\n")
    change(photos)
    assert main(call) == 0
    told = "(4 new or changed, 4 as they were, 1 of before gone)"
    assert capsys.readouterr().out == f"8 images -> {out} {told}\n"


def test_a_file_says_its_size_and_time(photos: Path) -> None:
    source = ImageFolder(photos)
    os.utime(photos / "0.png", ns=(5, 5))
    assert source.stamp(0) == Stamp((photos / "0.png").stat().st_size, 5)
    (photos / "0.png").unlink()
    assert source.stamp(0) is None
