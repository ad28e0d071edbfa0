"""An index holds what its embedding does: what is new comes, what is gone goes, and what is another
row under the same path is replaced; or it keeps what it has, and an embedding comes beside it.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import D, K, embedding, names, random_maps, random_tokens
from outcomes import KILLED_IN_ORDER, everything, run, some_are_slow
from PIL import Image

import stellar
from stellar.searching import SearchError
from stellar.searching.tables import GROWING, WHOLE, read_contents

pytest.importorskip("lancedb")

KILLED = """
import os, signal, sys
import lancedb.table
from stellar.searching import build_index

calls = 0

def dying(write):
    def written(table, *arguments, **named):
        global calls
        calls += 1
        if calls == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return write(table, *arguments, **named)
    return written

for name in ("add", "delete"):
    write = getattr(lancedb.table.LanceTable, name)
    setattr(lancedb.table.LanceTable, name, dying(write))
build_index("photos.parquet", "photos.index", add="add" in sys.argv)
"""
FULL = """
import resource, sys
import stellar.cli

resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
sys.exit(stellar.cli.main(["index", "photos.parquet", "--out", "photos.index"]))
"""


def before_and_after(folder: Path) -> tuple[Path, Path]:
    """photos.parquet, and what it becomes: of 40 pictures 5 are gone, 4 are others under the same
    paths, and 20 are new.
    """
    tokens, maps, paths = random_tokens(60), random_maps(60), names(60)
    file = embedding(folder / "photos.parquet", tokens[:40], maps[:40], paths[:40])
    tokens[[4, 20, 21, 39]] = random_tokens(4, seed=1)
    kept = [number for number in range(60) if number not in (0, 7, 15, 16, 30)]
    after = [paths[number] for number in kept]
    return file, embedding(folder / "after.parquet", tokens[kept], maps[kept], after)


def test_an_index_follows_its_embedding(tmp_path: Path) -> None:
    """With the same answers as if it was made at once, to those who open it then."""
    file, after = before_and_after(tmp_path)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    open_before, found_before = stellar.open_index(folder), everything(folder)
    result = stellar.build_index(after, folder)
    counts = result.num_pictures, result.num_added, result.num_replaced, result.num_removed
    assert counts == (55, 20, 4, 5)
    once = stellar.build_index(after, tmp_path / "once.index").folder
    for like in ("003.jpg", "020.jpg", "059.jpg"):
        assert sorted(everything(folder, like)) == sorted(everything(once, like))
    with pytest.raises(SearchError, match=r"007.jpg is not in .*photos.index"):
        stellar.open_index(folder).search("007.jpg")
    assert len(open_before.search("007.jpg", count=60)) == 40
    again = stellar.build_index(after, folder)
    assert (again.num_added, again.num_replaced, again.num_removed) == (0, 0, 0)
    back = stellar.build_index(file, folder)
    counts = back.num_pictures, back.num_added, back.num_replaced, back.num_removed
    assert counts == (40, 5, 4, 20)
    assert sorted(everything(folder)) == sorted(found_before)


def test_an_unchanged_embedding_changes_nothing(tmp_path: Path) -> None:
    file, after = before_and_after(tmp_path)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    stellar.build_index(after, folder)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    stellar.build_index(after, folder)
    assert files == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_all_pictures_may_be_others(tmp_path: Path) -> None:
    file = embedding(tmp_path / "photos.parquet", random_tokens(20))
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    embedding(file, random_tokens(20, seed=1))
    assert stellar.build_index(file, folder).num_replaced == 20
    assert everything(folder) == everything(stellar.build_index(file, tmp_path / "x.index").folder)


@pytest.mark.parametrize("given", [True, False])
def test_a_replaced_picture_shows_itself_or_nothing(tmp_path: Path, given: bool) -> None:
    photos, tokens = tmp_path / "photos", random_tokens(6)
    photos.mkdir()
    for name in names(6):
        Image.new("RGB", (20, 10), "teal").save(photos / name)
    file = embedding(tmp_path / "x.parquet", tokens)
    folder = stellar.build_index(file, tmp_path / "x.index", photos).folder
    tokens[2] = random_tokens(1, seed=1)
    embedding(file, tokens)
    Image.new("RGB", (30, 40), "red").save(photos / "002.jpg")
    stellar.build_index(file, folder, photos if given else None)
    hits = {hit.path: hit for hit in stellar.open_index(folder).search("003.jpg")}
    assert hits["002.jpg"].size == ((30, 40) if given else None)
    assert bool(hits["002.jpg"].thumbnail) == given
    assert {hits[name].size for name in names(6) if name != "002.jpg"} == {(20, 10)}


def test_a_picture_is_another_where_its_file_was_changed(tmp_path: Path) -> None:
    """Also beside what the model sees of it, which is the same to the bit then: `--at` goes by its
    size. What has no stamps, as in shards, goes by what the model sees.
    """
    photos, tokens = tmp_path / "photos", random_tokens(6)
    photos.mkdir()
    for name in names(6):
        Image.new("RGB", (20, 10), "teal").save(photos / name)
    stamps: list[tuple[int | None, int | None]] = [(100, 2**62), *4 * [(100, 5)], (None, None)]
    file = embedding(tmp_path / "x.parquet", tokens, stamps=stamps)
    folder = stellar.build_index(file, tmp_path / "x.index", photos).folder
    Image.new("RGB", (40, 10), "teal").save(photos / "002.jpg")
    for changed in ((120, 5), (120, 6), (120, None)):
        stamps[2] = changed
        embedding(file, tokens, stamps=stamps)
        result = stellar.build_index(file, folder, photos)
        assert (result.num_added, result.num_replaced, result.num_removed) == (0, 1, 0)
        assert stellar.build_index(file, folder, photos).num_replaced == 0
    sizes = {hit.path: hit.size for hit in stellar.open_index(folder).search("003.jpg")}
    assert sizes == {name: (40 if name == "002.jpg" else 20, 10) for name in names(6)}


def test_of_row_groups_with_nothing_new_paths_alone_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, maps = random_tokens(100), random_maps(100)
    file = embedding(tmp_path / "x.parquet", tokens[:99], maps[:99])
    folder = stellar.build_index(file, tmp_path / "x.index").folder
    embedding(file, tokens, maps)
    read, whole = pq.ParquetFile.read_row_group, []

    def counted(parquet: pq.ParquetFile, number: int, columns: list[str] | None = None) -> pa.Table:
        whole.extend([number] if columns is None else [])
        return read(parquet, number, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    assert stellar.build_index(file, folder).num_added == 1
    assert whole == [6]


def test_an_embedding_of_other_pictures_is_refused(photos_index: Path, tmp_path: Path) -> None:
    before = everything(photos_index)
    others = embedding(tmp_path / "o.parquet", random_tokens(2), paths=["a.jpg", "b.jpg"])
    said = (
        r"photos.index holds other pictures: none of the 2 of .*o.parquet is in it as it is now, "
        "and 60 would be forgotten; choose another --out, remove it, or add them with --add"
    )
    with pytest.raises(SearchError, match=said):
        stellar.build_index(others, photos_index)
    assert everything(photos_index) == before
    assert not (photos_index / GROWING).exists()


def test_one_name_that_is_the_same_is_not_enough_to_forget_all_others(
    photos_index: Path, tmp_path: Path
) -> None:
    """As 000.jpg of another day's folder is."""
    before, paths = everything(photos_index), ["000.jpg", "x.jpg", "y.jpg"]
    others = embedding(tmp_path / "o.parquet", random_tokens(3, seed=1), paths=paths)
    said = "none of the 3 of .*o.parquet is in it as it is now, and 59 would be forgotten"
    with pytest.raises(SearchError, match=said):
        stellar.build_index(others, photos_index)
    assert everything(photos_index) == before
    assert not (photos_index / GROWING).exists()
    tokens = np.concatenate([random_tokens(60)[:1], random_tokens(2, seed=1)])
    shared = embedding(tmp_path / "s.parquet", tokens, paths=paths)
    assert stellar.build_index(shared, photos_index).num_removed == 59


