"""Shards as a source of images: the samples that webdataset finds, read in any order, with an index
that is never wrong and few open files; and what is said about shards that cannot be read.
"""

import io
import multiprocessing
import os
import pickle
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from threading import Thread
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from webdataset.compat import WebDataset
from webdataset.shardlists import expand_urls

from stellar.config import ViewConfig
from stellar.data.folder import DataError, ImageSource
from stellar.data.indexfile import write_index
from stellar.data.loader import view_batches
from stellar.data.shards import ShardError, Shards, failures, ranges
from stellar.data.shards.index import index_pictures
from stellar.data.shards.source import expand_braces, numbered, short_names
from stellar.data.views import MultiView
from stellar.errors import MissingPackage
from stellar.images import UnreadableImage

WriteTar = Callable[..., Path]
VIEWS = ViewConfig(num_masked=1, num_local=1, local_size=12, masking_ratio=0.5)


@pytest.fixture
def folder(tmp_path: Path, write_tar: WriteTar) -> Path:
    """Three shards of ten pictures, whose greys are their numbers, with other members between."""
    for shard in range(3):
        members: dict[str, bytes | int] = {}
        for number in range(10 * shard, 10 * shard + 10):
            members[f"class/{number:03}.png"] = number
            members[f"class/{number:03}.cls"] = b"7"
            members[f"class/{number:03}.mask.png"] = 255
        write_tar(tmp_path / "data" / f"part-{shard}.tar", members)
    return tmp_path / "data"


def greys(source: ImageSource) -> list[int]:
    return [int(source.read(index).unique()) for index in range(len(source))]


def open_descriptors(folder: Path) -> int:
    links = list(Path("/proc/self/fd").iterdir())
    return sum(link.resolve().is_relative_to(folder) for link in links)


# It leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_samples_are_those_of_webdataset(folder: Path) -> None:
    source = Shards(folder)
    assert isinstance(source, ImageSource)
    urls = sorted(map(str, folder.glob("*.tar")))
    theirs = list(WebDataset(urls, shardshuffle=False, empty_check=False))
    assert len(source) == len(theirs) == 30
    for index, sample in enumerate(theirs):
        assert source.name(index) == f"{Path(sample['__url__']).name}/{sample['__key__']}.png"
    assert greys(source) == list(range(30))
    for index in (-1, 30):
        with pytest.raises(IndexError):
            source.read(index)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("part-1.tar", range(10, 20)),
        ("part-*.tar", range(30)),
        ("part-{0..2}.tar", range(30)),
        ("part-{2,0}.tar", [*range(20, 30), *range(10)]),
        ("{part}-[01].tar", range(20)),
        ("", range(30)),
    ],
)
def test_patterns(folder: Path, pattern: str, expected: list[int]) -> None:
    assert greys(Shards(folder / pattern)) == list(expected)


def test_shards_of_one_name_are_told_apart(tmp_path: Path, write_tar: WriteTar) -> None:
    for number, shard in enumerate(("x/a/0.tar", "x/b/0.tar", "x/b/deep/0.tar")):
        write_tar(tmp_path / shard, {"000.png": number})
    shards = Shards(f"{tmp_path}/x/[ab]/0.tar")
    assert [shards.name(0), shards.name(1)] == ["a/0.tar/000.png", "b/0.tar/000.png"]
    alone = Shards(f"{tmp_path}/x/b/0.tar")
    assert alone.name(0) == "0.tar/000.png"
    paths = ["s3://a/x/0.tar", "s3://a/x/y/0.tar", "s3://a/z/1.tar"]
    assert short_names(paths) == ["x/0.tar", "x/y/0.tar", "z/1.tar"]
    assert short_names(["0.tar", "a/0.tar"]) == ["0.tar", "a/0.tar"]


