"""Folders written as shards: what webdataset reads in them, and the same bytes after any number of
interruptions.
"""

import fcntl
import json
import multiprocessing
import os
import random
import signal
import tarfile
from pathlib import Path

import pytest
from webdataset.compat import WebDataset

from stellar.config import ConfigError
from stellar.data.folder import DataError, ImageFolder
from stellar.data.shards import Shards
from stellar.data.shards.writing import LEFT_OUT, MANIFEST, ShardingError, key_of, write_shards

NAMES = [
    "a.jpg", "a.png", "a.JPG", "a.b.jpg", "a%2Eb.jpg", "a%png.png", "ü/日本.webp", "x.y/1.jpg",
    "cats/deep/1.jpg", "cats/2.jpeg", "long/" + "n" * 150 + ".jpg",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files whose contents are their names, some of a few hundred kB, one link to nothing."""
    rng = random.Random(0)
    for name in [*NAMES, *(f"noise/{number}.png" for number in range(12))]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() + (rng.randbytes(300_000) if "noise" in name else b""))
    (tmp_path / "photos" / "dead.jpg").symlink_to("nothing")
    return tmp_path / "photos"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# webdataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_every_file_as_it_is(folder: Path, tmp_path: Path) -> None:
    result = write_shards(folder, tmp_path / "out", shard_size=1)
    urls = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    assert len(urls) == result.num_shards == 4
    seen = {}
    for sample in WebDataset(urls, shardshuffle=False, empty_check=False):
        facts = json.loads(sample["json"])
        (extension,) = [name for name in sample if name[0] != "_" and name != "json"]
        path = Path(facts["path"])
        assert extension == path.suffix[1:].lower()
        assert facts["class"] == (path.parent.name if len(path.parts) > 1 else "")
        assert sample["__key__"] not in seen
        seen[sample["__key__"]] = facts["path"]
        assert sample[extension] == (folder / path).read_bytes()
    source = ImageFolder(folder)
    assert sorted(seen.values()) == sorted(
        {source.name(i) for i in range(len(source))} - {"dead.jpg"}
    )
    assert list(seen.values()) != sorted(seen.values()), "shuffled"
    assert len(Shards(tmp_path / "out")) == result.num_images == len(seen)
    assert (tmp_path / "out" / LEFT_OUT).read_text() == "dead.jpg\n"


def test_keys_are_safe_and_keep_paths_apart() -> None:
    assert key_of(b"a.b/c.jpg") == b"a.b/c"
    assert key_of("ü/x.y.JPEG".encode()) == "ü/x%2Ey".encode()
    paths = [b"a.b.jpg", b"a%2Eb.jpg", b"a%252Eb.jpg", b"a..jpg", b"a.b%.jpg"]
    assert len({key_of(path) for path in paths}) == len(paths)


def test_shards_are_about_as_large_as_asked(folder: Path, tmp_path: Path) -> None:
    write_shards(folder, tmp_path / "out", shard_size=1)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out").glob("*.tar"))]
    assert all(0.6e6 < size < 1.4e6 for size in sizes[:-1])
    with tarfile.open(tmp_path / "out/shard-000000.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}


def _write_until(folder: Path, out: Path, reads: int) -> None:
    """In a process of its own: killed when it reads so many files."""
    read = Path.read_bytes

    def counted(path: Path) -> bytes:
        nonlocal reads
        reads -= 1
        if reads < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(path)

    setattr(Path, "read_bytes", counted)  # noqa: B010
    write_shards(folder, out, shard_size=1)


def test_killed_at_any_file_it_goes_on_and_writes_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    write_shards(folder, tmp_path / "whole", shard_size=1)
    written, kills = {}, 0
    for reads in (0, 3, 9, 9, 100):
        process = multiprocessing.get_context("fork").Process(
            target=_write_until, args=(folder, tmp_path / "out", reads)
        )
        process.start()
        process.join(60)
        kills += process.exitcode == -signal.SIGKILL
        now = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("shard-*.tar")}
        assert written.items() <= now.items(), "a finished shard was written again"
        written = now
    assert kills == 4
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_another_seed_is_another_order_of_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        write_shards(folder, tmp_path / str(seed), seed=seed)
    first, second = (Shards(tmp_path / name) for name in "01")
    names = [[source.name(i) for i in range(len(source))] for source in (first, second)]
    assert names[0] != names[1]
    assert sorted(names[0]) == sorted(names[1])


def test_other_shards_are_not_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_shards(folder, out, shard_size=1)
    before = contents(out)
    for shard_size, seed in ((1, 1), (2, 0)):
        with pytest.raises(ShardingError, match="other pictures, or of another size or seed"):
            write_shards(folder, out, shard_size, seed)
    (folder / "new.jpg").write_bytes(b"new")
    with pytest.raises(ShardingError, match="other pictures"):
        write_shards(folder, out, shard_size=1)
    assert contents(out) == before
    (out / MANIFEST).unlink()
    with pytest.raises(ShardingError, match=r"holds something else, as left-out\.txt"):
        write_shards(folder, out)


def test_one_writer_at_a_time(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (tmp_path / "out/.lock").open("a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        process = multiprocessing.get_context("fork").Process(
            target=_refused, args=(folder, tmp_path / "out")
        )
        process.start()
        process.join(60)
    assert process.exitcode == 0


def _refused(folder: Path, out: Path) -> None:
    with pytest.raises(ShardingError, match="being written by another process"):
        write_shards(folder, out)


@pytest.mark.usefixtures("unchecked")
def test_wrong_calls_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        write_shards(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(
        ShardingError, match="at least 1 MB and at most 1,000,000, got --shard-size 0"
    ):
        write_shards(folder, tmp_path / "out", shard_size=0)
    with pytest.raises(ShardingError, match=r"at least 1 MB .*, got --shard-size '1'"):
        write_shards(folder, tmp_path / "out", shard_size="1")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"--seed must be a whole number .*, got 1\.5"):
        write_shards(folder, tmp_path / "out", seed=1.5)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "out").exists()