@pytest.mark.parametrize("add", [False, True])
def test_a_path_that_an_embedding_has_twice_is_refused(tmp_path: Path, add: bool) -> None:
    """In one row group or in two, and nothing is left behind."""
    for paths in (["a.jpg", "b.jpg", "a.jpg"], ["b.jpg", "a.jpg", "a.jpg"]):
        file = embedding(tmp_path / "x.parquet", random_tokens(3), paths=paths, row_group=2)
        said = r"x.parquet has a.jpg twice, so a search could not tell them apart; embed the folder"
        with pytest.raises(SearchError, match=said):
            stellar.build_index(file, tmp_path / "x.index", add=add)
    assert not (tmp_path / "x.index").exists()


def test_embeddings_come_beside_each_other(tmp_path: Path) -> None:
    """Those of one day after the other; a picture that is there as it was is passed over."""
    tokens, maps, paths = random_tokens(50), random_maps(50), names(50)
    folder = tmp_path / "days.index"
    for some, added in ((slice(0, 20), 20), (slice(20, 40), 20), (slice(35, 50), 10)):
        day = embedding(tmp_path / "day.parquet", tokens[some], maps[some], paths[some])
        result = stellar.build_index(day, folder, add=True)
        assert (result.num_added, result.num_replaced, result.num_removed) == (added, 0, 0)
    at_once = embedding(tmp_path / "all.parquet", tokens, maps)
    once = stellar.build_index(at_once, tmp_path / "once.index").folder
    assert everything(folder) == everything(once)