def test_members_of_one_name_are_numbered(tmp_path: Path) -> None:
    assert numbered(["x.png", "y.png", "x.png", "x (2).png", "x.png"]) == [
        "x.png", "y.png", "x (3).png", "x (2).png", "x (4).png",
    ]  # fmt: skip
    with tarfile.open(tmp_path / "0.tar", "w") as shard:
        for name, grey in (("x.png", 1), ("y.png", 2), ("x.png", 3)):
            Image.new("L", (4, 4), grey).save(tmp_path / name)
            shard.add(tmp_path / name, name)
    source = Shards(tmp_path / "0.tar")
    assert [source.name(index) for index in range(3)] == [
        "0.tar/x.png", "0.tar/y.png", "0.tar/x (2).png",
    ]  # fmt: skip
    assert greys(source) == [1, 2, 3]


def test_braces_are_those_of_webdataset() -> None:
    for pattern in ("a", "s-{000008..000011}.tar", "{a,b}/{1..3}.tar", "{08..11}", "x{7..7}"):
        assert expand_braces(pattern) == expand_urls(pattern)


@pytest.mark.parametrize("where", ["{tmp_path}/", "memory://bucket/"])
def test_a_range_that_counts_down_is_one_sentence(tmp_path: Path, where: str) -> None:
    pattern = where.format(tmp_path=tmp_path) + "{5..3}.tar"
    with pytest.raises(ShardError, match=r"counted up, got \{5..3\}; write \{3..5\}$"):
        Shards(pattern)


def test_files_of_several_dots_are_no_pictures_and_damaged_ones_have_names(
    tmp_path: Path, write_tar: WriteTar
) -> None:
    long = "folder/" * 30 + "broken.jpg"
    write_tar(tmp_path / "a.tar", {"a.b.png": 1, "b.PNG": 2, "._b.png": 3, long: b"no picture"})
    source = Shards(tmp_path / "a.tar")
    assert [source.name(index) for index in range(2)] == ["a.tar/b.PNG", f"a.tar/{long}"]
    with pytest.raises(UnreadableImage, match=f"cannot read a.tar/{long}: it is not a JPEG"):
        source.read(1)


def test_arrays_count_where_a_model_is_not_for_rgb(tmp_path: Path, write_tar: WriteTar) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros((6, 8, 5), np.uint16))
    write_tar(tmp_path / "a.tar", {"a.npy": file.getvalue(), "a.png": 3, "b.png": 4})
    assert greys(Shards(tmp_path / "a.tar")) == [3, 4]
    source = Shards(tmp_path / "a.tar", channels=5)
    assert [source.name(index) for index in range(2)] == ["a.tar/a.npy", "a.tar/b.png"]
    assert source.read(0).shape == (5, 6, 8)
    with pytest.raises(UnreadableImage, match="takes 5 channels, but the picture has 3"):
        source.read(1)


def test_objects_are_never_unpickled(tmp_path: Path, write_tar: WriteTar) -> None:
    bomb = pickle.dumps(Path("harmless"))
    file = io.BytesIO()
    np.save(file, np.array([Path("harmless")]), allow_pickle=True)
    write_tar(tmp_path / "a.tar", {"a.pyd": bomb, "a.npy": file.getvalue(), "b.pickle": bomb})
    source = Shards(tmp_path / "a.tar", channels=5)
    with pytest.raises(UnreadableImage, match="never unpickled"):
        source.read(0)


