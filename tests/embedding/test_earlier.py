"""An embedding that is brought up to date: what has not changed is not encoded again."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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


@OUTS
def test_a_broken_picture_that_was_touched_is_tried_again(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """Name, size and beginning are what they were; the time is another one, of any time."""
    out = tmp_path / name
    embed(model, photos, out, part_size=2)
    before = out.stat().st_ino
    os.utime(photos / "broken.jpg", ns=(0, 0))
    with encoded(model) as batches:
        result = embed(model, photos, out)
    assert (batches, result.num_kept, result.num_unreadable) == ([], 6, 1)
    assert out.stat().st_ino != before
    again = out.stat().st_ino
    embed(model, photos, out)
    assert out.stat().st_ino == again


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
    assert open_parts(out, source, embedder, 2, Ranks(1, 2)).missing() == []
    assert len(open_parts(out, source, embedder, 2).missing()) == 4
    assert len(open_parts(out, source, embedder, 2, Ranks(1, 2)).missing()) == 4


def test_other_pictures_do_not_replace_an_embedding(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """Nor do those of the same names in another folder."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    before = out.read_bytes()
    (tmp_path / "others").mkdir()
    paint(tmp_path / "others/0.png", 1)
    with pytest.raises(EmbeddingError, match=r"of other images, or all of them were changed; rem"):
        embed(model, tmp_path / "others", out)
    assert out.read_bytes() == before
    assert not out.with_name("out.parquet.parts").exists()