def test_an_embedding_that_was_added_is_followed_and_the_others_stay(tmp_path: Path) -> None:
    """What is gone from it stays, too: nothing is forgotten with `add`."""
    tokens, maps, paths = random_tokens(30), random_maps(30), names(30)
    monday = embedding(tmp_path / "monday.parquet", tokens[:10], maps[:10], paths[:10])
    tuesday = embedding(tmp_path / "tuesday.parquet", tokens[10:20], maps[10:20], paths[10:20])
    folder = stellar.build_index(monday, tmp_path / "days.index").folder
    stellar.build_index(tuesday, folder, add=True)
    changed = tokens.copy()
    changed[12] = random_tokens(1, seed=9)[0]
    embedding(tuesday, changed[11:25], maps[11:25], paths[11:25])
    result = stellar.build_index(tuesday, folder, add=True)
    assert (result.num_added, result.num_replaced, result.num_removed) == (5, 1, 0)
    once = embedding(tmp_path / "once.parquet", changed[:25], maps[:25], paths[:25])
    expected = stellar.build_index(once, tmp_path / "once.index").folder
    assert sorted(everything(folder)) == sorted(everything(expected))
    embedding(tuesday, random_tokens(2, seed=8), paths=paths[11:13])  # others, of the same names
    with pytest.raises(SearchError, match=r"has another picture called 011\.jpg than .*tuesday"):
        stellar.build_index(tuesday, folder, add=True)
    before = everything(folder)
    with pytest.raises(SearchError, match=r"has 15 pictures of other embeddings, as .*tuesday\.p"):
        stellar.build_index(monday, folder)
    assert everything(folder) == before
    result = stellar.build_index(once, folder)  # of all of them, which it follows from now on
    assert (result.num_added, result.num_replaced, result.num_removed) == (0, 0, 0)
    embedding(once, changed[:8], maps[:8], paths[:8])
    assert stellar.build_index(once, folder).num_removed == 17


def test_thumbnails_come_from_the_folder_of_their_own_embedding(tmp_path: Path) -> None:
    """Which may have a file that another folder's picture is called after."""
    tokens = random_tokens(4)
    monday = embedding(tmp_path / "monday.parquet", tokens[:2], paths=["a.jpg", "b.jpg"])
    tuesday = embedding(tmp_path / "tuesday.parquet", tokens[2:], paths=["c.jpg", "d.jpg"])
    for day, found in (("monday", "ab"), ("tuesday", "bc")):
        (tmp_path / day).mkdir()
        for name in found:
            Image.new("RGB", (10 if day == "monday" else 20, 5)).save(
                tmp_path / day / f"{name}.jpg"
            )
    folder = stellar.build_index(monday, tmp_path / "days.index").folder
    stellar.build_index(tuesday, folder, add=True)
    result = stellar.build_index(tuesday, folder, tmp_path / "tuesday", add=True)
    assert (result.num_filled_in, result.num_without_thumbnail) == (1, 1)
    hits = {hit.path: hit.size for hit in stellar.open_index(folder).search("a.jpg")}
    assert hits == {"a.jpg": None, "b.jpg": None, "c.jpg": (20, 5), "d.jpg": None}
    result = stellar.build_index(monday, folder, tmp_path / "monday", add=True)
    assert (result.num_filled_in, result.num_without_thumbnail) == (2, 0)
    hits = {hit.path: hit.size for hit in stellar.open_index(folder).search("a.jpg")}
    assert hits == {"a.jpg": (10, 5), "b.jpg": (10, 5), "c.jpg": (20, 5), "d.jpg": None}