def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards whose headers are read from here on."""
    made = []
    monkeypatch.setattr(
        "stellar.data.shards.index.index_pictures",
        lambda read, size, shard: (
            made.append(Path(shard).name) or index_pictures(read, size, shard)
        ),
    )
    return made


def test_an_index_is_made_once_and_again_when_its_shard_changed(
    folder: Path, write_tar: WriteTar, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scans(monkeypatch)
    Shards(folder)
    assert sorted(made) == ["part-0.tar", "part-1.tar", "part-2.tar"]
    Shards(folder)
    # Copied elsewhere, with other times, it still belongs to its shard.
    os.utime(folder / "part-0.tar", (1, 1))
    Shards(folder)
    assert len(made) == 3
    # Another archive of the same size.
    size = (folder / "part-1.tar").stat().st_size
    members = {f"class/{n:03}.{kind}": n if kind == "png" else 255 if "m" in kind else b"7"
               for n in range(19, 9, -1) for kind in ("png", "cls", "mask.png")}  # fmt: skip
    write_tar(folder / "part-1.tar", members)
    assert (folder / "part-1.tar").stat().st_size == size
    assert greys(Shards(folder))[10:20] == list(range(19, 9, -1))
    assert made[3:] == ["part-1.tar"]
    # A damaged index.
    index = folder / "part-2.tar.index"
    for content in (b"", b"nonsense", index.read_bytes()[:-1], index.read_bytes()[:-1] + b"\xff"):
        index.write_bytes(content)
        assert greys(Shards(folder)) == [*range(10), *range(19, 9, -1), *range(20, 30)]
    assert made[4:] == ["part-2.tar"] * 4


def test_where_a_folder_cannot_be_written_the_index_is_in_the_users_cache(
    folder: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stellar.data.shards.index.write_index",
        lambda place, *rest: place.parent != folder and write_index(place, *rest),
    )
    made = scans(monkeypatch)
    for _ in range(2):
        assert greys(Shards(folder)) == list(range(30))
    assert len(made) == 3
    assert len(list(user_cache.glob("*.index"))) == 3
    assert not list(folder.glob("*.index"))


def test_a_shard_that_changes_while_it_is_open_is_noticed(
    folder: Path, write_tar: WriteTar
) -> None:
    source = Shards(folder)
    write_tar(folder / "part-0.tar", {"a.txt": b"x" * 600, "b.png": 0})
    with pytest.raises(ShardError, match=r"part-0.tar was changed after it was opened"):
        source.read(5)
    (folder / "part-1.tar").unlink()
    with pytest.raises(ShardError, match=r"part-1.tar cannot be read \(.*No such file"):
        pickle.loads(pickle.dumps(source)).read(15)


def test_fingerprints_tell_pictures_and_their_order_apart(folder: Path) -> None:
    patterns = ("*.tar", "part-{0..1}.tar", "part-{1,0}.tar", "part-2.tar")
    assert len({Shards(folder / pattern).fingerprint() for pattern in patterns}) == 4
    assert Shards(folder).fingerprint() == Shards(folder / "*.tar").fingerprint()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected shards .* but there are none"),
        (b"", "cut off"),
        (b"no tar" * 1000, "damaged or no tar file"),
        (b"\x1f\x8b" + bytes(600), "compressed"),
        (bytes(10240), "no pictures in the shards"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "a.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ShardError, match=message) as caught:
        Shards(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_in_place_of_shards_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match="name the folder"):
        Shards(tmp_path / "*.jpg")
    with pytest.raises(ShardError, match="there are none"):
        Shards(tmp_path / "*.tar")


def test_truncated_shards_are_refused_also_with_an_index(folder: Path) -> None:
    Shards(folder)
    path = folder / "part-1.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ShardError, match=r"part-1\.tar is cut off"):
        Shards(folder)


def test_open_files_are_few_and_none_are_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "OPEN_FILES", 2)
    source = Shards(folder)
    for _ in range(3):
        for index in (0, 10, 20, 5, 15, 25):
            source.read(index)
            assert open_descriptors(folder) <= 2
    del source
    assert open_descriptors(folder) == 0


def test_threads_read_while_others_have_files_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "OPEN_FILES", 1)
    source = Shards(folder)
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda index: int(source.read(index)[0, 0, 0]), [*range(30)] * 10)
        assert list(read) == [*range(30)] * 10


def test_workers_share_the_index_and_are_sent_little(tmp_path: Path, write_tar: WriteTar) -> None:
    names = {f"a_rather_long_name_{number:06}.png": b"" for number in range(3000)}
    source = Shards(write_tar(tmp_path / "a.tar", names))
    held = [value for value in vars(source).values() if isinstance(value, torch.Tensor)]
    assert sum(tensor.nbytes for tensor in held) <= 3000 * 8 + 8
    sent = ForkingPickler.dumps(source)
    assert len(sent) < 5000
    assert all(tensor.is_shared() for tensor in held)
    assert pickle.loads(sent).name(2999) == "a.tar/a_rather_long_name_002999.png"


def test_a_forked_process_reads_the_same(folder: Path) -> None:
    source = Shards(folder)
    source.read(0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(_grey, [(source, index) for index in (0, 29)]) == [0, 29]


def _grey(case: tuple[Shards, int]) -> int:
    return int(case[0].read(case[1]).unique())


def test_workers_and_restarts_give_the_same_batches(folder: Path) -> None:
    """Any start in the middle of an epoch, and any number of workers."""
    data = MultiView(Shards(folder), 24, 6, VIEWS, seed=0)
    straight = list(view_batches(data, 4, seed=3, start_step=0, num_steps=9))
    seen = torch.cat([batch.index for batch in straight])[:30]
    assert seen.sort().values.tolist() == list(range(30))
    for num_workers, start in ((2, 0), (2, 4), (0, 5)):
        again = view_batches(data, 4, 3, start, 9 - start, num_workers=num_workers)
        for ours, theirs in zip(again, straight[start:], strict=True):
            assert torch.equal(ours.index, theirs.index)
            assert torch.equal(ours.to("cpu").full, theirs.to("cpu").full)


@pytest.fixture
def memory(folder: Path) -> Iterator[str]:
    """The address of the three shards in fsspec's file system in memory."""
    system = fsspec.filesystem("memory")
    for path in folder.glob("*.tar"):
        system.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("pattern", ["", "/", "/part-*.tar", "/part-{0..2}.tar"])
