"""What an index holds after it grew, was killed, or was given something else."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from by_hand import SIDE, D, K, embedding, metadata, names, random_maps, random_tokens
from outcomes import KILLED_IN_ORDER, everything, run, some_are_slow
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

import stellar.cli
from stellar.config import ModelConfig
from stellar.data.shards.writing import write_shards
from stellar.embedding import EmbeddingError
from stellar.model import Stellar
from stellar.searching import SearchError
from stellar.searching.growing import Growing
from stellar.searching.originals import BelowFolder
from stellar.searching.tables import GROWING, LOCK, WHOLE, read_contents, reading, write_contents
from stellar.searching.thumbnails import thumbnail_of
from stellar.searching.words import Origin, Words, read_words
from stellar.storage import locked

pytest.importorskip("lancedb")

KILLED = """
import os, signal, sys
from pathlib import Path
import lancedb.table
from stellar.searching import build_index

at = int(sys.argv[1])
calls = 0
add = lancedb.table.LanceTable.add

def dying(table, *arguments, **named):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return add(table, *arguments, **named)

lancedb.table.LanceTable.add = dying
build_index("photos.parquet", "photos.index", *sys.argv[2:])
"""
FULL = """
import resource, sys
import stellar.cli

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(stellar.cli.main(["index", "photos.parquet", "--out", "photos.index"]))
"""


def test_a_grown_embedding_is_taken_in_as_if_at_once(tmp_path: Path) -> None:
    """New pictures stand between the old ones, as they do in a sorted folder."""
    tokens, maps, paths = random_tokens(50), random_maps(50), names(50)
    some = [number for number in range(50) if number % 3 == 0]
    few = embedding(tmp_path / "few.parquet", tokens[some], maps[some], [paths[n] for n in some])
    all_of_them = embedding(tmp_path / "all.parquet", tokens, maps)
    first = stellar.build_index(few, tmp_path / "grown.index")
    assert (first.num_pictures, first.num_added) == (17, 17)
    second = stellar.build_index(all_of_them, tmp_path / "grown.index")
    assert (second.num_pictures, second.num_added) == (50, 33)
    once = stellar.build_index(all_of_them, tmp_path / "once.index")
    assert sorted(everything(second.folder)) == sorted(everything(once.folder))
    third = stellar.build_index(all_of_them, tmp_path / "grown.index")
    assert (third.num_pictures, third.num_added) == (50, 0)
    assert sorted(everything(second.folder)) == sorted(everything(once.folder))


def test_an_approximate_index_grows_too(tmp_path: Path) -> None:
    tokens = random_tokens(700)
    few = embedding(tmp_path / "few.parquet", tokens[:400], row_group=100)
    result = stellar.build_index(few, tmp_path / "x.index", exact_up_to=50)
    contents = json.loads((result.folder / WHOLE).read_text())
    assert contents["trained_on"] == 400
    more = embedding(tmp_path / "more.parquet", tokens, row_group=100)
    stellar.build_index(more, result.folder, exact_up_to=50)
    assert json.loads((result.folder / WHOLE).read_text())["trained_on"] == 400
    index = stellar.open_index(result.folder)
    for path in names(700)[::60]:
        assert index.search(path, count=1)[0].path == path
        assert index.search(path, token=[1], count=1)[0].path == path


def test_few_pictures_may_be_approximate(tmp_path: Path) -> None:
    file = embedding(tmp_path / "x.parquet", random_tokens(2))
    result = stellar.build_index(file, tmp_path / "x.index", exact_up_to=0)
    assert result.approximate
    found = stellar.open_index(result.folder).search("001.jpg")
    assert [hit.path for hit in found] == ["001.jpg", "000.jpg"]


def test_a_folder_of_parts_gives_the_same_index(tmp_path: Path) -> None:
    tokens, maps, paths = random_tokens(30), random_maps(30), names(30)
    (tmp_path / "parts").mkdir()
    for start in (0, 10, 20):
        some = slice(start, start + 10)
        file = tmp_path / f"parts/{start:012d}.parquet"
        embedding(file, tokens[some], maps[some], paths[some])
    whole = embedding(tmp_path / "whole.parquet", tokens, maps)
    one = stellar.build_index(tmp_path / "parts", tmp_path / "one.index")
    other = stellar.build_index(whole, tmp_path / "other.index")
    assert everything(one.folder) == everything(other.folder)


@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_killed_build_goes_on(tmp_path: Path, at: int) -> None:
    """Killed at a write to a table: of tokens (odd) or of their pictures."""
    file = embedding(tmp_path / "photos.parquet", random_tokens(60))
    assert run(KILLED, tmp_path, str(at)).returncode == -9
    (tmp_path / "photos.index/.1234abcd.growing.json").write_text("{")  # as if it was written then
    begun = at > 2
    assert (tmp_path / "photos.index" / GROWING).exists() == begun
    said = "is half built; the stellar index that began it" if begun else "is no index made by"
    with pytest.raises(SearchError, match=said):
        stellar.open_index(tmp_path / "photos.index")
    result = stellar.build_index(file, tmp_path / "photos.index")
    assert (result.num_pictures, result.num_added) == (60, 60 - 16 * ((at - 1) // 2))
    once = stellar.build_index(file, tmp_path / "once.index")
    assert everything(result.folder) == everything(once.folder)


def test_while_an_index_grows_the_old_one_is_searched(tmp_path: Path) -> None:
    tokens, maps = random_tokens(60), random_maps(60)
    file = embedding(tmp_path / "photos.parquet", tokens[:20], maps[:20])
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    before = everything(folder)
    embedding(tmp_path / "photos.parquet", tokens, maps)
    assert run(KILLED, tmp_path, "4").returncode == -9
    assert everything(folder) == before
    assert stellar.build_index(file, folder).num_pictures == 60


@pytest.mark.parametrize("at", some_are_slow(1, 4, slow=(2, 3)))
def test_versions_go_only_when_nothing_names_them(tmp_path: Path, at: int) -> None:
    """Killed as each table, all of whose versions are old by then, is put in order and cleaned."""
    tokens, maps = random_tokens(60), random_maps(60)
    file = embedding(tmp_path / "photos.parquet", tokens[:40], maps[:40])
    stellar.build_index(file, tmp_path / "photos.index")
    embedding(file, tokens, maps)
    assert run(KILLED_IN_ORDER, tmp_path, str(at)).returncode == -9
    found = everything(tmp_path / "photos.index")
    once = stellar.build_index(file, tmp_path / "once.index")
    assert found == everything(once.folder)
    assert stellar.build_index(file, tmp_path / "photos.index").num_added == 0


def test_a_full_disk_gets_a_sentence(tmp_path: Path) -> None:
    file = embedding(tmp_path / "photos.parquet", random_tokens(600), row_group=300)
    done = run(FULL, tmp_path)
    assert done.returncode == 1, done.said
    assert "photos.index cannot be written (" in done.said
    assert "the same command goes on" in done.said
    assert stellar.build_index(file, tmp_path / "photos.index").num_pictures == 600


def test_another_models_embedding_is_refused(photos_index: Path, tmp_path: Path) -> None:
    before = everything(photos_index)
    tokens = random_tokens(5)
    others = {
        "model": embedding(tmp_path / "other.parquet", tokens, model_sha256="b" * 64),
        "fit": embedding(tmp_path / "squashed.parquet", tokens, fit="squash"),
    }
    for name, other in others.items():
        with pytest.raises(SearchError, match=f"is the index of another {name} than the emb"):
            stellar.build_index(other, photos_index)
    assert everything(photos_index) == before


def test_an_embedding_of_fewer_tokens_is_refused_by_their_numbers(
    photos_index: Path, tmp_path: Path
) -> None:
    shapes = {"cls": [D], "tokens": [2, D], "maps": [2, SIDE, SIDE]}
    tokens, maps = random_tokens(5)[:, :2], random_maps(5)[:, :2]
    fewer = embedding(tmp_path / "fewer.parquet", tokens, maps, shapes=shapes)
    said = r"of another shape than the embedding's \(3 tokens a picture, not 2\); choose"
    with pytest.raises(SearchError, match=said):
        stellar.build_index(fewer, photos_index)


def test_what_is_no_index_stays_as_it_is(tmp_path: Path) -> None:
    file = embedding(tmp_path / "photos.parquet", random_tokens(5))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/diary.txt").write_text("dear diary")
    for out, said in (
        (tmp_path / "mine", "exists and is no index; choose another --out"),
        (file, "exists and is no index; choose another --out"),
        (tmp_path / "no/x.index", "no does not exist; create it"),
    ):
        with pytest.raises(SearchError, match=said):
            stellar.build_index(file, out)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_what_cannot_be_indexed_leaves_nothing(tmp_path: Path) -> None:
    nothing = embedding(tmp_path / "nothing.parquet", random_tokens(0), random_maps(0))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_text("no Parquet")
    photos = embedding(tmp_path / "photos.parquet", random_tokens(3))
    for source, error, said in (
        (nothing, SearchError, "has no pictures to index"),
        (tmp_path / "no.parquet", EmbeddingError, "no.parquet does not exist"),
        (tmp_path / "empty", EmbeddingError, r"empty holds no .parquet files"),
        (tmp_path / "text.parquet", EmbeddingError, "is not an embedding written by stellar"),
    ):
        with pytest.raises(error, match=said):
            stellar.build_index(source, tmp_path / "x.index")
    with pytest.raises(SearchError, match="photos is not a folder"):
        stellar.build_index(photos, tmp_path / "x.index", tmp_path / "photos")
    assert not (tmp_path / "x.index").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: [],
        lambda good: {key: good[key] for key in good if key != "model_sha256"},
        lambda good: good | {"fit": "zz"},
        lambda good: good | {"patch_size": 0},
        lambda good: good | {"image_size": "16"},
        lambda good: good | {"shapes": good["shapes"] | {"tokens": [K * D]}},
        lambda good: good | {"shapes": good["shapes"] | {"maps": [K, 2, 8]}},
        lambda _: metadata(shapes={"cls": [D], "tokens": [6, D], "maps": [6, SIDE, SIDE]}),
    ],
)
def test_metadata_of_no_model_are_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    about = {"stellar": json.dumps(spoil(metadata()))}
    pq.write_table(pq.read_table(file).replace_schema_metadata(about), file)
    said = "x.parquet is not an embedding written by stellar embed, or is damaged: its "
    with pytest.raises(EmbeddingError, match=said):
        stellar.build_index(file, tmp_path / "x.index")
    with pytest.raises(EmbeddingError, match=said):
        stellar.read_embeddings(file)
    assert not (tmp_path / "x.index").exists()


def column(values: list[Any], kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    """Puts a column of 5 rows in place of an embedding's, called `path` for text, else `cls`."""
    name = "cls" if pa.types.is_fixed_size_list(kind) else "path"

    def changed(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(name)
        return table.set_column(at, pa.field(name, kind), pa.array(values, kind))

    return changed


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (column([*"abcd", None], pa.string()), "some of its paths are null"),
        (column([1, 2, 3, 4, 5], pa.int64()), "its paths are int64, not text"),
        (column([None, *4 * [D * [1]]], pa.list_(pa.float16(), D)), "its vectors are null"),
        (column(5 * [[None, *D * [1]][:D]], pa.list_(pa.float16(), D)), "its vectors are null"),
        (
            column(5 * [D * [1]], pa.list_(pa.float32(), D)),
            "its cls are float, not half precision",
        ),
    ],
)
def test_columns_that_stellar_embed_does_not_write_are_refused(
    tmp_path: Path, spoil: Callable[[pa.Table], pa.Table], said: str
) -> None:
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    pq.write_table(spoil(pq.read_table(file)), file)
    said = f"x.parquet is not an embedding written by stellar embed, or is damaged: .*{said}"
    with pytest.raises(EmbeddingError, match=said):
        stellar.build_index(file, tmp_path / "x.index")
    with pytest.raises(EmbeddingError, match=said):
        stellar.read_embeddings(file)