def test_another_picture_of_the_same_path_does_not_come_beside(
    photos_index: Path, tmp_path: Path
) -> None:
    before = everything(photos_index)
    paths = ["new.jpg", "007.jpg"]
    other = embedding(tmp_path / "o.parquet", random_tokens(2, seed=1), paths=paths)
    said = (
        r"photos.index has another picture called 007.jpg than .*o.parquet: it was changed, or two "
        "folders have one of that name; embed the folder that all pictures lie in"
    )
    with pytest.raises(SearchError, match=said):
        stellar.build_index(other, photos_index, add=True)
    assert everything(photos_index) == before
    assert not (photos_index / GROWING).exists()


@pytest.mark.parametrize("at", some_are_slow(1, 2, 4, 8, slow=(3, 5, 6, 7)))
def test_killed_as_it_follows_it_goes_on(tmp_path: Path, at: int) -> None:
    """Killed before the tokens of what is gone are deleted, their pictures, the tokens of what is
    replaced, their pictures, and at two row groups that come in. Searches find the old pictures.
    """
    file, after = before_and_after(tmp_path)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    before = everything(folder)
    after.replace(file)
    assert run(KILLED, tmp_path, str(at)).returncode == -9
    assert everything(folder) == before
    assert (folder / GROWING).exists() == (at > 2)
    assert stellar.build_index(file, folder).num_pictures == 55
    once = stellar.build_index(file, tmp_path / "once.index").folder
    assert sorted(everything(folder)) == sorted(everything(once))


def test_killed_when_all_but_one_picture_were_deleted_it_goes_on(tmp_path: Path) -> None:
    """And when those that are gone were, but not those that are others now."""
    for at in (3, 5):
        folder = tmp_path / str(at)
        folder.mkdir()
        file = embedding(folder / "photos.parquet", random_tokens(9), random_maps(9))
        stellar.build_index(file, folder / "photos.index")
        after = random_tokens(9)[4:]
        after[:4] = random_tokens(4, seed=1)
        embedding(file, after, random_maps(9)[4:], names(9)[4:])
        assert run(KILLED, folder, str(at)).returncode == -9
        assert stellar.build_index(file, folder / "photos.index").num_pictures == 5
        once = stellar.build_index(file, folder / "once.index").folder
        found, expected = (everything(each, "007.jpg") for each in (folder / "photos.index", once))
        assert found == expected


def test_killed_as_it_adds_it_goes_on(tmp_path: Path) -> None:
    tokens, maps, paths = random_tokens(60), random_maps(60), names(60)
    first = embedding(tmp_path / "first.parquet", tokens[:20], maps[:20])
    folder = stellar.build_index(first, tmp_path / "photos.index").folder
    file = embedding(tmp_path / "photos.parquet", tokens[20:], maps[20:], paths[20:])
    assert run(KILLED, tmp_path, "4", "add").returncode == -9
    result = stellar.build_index(file, folder, add=True)
    assert (result.num_pictures, result.num_added) == (60, 24)
    at_once = embedding(tmp_path / "all.parquet", tokens, maps)
    assert everything(folder) == everything(stellar.build_index(at_once, tmp_path / "x").folder)


@pytest.mark.parametrize("first", ["forgets", "adds"])
def test_who_forgot_to_add_and_stopped_it_has_lost_nothing(tmp_path: Path, first: str) -> None:
    """Nor does who added, stopped it, and makes the index hold the one embedding."""
    tokens, maps, paths = random_tokens(60), random_maps(60), names(60)
    monday = embedding(tmp_path / "monday.parquet", tokens[:40], maps[:40])
    folder = stellar.build_index(monday, tmp_path / "photos.index").folder
    tuesday = embedding(tmp_path / "photos.parquet", tokens[39:], maps[39:], paths[39:])
    before = everything(folder, "039.jpg")
    killed = run(KILLED, tmp_path, "3", *(["add"] if first == "adds" else []))
    assert (killed.returncode, (folder / GROWING).exists()) == (-9, True)
    assert everything(folder, "039.jpg") == before
    result = stellar.build_index(tuesday, folder, add=first == "forgets")
    if first == "forgets":
        assert (result.num_pictures, result.num_added) == (60, 20)
        expected = embedding(tmp_path / "all.parquet", tokens, maps)
    else:
        assert (result.num_pictures, result.num_added, result.num_removed) == (21, 20, 39)
        expected = tuesday
    once = stellar.build_index(expected, tmp_path / "once.index").folder
    assert sorted(everything(folder, "039.jpg")) == sorted(everything(once, "039.jpg"))