def test_addresses(memory: str, folder: Path, pattern: str) -> None:
    source = Shards(memory + pattern)
    assert greys(source) == list(range(30))
    assert source.name(12) == "part-1.tar/class/012.png"
    assert source.fingerprint() == Shards(folder).fingerprint()
    assert greys(pickle.loads(pickle.dumps(source))) == list(range(30))


def test_an_index_beside_a_shard_behind_an_address_is_taken(
    memory: str, folder: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `stellar shard` writes it; else one is made and kept in the user's cache."""
    made = scans(monkeypatch)
    Shards(memory)
    assert len(made) == 3
    Shards(memory)
    assert len(made) == 3
    for file in user_cache.glob("*"):
        file.unlink()
    Shards(folder)
    system, made[:] = fsspec.filesystem("memory"), []
    for path in folder.glob("*.index"):
        system.pipe(f"/bucket/{path.name}", path.read_bytes())
    assert greys(Shards(memory)) == list(range(30))
    assert made == []


@pytest.fixture
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures.time, "sleep", lambda _: None)


@pytest.mark.usefixtures("_without_pauses")
def test_a_read_that_fails_is_tried_again(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, system = Shards(memory), type(fsspec.filesystem("memory"))
    cat_file, failed = system.cat_file, []

    def shaky(self, path, **options):
        if len(failed) % 3 < 2:
            failed.append(path)
            raise ConnectionError("reset by peer")
        failed.append(path)
        return cat_file(self, path, **options)

    monkeypatch.setattr(system, "cat_file", shaky)
    monkeypatch.setitem(sys.modules, "aiohttp", None)  # it is there only where http is read
    assert int(source.read(3).unique()) == 3
    assert len(failed) == 3
    monkeypatch.setattr(system, "cat_file", lambda *_, **__: (_ for _ in ()).throw(OSError("off")))
    with pytest.raises(ShardError, match=r"part-0.tar cannot be read \(off\)"):
        source.read(3)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nowhere/*.tar", "at memory://nowhere/\\*.tar, but there are none"),
        ("memory://nowhere/a.tar", "there are none"),
        ("pipe://curl", "no address that fsspec reads"),
    ],
)
def test_wrong_addresses_are_one_sentence(address: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Shards(address)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingPackage, match="s3fs"):
        Shards("s3://bucket/a.tar")


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the folder that knows no ranges, as Python's own."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("megabytes", [0, 20])
def test_a_server_without_ranges_is_one_sentence(
    served: str, folder: Path, write_tar: WriteTar, megabytes: int
) -> None:
    """Whether fsspec reads the shard at once, as it does a small one, or cannot go to a place."""
    pytest.importorskip("aiohttp")
    filling = {"x.bin": bytes(megabytes << 20)}
    write_tar(folder / "one.tar", {"a.png": 1, **filling, "b.png": 2, "c.png": 3})
    with pytest.raises(ShardError, match="whole files alone, not ranges of bytes; copy"):
        greys(Shards(f"{served}/one.tar"))


def test_a_server_that_is_not_there_is_no_missing_file(served: str) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(ShardError, match=r"none\.tar, but there are none"):
        Shards(f"{served}/none.tar")
    with pytest.raises(ShardError, match=r"cannot be read \(Cannot connect"):
        Shards("http://localhost:1/a.tar")


Answers = dict[str, Iterator[int]]
SILENCE, HALF = 0, 1
"""No answer at all, and one that ends in its middle."""


class Store(BaseHTTPRequestHandler):
    """A web server of a folder that knows ranges, and fails as it is told."""

    folder: ClassVar[Path]
    answers: ClassVar[Answers]
    """What it answers to a path instead of the file, as long as there is more."""

    def do_GET(self) -> None:
        answer, file = next(self.answers.get(self.path, iter(())), 206), self.folder / self.path[1:]
        if answer == SILENCE:
            return
        if answer >= 400 or not file.is_file():
            self.send_error(answer if answer >= 400 else 404)
            return
        first, last = re.findall(r"\d+", self.headers.get("Range", f"0-{2**40}"))
        data = file.read_bytes()[int(first) : int(last) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if answer == HALF else data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(folder: Path) -> Iterator[tuple[str, Answers]]:
    """The address of such a server, and its answers."""
    pytest.importorskip("aiohttp")
    Store.folder, Store.answers = folder, {}
    with ThreadingHTTPServer(("localhost", 0), Store) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://localhost:{server.server_port}", Store.answers
        server.shutdown()


@pytest.mark.parametrize("answer", [400, 401, 403, 404, 410])
def test_what_may_not_be_listed_is_read_without_an_index(
    store: tuple[str, Answers], answer: int
) -> None:
    """A bucket for everybody refuses to say that a file is missing."""
    address, answers = store
    answers.update({f"/part-{shard}.tar.index": repeat(answer) for shard in range(3)})
    assert greys(Shards(f"{address}/part-{{0..2}}.tar")) == list(range(30))


@pytest.mark.usefixtures("_without_pauses")
@pytest.mark.parametrize("answer", [429, 500, 503, SILENCE, HALF])
def test_a_web_server_that_fails_is_asked_again(
    store: tuple[str, Answers],
    folder: Path,
    answer: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Shards(folder)
    address, answers = store
    made = scans(monkeypatch)
    answers["/part-1.tar.index"] = iter([answer] * 3)
    source = Shards(f"{address}/part-1.tar")
    assert made == []
    answers["/part-1.tar"] = iter([answer] * 3)
    assert int(source.read(2).unique()) == 12
    answers["/part-1.tar"] = repeat(answer)
    with pytest.raises(ShardError, match=r"part-1\.tar cannot be read \([^()]") as caught:
        source.read(2)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_without_pauses")
@pytest.mark.parametrize(
    ("path", "answer", "pattern", "message"),
    [
        ("/part-0.tar", 403, "part-0.tar", "part-0.tar cannot be read (the server answers 403"),
        ("/part-0.tar", 503, "part-0.tar", "part-0.tar cannot be read (the server answers 503"),
        ("/part-0.tar", 410, "part-0.tar", "part-0.tar, but there are none"),
        ("/", 403, "*.tar", "*.tar cannot be read (the server answers 403"),
        ("/part-0.tar.index", 503, "part-0.tar", "part-0.tar cannot be read (the server answers"),
        ("/part-0.tar.index", SILENCE, "part-0.tar", "part-0.tar cannot be read (Server disc"),
    ],
)
def test_a_web_server_that_gives_nothing_is_one_sentence(
    store: tuple[str, Answers],
    path: str,
    answer: int,
    pattern: str,
    message: str,
) -> None:
    address, answers = store
    answers[path] = repeat(answer)
    with pytest.raises(ShardError, match=re.escape(message)) as caught:
        Shards(f"{address}/{pattern}")
    assert "\n" not in str(caught.value)