def test_an_embedding_of_large_strings_is_one_too(tmp_path: Path) -> None:
    """As other programs that put tables together write them."""
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    pq.write_table(column(names(5), pa.large_string())(pq.read_table(file)), file)
    folder = stellar.build_index(file, tmp_path / "x.index").folder
    assert stellar.open_index(folder).paths == names(5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exact_up_to": None}, "exact_up_to must be a whole number of at least 0, got None"),
        ({"exact_up_to": float("nan")}, "exact_up_to must be a whole number .*, got nan"),
        ({"exact_up_to": -5}, "exact_up_to must be a whole number of at least 0, got -5"),
        ({"words": 3}, "words must be the file that stellar align wrote, or .* got 3"),
        ({"words": "no.safetensors"}, "but no.safetensors does not exist"),
    ],
)
def test_options_that_make_no_sense_leave_nothing(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    with pytest.raises(stellar.UserError, match=said):
        stellar.build_index(file, tmp_path / "x.index", **options)
    assert not (tmp_path / "x.index").exists()


def test_words_may_be_their_file(tmp_path: Path) -> None:
    origin = Origin("none", metadata()["model_sha256"], "crop")
    words = Words(np.eye(D, dtype=np.float32), np.zeros(D, np.float32), origin)
    words.save(tmp_path / "x.safetensors")
    file = embedding(tmp_path / "x.parquet", random_tokens(5))
    stellar.build_index(file, tmp_path / "x.index", words=tmp_path / "x.safetensors")
    index = stellar.open_index(tmp_path / "x.index")
    assert index.words is not None
    texts = random_tokens(1)[0].astype(np.float32)
    found = index.search_words(texts, str(tmp_path / "x.safetensors"))
    assert [hit.path for hit in found] == [hit.path for hit in index.search_words(texts, words)]


def test_words_that_may_not_be_read_are_not_called_missing(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    origin = Origin("none", metadata()["model_sha256"], "crop")
    file = open_folder / "x.safetensors"
    Words(np.eye(D, dtype=np.float32), np.zeros(D, np.float32), origin).save(file)
    file.chmod(0)
    with without_rights(), pytest.raises(SearchError, match=r"rs cannot be read \(Permission"):
        read_words(file)


def test_tokens_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    tokens = random_tokens(5)
    tokens[3, 1, 2] = np.nan
    file = embedding(tmp_path / "x.parquet", tokens)
    with pytest.raises(stellar.UserError, match=r"says of 003.jpg, its tokens, is not finite"):
        stellar.build_index(file, tmp_path / "x.index")


def test_a_damaged_index_gets_a_sentence(photos_index: Path) -> None:
    whole = (photos_index / WHOLE).read_text()
    for text in (
        "{",
        "[]",
        "[" * 100_000,
        '{"format": 3}',
        whole.replace('"num_pictures": 60', '"num_pictures": 9'),
    ):
        (photos_index / WHOLE).write_text(text)
        said = "its index.json is damaged" if "tokens" not in text else "it has .* rows"
        with pytest.raises(
            SearchError, match=rf"photos.index is damaged, or no index .*\({said}\); remove it"
        ):
            stellar.open_index(photos_index)
    (photos_index / WHOLE).write_text(whole.replace('"format": 3', '"format": 2'))
    with pytest.raises(SearchError, match="of another version of stellar"):
        stellar.open_index(photos_index)
    (photos_index / WHOLE).write_text(whole)
    data = sorted((photos_index / "tokens.lance/data").iterdir())[0]
    content = data.read_bytes()
    data.write_bytes(content[:20])
    with pytest.raises(SearchError, match="is damaged"):
        stellar.open_index(photos_index).search("003.jpg")
    data.unlink()
    with pytest.raises(SearchError, match="is damaged"):
        stellar.open_index(photos_index).search("003.jpg")


def test_what_lancedb_says_of_damage_is_one_sentence_without_its_source(photos_index: Path) -> None:
    for table, kind in (("tokens", "data"), ("pictures", "data"), ("pictures", "_versions")):
        for file in (photos_index / f"{table}.lance" / kind).iterdir():
            file.write_bytes(file.read_bytes()[:10])
        with pytest.raises(SearchError, match="is damaged") as caught:
            stellar.open_index(photos_index).search("003.jpg")
        for leaked in (".rs:", "rustc", ".cargo", "lance error", "LanceError", "Generic"):
            assert leaked not in str(caught.value)


def test_a_panic_of_lancedb_is_a_sentence(photos_index: Path, tmp_path: Path) -> None:
    """A type that there is none of, where its Rust code expects that there is."""
    for file in (photos_index / "pictures.lance/_versions").iterdir():
        file.write_bytes(file.read_bytes().replace(b"int32", b"ilt32"))
    said = r"photos.index is damaged, .* \(LanceDB cannot make sense of it\); remove it, and"
    with pytest.raises(SearchError, match=said):
        stellar.open_index(photos_index)
    with pytest.raises(SearchError, match=said):
        stellar.build_index(tmp_path / "photos.parquet", photos_index)


def test_damage_that_is_met_while_an_index_is_written_is_called_so(
    photos_index: Path, tmp_path: Path
) -> None:
    """An earlier version, which only who tidies up reads; and what names have no second copy."""
    (photos_index / "concepts.safetensors").touch()
    earlier = max((photos_index / "tokens.lance/_versions").glob("*.manifest"))
    earlier.write_bytes(earlier.read_bytes()[::-1])
    fewer = embedding(tmp_path / "photos.parquet", random_tokens(60)[:50])
    said = (
        r"photos.index is damaged, .*; remove it, but for concepts.safetensors, and stellar index"
    )
    with pytest.raises(SearchError, match=said):
        stellar.build_index(fewer, photos_index)


MEMORY = "lance error: LanceError(IO): Generic memory error: "
NOT_FOUND = "lance error: LanceError(IO): Generic N/A error: Wrapped error: Not found: "
INTERNAL = "lance error: Encountered internal error. Please file a bug report at https://x. No file"


@pytest.mark.parametrize(
    ("lance", "sentence"),
    [
        (f"{MEMORY}Invalid range 0..9, /rustc/2d81/ops/function.rs:250:5", "Invalid range 0..9"),
        (f"{NOT_FOUND}Wrapped error: Not found: x, /a/b.rs:1:2, /c.rs:1:2", "Not found: x"),
        (f"{INTERNAL}, /build/lance/src/dataset.rs:3640:29", "Encountered internal error"),
        ("Tail read position 18446744073709007894 is outside", "Tail read position ... is outside"),
        (r"Not 18446744073709551613.manifest, C:\io.rs:1:2", "Not 18446744073709551613.manifest"),
        ("/rustc/2d81/function.rs:250:5", "RuntimeError"),
    ],
)  # fmt: skip
def test_a_sentence_of_lancedb_is_what_went_wrong(lance: str, sentence: str) -> None:
    with pytest.raises(SearchError) as caught, reading(Path("x.index")):
        raise RuntimeError(lance)
    assert f"no index of pictures ({sentence}); remove it" in str(caught.value)


def test_an_index_that_may_not_be_read_is_not_called_damaged(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    """Nor is it to be removed."""
    file = embedding(open_folder / "photos.parquet", random_tokens(5))
    folder = stellar.build_index(file, open_folder / "photos.index").folder
    (tokens,) = (folder / "tokens.lance/data").iterdir()
    for closed, named in ((tokens, folder), (folder / WHOLE, folder / WHOLE), (folder, folder)):
        closed.chmod(0)
        with without_rights(), pytest.raises(SearchError) as caught:
            stellar.open_index(folder).search("003.jpg")
        said = f"{named} cannot be read (Permission denied); make it readable, or name another"
        assert str(caught.value) == said
    with without_rights(), pytest.raises(SearchError) as caught:
        stellar.build_index(file, folder)
    assert str(caught.value) == said


def test_a_place_where_no_index_may_be_written_is_said(
    open_folder: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    file = embedding(open_folder / "photos.parquet", random_tokens(5))
    (open_folder / "ro").mkdir()
    (open_folder / "ro").chmod(0o555)
    out = open_folder / "ro/x.index"
    with without_rights(), pytest.raises(stellar.UserError) as caught:
        stellar.build_index(file, out)
    assert str(caught.value) == f"{out} cannot be written (Permission denied); choose another --out"
    (open_folder / "ro").chmod(0)
    with without_rights(), pytest.raises(SearchError, match=r"ro cannot be read \(Permission"):
        stellar.build_index(file, out)


def test_an_index_that_is_replaced_while_it_is_open_is_to_be_opened_again(
    photos_index: Path, tmp_path: Path
) -> None:
    before = stellar.open_index(photos_index)
    shutil.rmtree(photos_index)
    stellar.build_index(embedding(tmp_path / "x.parquet", random_tokens(5)), photos_index)
    with pytest.raises(SearchError, match=r"replaced while it was open .*: open it again"):
        before.search("003.jpg")
    assert len(stellar.open_index(photos_index).search("003.jpg")) == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"num_pictures": None},
        {"num_pictures": 60.0},
        {"pictures": 0},
        {"tokens": -1},
        {"tokens": 99},
        {"tokens": 10**30},
        {"trained_on": "x"},
        {"adding": 1},
        {"unknown": 1},
        {"model": []},
        {"model": metadata(fit="zz")},
        {"model": metadata(model_sha256=None)},
        {"model": metadata(shapes={"cls": [D], "tokens": [K, D], "maps": [K, 2, 8]})},
        {"model": metadata(shapes={"cls": [8], "tokens": [K, 8], "maps": [K, SIDE, SIDE]})},
        {"model": metadata(patch_size=2, shapes={"cls": [D], "tokens": [K, D], "maps": [K, 8, 8]})},
    ],
)
def test_an_index_that_says_what_cannot_be_gets_a_sentence(
    photos_index: Path, changed: dict[str, Any]
) -> None:
    found = json.loads((photos_index / WHOLE).read_text())
    (photos_index / WHOLE).write_text(json.dumps(found | changed))
    with pytest.raises(SearchError, match=r"photos.index is damaged, or no index .*; remove it"):
        stellar.open_index(photos_index)


def cut_off(table: Path) -> None:
    for file in (table / "data").iterdir():
        file.write_bytes(file.read_bytes()[:100])


def remove(table: Path) -> None:
    shutil.rmtree(table / "data")


@pytest.mark.parametrize("name", ["pictures", "tokens"])
@pytest.mark.parametrize("spoil", [cut_off, remove])
def test_nothing_is_built_upon_a_damaged_index(
    photos_index: Path, tmp_path: Path, spoil: Callable[[Path], None], name: str
) -> None:
    spoil(photos_index / f"{name}.lance")
    more = embedding(tmp_path / "more.parquet", random_tokens(70))
    for file in (tmp_path / "photos.parquet", more):
        with pytest.raises(SearchError, match=r"photos.index is damaged, .*; remove it, and ste"):
            stellar.build_index(file, photos_index)


def test_thumbnails_and_sizes_come_from_the_folder(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "a").mkdir(parents=True)
    Image.new("RGB", (400, 200), "teal").save(photos / "a/wide.jpg")
    Image.new("RGB", (10, 30), "red").save(photos / "tall.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (photos / "broken.jpg").write_bytes(b"nothing")
    paths = ["../secret.png", "a/wide.jpg", "broken.jpg", "gone.jpg", "tall.png"]
    file = embedding(tmp_path / "x.parquet", random_tokens(5), paths=paths)
    result = stellar.build_index(file, tmp_path / "x.index", photos)
    assert result.num_without_thumbnail == 3
    hits = {hit.path: hit for hit in stellar.open_index(result.folder).search("tall.png")}
    assert {path: hit.size for path, hit in hits.items()} == {
        "../secret.png": None, "a/wide.jpg": (400, 200), "broken.jpg": None, "gone.jpg": None,
        "tall.png": (10, 30),
    }  # fmt: skip
    assert Image.open(BytesIO(hits["a/wide.jpg"].thumbnail)).size == (128, 64)


def test_thumbnails_of_jpeg_files_are_decoded_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of which but a part in 16 is ever in memory."""
    Image.new("RGB", (2000, 1500), "teal").save(tmp_path / "large.jpg")
    decoded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    made = thumbnail_of(BelowFolder(tmp_path), "large.jpg")
    assert (made.width, made.height) == (2000, 1500)
    assert set(decoded) == {(500, 375)}
    assert Image.open(BytesIO(made.jpeg)).size == (128, 96)


def test_sizes_and_thumbnails_come_later_too(tmp_path: Path) -> None:
    """For those that had none, in an index that has grown since, whose rows stay in their order."""
    tokens, maps = random_tokens(50), random_maps(50)
    file = embedding(tmp_path / "x.parquet", tokens[:40], maps[:40])
    folder = stellar.build_index(file, tmp_path / "x.index").folder
    before = stellar.open_index(folder)
    embedding(file, tokens, maps)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(10, 50):
        Image.new("RGB", (number, 20)).save(photos / f"{number:03d}.jpg")
    result = stellar.build_index(file, folder, photos)
    found = result.num_added, result.num_filled_in, result.num_without_thumbnail
    assert found == (10, 30, 10)
    hits = stellar.open_index(folder).search("003.jpg", where="left", count=50)
    assert [hit.size for hit in sorted(hits, key=lambda hit: hit.path)] == [
        None if number < 10 else (number, 20) for number in range(50)
    ]
    assert all(bool(hit.thumbnail) == (hit.size is not None) for hit in hits)
    once = stellar.build_index(file, tmp_path / "once.index")
    assert everything(folder) == everything(once.folder)
    assert [hit.size for hit in before.search("003.jpg", count=40)] == [None] * 40
    again = stellar.build_index(file, folder, photos)
    assert (again.num_filled_in, again.num_without_thumbnail) == (0, 10)


def test_a_folder_without_the_pictures_is_refused(tmp_path: Path) -> None:
    file = embedding(tmp_path / "x.parquet", random_tokens(5), row_group=2)
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (8, 8)).save(others / "a.jpg")
    said = "but .*others has none of the 5 pictures, as 000.jpg; name what they are in"
    with pytest.raises(SearchError, match=said):
        stellar.build_index(file, tmp_path / "x.index", others)
    assert not (tmp_path / "x.index").exists()
    Image.new("RGB", (8, 8)).save(others / "004.jpg")
    assert stellar.build_index(file, tmp_path / "x.index", others).num_without_thumbnail == 4


@pytest.mark.parametrize("named", ["shards", "shards/*.tar", "shards/shard-000000.tar"])
def test_sizes_and_thumbnails_come_from_shards(
    tmp_path: Path, small: ModelConfig, named: str
) -> None:
    """At once and later, as from a folder."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        Image.new("RGB", (20 + number, 10), "teal").save(photos / f"{number}.png")
    write_shards(photos, tmp_path / "shards")
    file = tmp_path / "x.parquet"
    stellar.embed(Stellar(small).eval(), tmp_path / named, file, num_workers=0)
    bare = stellar.build_index(file, tmp_path / "bare.index").folder
    result = stellar.build_index(file, bare, tmp_path / named)
    assert (result.num_filled_in, result.num_without_thumbnail) == (5, 0)
    once = stellar.build_index(file, tmp_path / "once.index", str(tmp_path / named)).folder
    for folder in (bare, once):
        index = stellar.open_index(folder)
        hits = index.search("shard-000000.tar/3.png", at=(10.0, 5.0))
        assert len({hit.size for hit in hits}) == 5
        (own,) = (hit for hit in hits if hit.path == "shard-000000.tar/3.png")
        assert own.size == (23, 10)
        assert Image.open(BytesIO(own.thumbnail)).size == (23, 10)
    with pytest.raises(
        SearchError, match=r"photos has none of the 5 pictures, as shard-000000.tar"
    ):
        stellar.build_index(file, tmp_path / "no.index", photos)
    assert not (tmp_path / "no.index").exists()


def test_an_index_that_was_killed_as_it_got_thumbnails_is_the_old_one(tmp_path: Path) -> None:
    """And the same call gives them."""
    file = embedding(tmp_path / "photos.parquet", random_tokens(20))
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    before, photos = everything(folder), tmp_path / "photos"
    photos.mkdir()
    for name in names(20):
        Image.new("RGB", (8, 8)).save(photos / name)
    assert run(KILLED, tmp_path, "1", "photos").returncode == -9
    assert everything(folder) == before
    assert stellar.build_index(file, folder, photos).num_filled_in == 20
    assert everything(folder) == before


@pytest.mark.parametrize("grown", [False, True])
def test_thumbnails_that_were_made_are_not_made_again(tmp_path: Path, grown: bool) -> None:
    """After a kill: the files of the first 40 of 50 pictures are gone by then, but for one."""
    tokens, maps = random_tokens(60), random_maps(60)
    file = embedding(tmp_path / "photos.parquet", tokens[:50], maps[:50], row_group=20)
    folder = stellar.build_index(file, tmp_path / "photos.index").folder
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 9)).save(photos / "000.jpg")
    for name in names(60)[1:]:
        shutil.copy(photos / "000.jpg", photos / name)
    assert run(KILLED, tmp_path, "3", "photos").returncode == -9
    for name in names(40)[1:]:
        (photos / name).unlink()
    if grown:
        embedding(file, tokens, maps, row_group=20)
    result = stellar.build_index(file, folder, photos)
    assert (result.num_filled_in, result.num_without_thumbnail) == (50, 0)
    index = stellar.open_index(folder)
    assert index.paths == names(len(index))
    assert {row.size for row in index.rows.some(np.arange(len(index)))} == {(8, 9)}