def test_what_was_stopped_is_dropped_where_the_other_call_finds_nothing_to_do(
    tmp_path: Path,
) -> None:
    file, after = before_and_after(tmp_path)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    before, monday = everything(folder), file.rename(tmp_path / "monday.parquet")
    after.replace(file)
    assert run(KILLED, tmp_path, "7").returncode == -9
    assert (folder / GROWING).exists()
    result = stellar.build_index(monday, folder, add=True)
    assert (result.num_pictures, result.num_added, result.num_removed) == (40, 0, 0)
    assert everything(folder) == before
    assert not (folder / GROWING).exists()


def test_an_index_that_was_begun_by_the_other_call_is_finished(tmp_path: Path) -> None:
    """Nobody could search in it yet, so nothing can be lost."""
    file = embedding(tmp_path / "photos.parquet", random_tokens(60))
    assert run(KILLED, tmp_path, "5", "add").returncode == -9
    result = stellar.build_index(file, tmp_path / "photos.index")
    assert (result.num_pictures, result.num_added) == (60, 28)
    once = stellar.build_index(file, tmp_path / "once.index").folder
    assert everything(result.folder) == everything(once)


@pytest.mark.parametrize("at", some_are_slow(1, 4, slow=(2, 3)))
def test_killed_as_what_is_left_is_put_in_order(tmp_path: Path, at: int) -> None:
    """When all versions are old, and go unless a file names them."""
    file, after = before_and_after(tmp_path)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    after.replace(file)
    assert run(KILLED_IN_ORDER, tmp_path, str(at)).returncode == -9
    once = stellar.build_index(file, tmp_path / "once.index").folder
    assert sorted(everything(folder)) == sorted(everything(once))
    result = stellar.build_index(file, folder)
    assert (result.num_added, result.num_replaced, result.num_removed) == (0, 0, 0)
    assert sorted(everything(folder)) == sorted(everything(once))


def test_killed_with_half_its_thumbnails_it_follows_all_the_same(tmp_path: Path) -> None:
    """What was filled in by then is of pictures that have moved since."""
    from test_building import KILLED as KILLED_AT_ADD

    tokens, maps = random_tokens(50), random_maps(50)
    file = embedding(tmp_path / "photos.parquet", tokens, maps, row_group=20)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, name in enumerate(names(50)):
        Image.new("RGB", (number + 1, 9)).save(photos / name)
    assert run(KILLED_AT_ADD, tmp_path, "3", "photos").returncode == -9
    embedding(file, tokens[5:], maps[5:], names(50)[5:])
    result = stellar.build_index(file, folder, photos)
    assert (result.num_removed, result.num_without_thumbnail) == (5, 0)
    hits = stellar.open_index(folder).search("030.jpg", count=50)
    assert {hit.path: hit.size for hit in hits} == {
        name: (number + 1, 9) for number, name in enumerate(names(50)) if number >= 5
    }


def test_a_full_disk_gets_a_sentence_as_pictures_go(photos_index: Path, tmp_path: Path) -> None:
    before = everything(photos_index)
    file = embedding(tmp_path / "photos.parquet", random_tokens(60)[:30])
    done = run(FULL, tmp_path)
    assert done.returncode == 1, done.said
    assert "photos.index cannot be written (" in done.said
    assert "the same command goes on" in done.said
    assert everything(photos_index) == before
    assert stellar.build_index(file, photos_index).num_removed == 30