def test_the_same_pictures_with_other_times_are_encoded_anew(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """As `cp -r` leaves them."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    for picture in photos.rglob("*.*"):
        os.utime(picture, ns=(7, 7))
    with encoded(model) as batches:
        result = embed(model, photos, out)
    assert (sum(batches), result.num_kept, result.num_images) == (6, 0, 6)
    assert_as_if_at_once(model, photos, out)


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


def left_over(model: Stellar, photos: Path, out: Path) -> None:
    """Parts that nobody finishes: all are made, for what is there now."""
    embed(model, photos, out, part_size=2, ranks=Ranks(1, 2))
    assert out.with_name(f"{out.name}.parts").exists()


@OUTS
def test_parts_that_a_call_left_which_is_over_hold_nobody_up(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """They were for an embedding that is there no more."""
    out = tmp_path / name
    embed(model, photos, out)
    paint(photos / "8.png", 8)
    left_over(model, photos, out)
    aside = tmp_path / "aside"
    out.with_name(f"{name}.parts").rename(aside)
    embed(model, photos, out)
    aside.rename(out.with_name(f"{name}.parts"))
    assert embed(model, photos, out).num_kept == 7
    assert not out.with_name(f"{name}.parts").exists()
    left_over(model, photos, tmp_path / "other")
    (tmp_path / "other.parts").rename(out.with_name(f"{name}.parts"))
    change(photos)
    assert embed(model, photos, out).num_kept == 5
    assert_as_if_at_once(model, photos, out)


def test_pictures_that_change_again_are_followed(
    tmp_path: Path, model: Stellar, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Parts of a moment before cost time alone; several processes may not agree on the moment."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    paint(photos / "8.png", 8)
    left_over(model, photos, out)
    paint(photos / "9.png", 9)
    with pytest.raises(
        EmbeddingError, match=r"parquet\.parts holds parts of an embedding of other"
    ):
        embed(model, photos, out, ranks=Ranks(0, 2))
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 6
    assert sum(batches) == 2
    assert "the images changed again: what was made of" in caplog.text
    left = tmp_path / "first.parquet"
    open_parts(left, ImageFolder(photos), Embedder(model), 2)  # and stopped before the first part
    paint(photos / "91.png", 9)
    assert embed(model, photos, left).num_images == 9


@OUTS
def test_a_picture_that_changes_while_a_call_is_dead_is_made_again(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """Of the parts that were done, the one that it is in; also one that could not be read."""
    out = tmp_path / name
    left_over(model, photos, out)
    os.utime(photos / "4.png", ns=(0, 0))
    os.utime(photos / "broken.jpg", ns=(0, 0))
    with encoded(model) as batches:
        embed(model, photos, out)
    assert sum(batches) == 2  # 2.png is in a part with 4.png; broken.jpg is alone in its own
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 6
    assert batches == []


def test_a_picture_that_broke_is_gone(tmp_path: Path, model: Stellar, photos: Path) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    (photos / "4.png").write_bytes(b"nothing")
    result = embed(model, photos, out)
    assert (result.num_images, result.num_unreadable) == (5, 2)
    assert (result.num_kept, result.num_gone) == (5, 1)


def test_an_update_that_is_not_needed_any_more_is_forgotten(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    paint(photos / "8.png", 8)
    left_over(model, photos, out)
    (photos / "8.png").unlink()
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 6
    assert batches == []
    assert not out.with_name("out.parquet.parts").exists()


@OUTS
def test_two_calls_that_end_at_once_leave_the_embedding(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """Whichever looks at parts that the other has placed; also where both replace one."""
    out, source, embedder = tmp_path / name, ImageFolder(photos), Embedder(model)
    for is_first in (True, False):
        if not is_first:
            paint(photos / "8.png", 8)
            source = ImageFolder(photos)
        left_over(model, photos, out)
        one, other = (open_parts(out, source, embedder) for _ in range(2))
        assert finish(one).num_images == len(source) - 1
        with suppress(FileNotFoundError):  # its parts are gone; what is placed stays
            finish(other)
        assert len(read_embeddings(out).paths) == len(source) - 1


def test_parts_of_another_call_are_not_tidied_away(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """By one that has nothing to do, as it looked before the pictures changed."""
    out = tmp_path / "out.parquet"
    embed(model, photos, out)
    idle = open_parts(out, ImageFolder(photos), Embedder(model))
    paint(photos / "8.png", 8)
    left_over(model, photos, out)
    assert finish(idle).num_images == 6
    with encoded(model) as batches:
        assert embed(model, photos, out).num_images == 7
    assert batches == []


@OUTS
def test_killed_as_the_list_of_the_unreadable_is_written_it_goes_on(
    tmp_path: Path, model: Stellar, photos: Path, name: str
) -> None:
    """The list is made of what the embedding says itself."""
    out = tmp_path / name
    embed(model, photos, out)
    listed = out.with_name(f"{name}.unreadable.txt")
    for left in (None, "half of a li"):
        listed.unlink() if left is None else listed.write_text(left)
        assert embed(model, photos, out).num_unreadable == 1
        assert listed.read_text().startswith("broken.jpg\t")
    paint(photos / "8.png", 8)
    listed.unlink()
    assert embed(model, photos, out).num_kept == 6
    assert listed.read_text().startswith("broken.jpg\t")


def test_killed_between_two_folders_and_then_changed_it_goes_on(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out = tmp_path / "out"
    embed(model, photos, out)
    (out / "notes.txt").write_text("mine")
    paint(photos / "8.png", 8)
    left_over(model, photos, out)
    out.rename(tmp_path / "out.parts/replaced")
    paint(photos / "9.png", 9)
    with encoded(model) as batches:
        assert embed(model, photos, out).num_kept == 7
    assert batches == [1]
    assert (out / "notes.txt").read_text() == "mine"
    assert not out.with_name("out.parts").exists()


def test_a_rank_that_is_late_takes_no_rows_of_what_replaced_them(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    out, embedder = tmp_path / "out.parquet", Embedder(model)
    embed(model, photos, out)
    (photos / "0.png").unlink()
    source = ImageFolder(photos)
    late = open_parts(out, source, embedder, 3)
    parts = [late.look_at(number, source) for number in range(len(late))]
    embed(model, photos, out)
    for part in parts:
        late.write(part, [], [])  # is not needed any more
    assert late.earlier is not None
    with pytest.raises(EmbeddingError, match="was replaced while it was read; give the same"):
        late.earlier.take([0], ["0.png"])
    with pytest.raises(EmbeddingError, match="out of bounds"):
        late.earlier.take([5], ["b/5.png"])
    assert embed(model, photos, out).num_kept == 5


def test_names_that_are_printed_alike_are_encoded_each_time(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    """No row of one becomes that of the other."""
    out = tmp_path / "out.parquet"
    paint(photos / "\\xff.png", 20)
    Path(os.fsdecode(os.fsencode(photos) + b"/\xff.png")).write_bytes(
        (photos / "0.png").read_bytes()
    )
    embed(model, photos, out)
    for again in (False, True):
        if again:
            paint(photos / "8.png", 8)
        embed(model, photos, out)
        found = read_embeddings(out)
        same = [row for row, path in enumerate(found.paths) if path == "\\xff.png"]
        assert len(same) == 2
        likest = [
            float(np.abs(found.cls[row] - found.cls[found.paths.index("0.png")]).max())
            for row in same
        ]
        assert min(likest) < 0.01 < max(likest)


def test_a_link_to_a_folder_stays_one(tmp_path: Path, model: Stellar, photos: Path) -> None:
    real, out = tmp_path / "disk/real", tmp_path / "out"
    real.parent.mkdir()
    embed(model, photos, real)
    (real / "notes.txt").write_text("mine")
    out.symlink_to(real)
    paint(photos / "8.png", 8)
    assert embed(model, photos, out).num_kept == 6
    assert out.is_symlink()
    assert (real / "notes.txt").read_text() == "mine"
    assert len(read_embeddings(real).paths) == 7


def test_the_folder_that_one_is_in_is_not_replaced(
    tmp_path: Path, model: Stellar, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(model, photos, tmp_path / "out")
    paint(photos / "8.png", 8)
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(EmbeddingError, match="is the folder that this command runs in"):
        embed(model, photos, ".")
    assert len(read_embeddings(".").paths) == 6


def test_a_time_beyond_all_calendars_is_a_time(
    tmp_path: Path, model: Stellar, photos: Path
) -> None:
    try:
        os.utime(photos / "0.png", (10**10, 10**10))
    except OverflowError:
        pytest.skip("this disk knows no such time")
    embed(model, photos, tmp_path / "out.parquet")
    assert embed(model, photos, tmp_path / "out.parquet").num_kept == 6


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