def test_a_picture_whose_name_is_no_utf_8_has_a_thumbnail(
    tmp_path: Path, small: ModelConfig
) -> None:
    """And so has one whose name has such an escape in it."""
    (tmp_path / "odd").mkdir()
    try:
        Image.new("RGB", (30, 20), "red").save(tmp_path / "odd" / os.fsdecode(b"\xff\xc3a.png"))
    except OSError:
        pytest.skip("this system has no such names")
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "odd/\\xff.png")
    embedded = stellar.embed(Stellar(small).eval(), tmp_path / "odd", tmp_path / "odd.parquet")
    result = stellar.build_index(embedded.file, tmp_path / "odd.index", tmp_path / "odd")
    assert (result.num_pictures, result.num_without_thumbnail) == (2, 0)
    hits = stellar.open_index(result.folder).search("\\xff\\xc3a.png")
    assert {hit.path: hit.size for hit in hits} == {
        "\\xff\\xc3a.png": (30, 20), "\\xff.png": (30, 20),
    }  # fmt: skip


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    file = embedding(tmp_path / "photos.parquet", random_tokens(5))
    folder = tmp_path / "photos.index"
    folder.mkdir()
    holding = (
        "import sys\nfrom pathlib import Path\nfrom stellar.storage import locked\n"
        f"lock = locked(Path({str(folder / 'lock')!r}))\nprint('held', flush=True)\n"
        "sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", holding], env=environment, stdin=-1, stdout=-1, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SearchError, match="another stellar index is at work"):
            stellar.build_index(file, folder)
        other.stdin.close()
    assert stellar.build_index(file, folder).num_pictures == 5


def test_a_build_stays_alone_after_it_published(photos_index: Path) -> None:
    """POSIX gives a lock up when its file is opened and closed once more."""
    asking = (
        "from pathlib import Path\nfrom stellar.storage import locked\n"
        f"locked(Path({str(photos_index / LOCK)!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    contents = read_contents(photos_index / WHOLE)
    assert contents is not None
    with locked(photos_index / LOCK):
        write_contents(photos_index / GROWING, contents)
        Growing(photos_index, contents).publish()
        refused = subprocess.run(
            [sys.executable, "-c", asking], env=environment, capture_output=True, text=True
        )
    assert "BlockingIOError" in refused.stderr


def test_names_of_tokens_in_a_row(photos_index: Path) -> None:
    """Token k of picture n is row n K + k, as long as nothing has been put in order."""
    from stellar.searching.tables import connect

    table = connect(photos_index).open_table("tokens").to_arrow()
    assert table["picture"].to_pylist() == np.repeat(np.arange(60), K).tolist()
    assert table["token"].to_pylist() == list(range(K)) * 60