def clustered(count: int) -> np.ndarray:
    """Tokens around 40 centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, D))
    return centres[rng.integers(40, size=(count, K))] + 0.4 * rng.normal(size=(count, K, D))


def agreement(folder: Path, like: list[str]) -> float:
    """The part of the ten best that approximate searches find."""
    index = stellar.open_index(folder)
    assert index.approximate
    found = []
    for path in like:
        near, exact = (
            {hit.path for hit in index.search(path, token=[1], exact=exact)}
            for exact in (False, True)
        )
        assert near <= set(index.paths)
        found.append(len(near & exact) / len(exact))
    return float(np.mean(found))


@pytest.mark.parametrize("new", [0, 1, 2])
def test_an_approximate_index_follows(tmp_path: Path, new: int) -> None:
    """Whether no row group comes in, one, or several: LanceDB puts what its index knows behind a
    single new piece, and tokens stay those of their pictures.
    """
    tokens, maps, paths = clustered(1200), random_maps(1200), names(1200)
    file = embedding(tmp_path / "x.parquet", tokens[:900], maps[:900], paths[:900], row_group=300)
    folder = stellar.build_index(file, tmp_path / "x.index", exact_up_to=50).folder
    kept = [number for number in range(900 + 100 * new) if not 300 <= number < 600 and number % 9]
    tokens[[1, 2, 601]] = clustered(1300)[1200:1203]
    after = embedding(
        tmp_path / "after.parquet", tokens[kept], maps[kept], [paths[n] for n in kept],
        row_group=300 if new < 2 else 100,
    )  # fmt: skip
    result = stellar.build_index(after, folder, exact_up_to=50)
    assert result.num_removed > 300
    contents = read_contents(folder / WHOLE)
    assert contents is not None
    assert contents.trained_on == 900
    once = stellar.build_index(after, tmp_path / "once.index").folder
    like = [paths[number] for number in (1, 601, *kept[3::60])]
    for path in like:
        index, other = stellar.open_index(folder), stellar.open_index(once)
        exact, expected = index.search(path, exact=True), other.search(path)
        assert [hit.path for hit in exact] == [hit.path for hit in expected]
        assert exact[0].matches == expected[0].matches
    assert agreement(folder, like) > 0.95


def test_an_approximate_index_that_grew_by_one_row_group(tmp_path: Path) -> None:
    tokens, maps = random_tokens(450), random_maps(450)
    file = embedding(tmp_path / "x.parquet", tokens[:400], maps[:400], row_group=100)
    folder = stellar.build_index(file, tmp_path / "x.index", exact_up_to=50).folder
    embedding(file, tokens, maps, row_group=500)
    stellar.build_index(file, folder, exact_up_to=50)
    for exact in (False, True):
        index = stellar.open_index(folder)
        for path in names(450)[::45]:
            (hit,) = index.search(path, count=1, exact=exact)
            assert (hit.path, round(hit.score, 3)) == (path, 1)
            assert [match.token for match in hit.matches] == [0, 1, 2]


def test_killed_before_an_approximate_index_knows_what_is_new(tmp_path: Path) -> None:
    """The next call has nothing to change, and lets it know."""
    tokens, maps = random_tokens(450), random_maps(450)
    file = embedding(tmp_path / "photos.parquet", tokens[:400], maps[:400])
    folder = stellar.build_index(file, tmp_path / "photos.index", exact_up_to=50).folder
    embedding(file, tokens, maps)
    assert run(KILLED_IN_ORDER, tmp_path, "1").returncode == -9

    def unknown() -> int:
        table = stellar.open_index(folder).rows.tokens
        (index,) = table.list_indices()
        return table.index_stats(index.name).num_unindexed_rows

    assert (len(stellar.open_index(folder)), unknown()) == (450, 50 * K)
    assert stellar.build_index(file, folder, exact_up_to=50).num_added == 0
    assert unknown() == 0
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    stellar.build_index(file, folder, exact_up_to=50)
    assert files == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("exact_up_to", "trained_on"), [(50, 100), (100, 0)])
def test_an_approximate_index_of_which_most_is_gone(
    tmp_path: Path, exact_up_to: int, trained_on: int
) -> None:
    """Is trained again, or serves no more where searches can look at all tokens."""
    tokens, maps = clustered(400), random_maps(400)
    file = embedding(tmp_path / "x.parquet", tokens, maps)
    folder = stellar.build_index(file, tmp_path / "x.index", exact_up_to=50).folder
    embedding(file, tokens[:100], maps[:100])
    stellar.build_index(file, folder, exact_up_to=exact_up_to)
    contents = read_contents(folder / WHOLE)
    assert contents is not None
    assert contents.trained_on == trained_on
    once = stellar.build_index(file, tmp_path / "once.index").folder
    assert everything(folder) == everything(once)
