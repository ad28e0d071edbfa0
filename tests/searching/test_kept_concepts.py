"""Concepts that are kept in an index: their names, numbers and centres last."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_hand import SIDE, D, K, embedding
from safetensors.numpy import save_file

import stellar
from stellar.cli import main
from stellar.searching import Index, Query, SearchError

pytest.importorskip("lancedb")
THINGS = np.eye(3, D)


def pictures(folder: Path, count: int, things: list[int], name: str = "x") -> Path:
    """An embedding of pictures whose tokens are, each near one of some things, three alike parts of
    them; the first has most of each.
    """
    rng = np.random.default_rng(count)
    tokens = np.stack([THINGS[things]] * count) + 0.02 * rng.normal(size=(count, K, D))
    maps = np.zeros((count, K, SIDE, SIDE))
    maps[:, 0, :2], maps[:, 1, 2:, :2], maps[:, 2, 2:, 2:] = 1, 1, 1
    paths = [f"{name}{number:03}.png" for number in range(count)]
    return embedding(folder / f"{name}.parquet", tokens, maps, paths)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Of ten pictures with three things each."""
    made = stellar.build_index(pictures(tmp_path, 10, [0, 1, 2]), tmp_path / "x.index")
    return stellar.open_index(made.folder)


def thing_of(centre: np.ndarray) -> int:
    """Which thing it is the centre of."""
    return int(np.abs(centre[:3]).argmax())


def test_names_and_numbers_last_when_pictures_come_in(index: Index, tmp_path: Path) -> None:
    found = index.concepts(3)
    index.keep_concepts(found.concepts, {1: " boat ", 2: "open sea"})
    things = [thing_of(each.centre) for each in found.concepts]

    # Of the new ones, what was rarest explains most.
    more = pictures(tmp_path, 40, [things[2]] * 3, "y")
    stellar.build_index(more, index.folder, add=True)
    again = stellar.open_index(index.folder).concepts()
    assert [each.name for each in again.concepts] == ["", "boat", "open sea"]
    assert [thing_of(each.centre) for each in again.concepts] == things
    assert [each.num_pictures for each in again.concepts] == [10, 10, 50]
    assert again.shares.shape == (50, 3)
    assert stellar.open_index(index.folder).concepts(3).concepts[0].name == ""


def test_those_of_another_index_may_be_of_no_picture(index: Index, tmp_path: Path) -> None:
    kept = index.keep_concepts(index.concepts(3), {0: "boat"})
    others = [number for number in range(3) if number != thing_of(kept.centres[0])]
    made = stellar.build_index(
        pictures(tmp_path, 9, [*others, others[0]], "z"), tmp_path / "z.index"
    )
    shutil.copy(index.folder / "concepts.safetensors", made.folder)
    only = stellar.open_index(made.folder)
    boat = only.concepts().concepts[0]
    assert (boat.name, boat.num_pictures, boat.share, boat.cosine) == ("boat", 0, 0, 0)
    assert boat.examples == ()
    assert boat.where.shape == (SIDE, SIDE)
    assert not boat.where.any()
    page = tmp_path / "c.html"
    assert main(["concepts", str(only.folder), "--out", str(page)]) == 0
    assert "boat" in page.read_text("utf-8")


def test_they_are_searched_for_by_name_and_number(index: Index, tmp_path: Path) -> None:
    kept = index.keep_concepts(index.concepts(3), {0: "boat", 2: "Sea"})
    more = pictures(tmp_path, 10, [thing_of(kept.centres[0])] * 3, "y")
    index = stellar.open_index(stellar.build_index(more, index.folder, add=True).folder)

    by_centre = index.find(Query(kept.centres[:1], counted=True))
    assert index.search(concept=["BOAT"]) == index.search(concept=["0"]) == by_centre
    assert index.search(concept=[0]) == index.search(concept="boat") == by_centre
    only = index.search(concept=["boat"], without=["sea"])
    assert {hit.path[0] for hit in only} == {"y"}
    assert {hit.path[0] for hit in index.search(concept=["boat", "sea"])} == {"x"}
    hits = index.search("x003.png", token=[1], concept=["sea"])
    assert [len(hit.matches) for hit in hits] == [2] * 10
    assert index.search("x003.png", token=[1], without=[("x003.png", 2), 2], count=1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda i: i.search(concept=["bot"]), "no concept named bot; did you mean 'boat'"),
        (lambda i: i.search(concept=["tree"]), "no concept named tree; there is boat$"),
        (lambda i: i.search(concept=[3]), "has the concepts 0 to 2, got 3"),
        (lambda i: i.search(concept=[1.5]), "a concept is a name or a number, .*, got 1.5"),
        (lambda i: i.search(concept=[True]), "a concept is a name or a number, .*, got True"),
        (lambda i: i.search(concept=""), "a concept is a name or a number, .*, got ''"),
        (lambda i: i.search(concept=None), "concept must be names or numbers, got None"),
        (lambda i: i.search(), "needs a picture to go by, like=, or a concept"),
        (lambda i: i.search(token=[1], concept=[1]), "token and at are of a picture; name it with"),
        (lambda i: i.search("x001.png", concept=[1]), "name a token of the picture"),
        (lambda i: i.search(concept=[1], without=["bot"]), "no concept named bot"),
    ],
)  # fmt: skip
def test_what_is_no_concept_is_said(
    index: Index, call: Callable[[Index], Any], sentence: str
) -> None:
    index.keep_concepts(index.concepts(3), {1: "boat"})
    with pytest.raises(SearchError, match=sentence):
        call(index)


def test_without_kept_ones_it_is_said_how_to_keep_some(index: Index) -> None:
    assert index.kept_concepts is None
    with pytest.raises(SearchError, match=r"keeps no concepts; .* stellar concepts \S+ --keep$"):
        index.search(concept=["boat"])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("7", "7 is no name for a concept: concepts without a name, and columns of tables, are"),
        ("Concept_3", "are called so"),
        ("concept 3", "are called so"),
        ("path", "are called so"),
        ("a:b", "it has a colon, as a picture's token has, photo.jpg:3; choose another"),
        ("two\nlines", r"two\\nlines is no name .*: some of it cannot be printed on one line"),
        ("\u202eright", "cannot be printed"),
        ("\ud800", "cannot be printed"),
        ("x" * 61, "it has 61 letters, and 60 are the most"),
        (5, "a concept's name is a text, got 5"),
        (None, "a concept's name is a text, got None"),
    ],
)
def test_what_is_no_name_is_refused_and_nothing_kept(index: Index, name: Any, wrong: str) -> None:
    with pytest.raises(SearchError, match=wrong):
        index.keep_concepts(index.concepts(3), {0: name})
    assert index.kept_concepts is None


def test_names_are_the_same_however_they_are_typed(index: Index) -> None:
    """With composed and decomposed accents; and what emoji and scripts need is no fault."""
    kept = index.keep_concepts(
        index.concepts(3), {0: "e\u0301te\u0301", 1: "\U0001f468\u200d\U0001f469"}
    )
    assert kept.names[0] == "\xe9t\xe9"
    for typed in ("e\u0301te\u0301", "\xe9t\xe9", "\xc9T\xc9"):
        assert kept.number_of(typed) == 0
        with pytest.raises(SearchError, match="two concepts would be named"):
            kept.renamed({2: typed})
    assert kept.number_of("\U0001f468\u200d\U0001f469") == 1
    assert index.keep_concepts(index.concepts(), {"\xe9t\xe9": "winter"}).names[0] == "winter"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("concepts", "sentence"),
    [
        (lambda _: [], "are what Index.concepts gives, got "),
        (lambda _: None, "are what Index.concepts gives, got None"),
        (lambda c: c.concepts[0], "are what Index.concepts gives, got Concept"),
        (lambda _: [1, 2], r"are what Index.concepts gives, got \[1, 2\]"),
        (lambda _: "boat", "are what Index.concepts gives, got 'boat'"),
        (lambda c: c.centres, "are what Index.concepts gives, got array"),
        (lambda c: [replace(c.concepts[0], centre=np.full(D, np.nan, "f"))], "not finite"),
        (lambda c: [replace(c.concepts[0], centre=np.ones(D - 1, "f"))], "of 24 finite numbers"),
        (lambda c: [replace(c.concepts[0], name="a:b")], "it has a colon"),
    ],
)
def test_what_are_no_concepts_of_the_index_is_refused_and_nothing_kept(
    index: Index, concepts: Callable[[Any], Any], sentence: str
) -> None:
    with pytest.raises(SearchError, match=sentence):
        index.keep_concepts(concepts(index.concepts(3)))
    assert index.kept_concepts is None


@pytest.mark.usefixtures("unchecked")
def test_names_are_by_number(index: Index) -> None:
    wrong: list[Any] = [["boat"], "boat", [(1, "boat")]]
    for names in wrong:
        with pytest.raises(SearchError, match=r"names are by number, as \{3: 'boat'\}, got"):
            index.keep_concepts(index.concepts(3), names)


def test_centres_are_kept_of_length_one(index: Index) -> None:
    found = index.concepts(3)
    kept = index.keep_concepts([replace(each, centre=9 * each.centre) for each in found.concepts])
    np.testing.assert_allclose(kept.centres, found.centres, atol=1e-6)


def test_only_tokens_that_count_answer_to_concepts(tmp_path: Path) -> None:
    """The second picture has as much of the thing in a token that explains next to nothing."""
    tokens = np.stack([THINGS[[0, 1, 2]]] * 2)
    maps = np.zeros((2, K, SIDE, SIDE))
    maps[0, 0, :2], maps[0, 1, 2:] = 1, 1
    maps[1, 1] = 1
    file = embedding(tmp_path / "x.parquet", tokens, maps, ["has.png", "has not.png"])
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    found = index.concepts(2)
    thing = next(n for n, each in enumerate(found.concepts) if each.num_pictures == 1)
    index.keep_concepts(found, {thing: "boat"})
    scores = {hit.path: hit.score for hit in index.search(concept="boat")}
    assert scores == {
        "has.png": pytest.approx(1, abs=1e-3),
        "has not.png": pytest.approx(0, abs=1e-3),
    }
    other = 1 - thing
    scores = {hit.path: hit.score for hit in index.search(concept=other, without=["boat"])}
    assert scores == {
        "has.png": pytest.approx(0, abs=1e-3),
        "has not.png": pytest.approx(1, abs=1e-3),
    }
    # A token is asked for as before, also where a concept is not wanted.
    (own, _) = index.search("has not.png", without=["boat"])
    assert (own.path, own.score) == ("has not.png", pytest.approx(1, abs=1e-3))
    assert [hit.score for hit in index.search("has.png", token=[0])] == pytest.approx(
        [1, 1], abs=1e-3
    )


def test_two_have_no_name_in_common(index: Index) -> None:
    index.keep_concepts(index.concepts(3), {0: "boat"})
    with pytest.raises(SearchError, match="two concepts would be named boat"):
        index.keep_concepts(index.concepts(), {1: "Boat"})
    # One takes the other's.
    kept = index.keep_concepts(index.concepts(), {0: "", 1: "Boat"})
    assert kept.names == ("", "Boat", "")


def test_names_are_never_forgotten(index: Index) -> None:
    found = index.concepts(3)
    index.keep_concepts(index.concepts(2))  # these have no names to be lost
    index.keep_concepts(found, {0: "boat"})
    index.keep_concepts(found, {1: "sea"})  # who found them before the first had its name
    assert index.keep_concepts(found).names == ("boat", "sea", "")
    with pytest.raises(SearchError, match=r"other concepts already, named boat, sea; .*remove"):
        index.keep_concepts(index.concepts(2))
    assert index.concepts().concepts[0].name == "boat"


def test_a_damaged_file_and_another_models_are_said(index: Index) -> None:
    file = index.folder / "concepts.safetensors"
    index.keep_concepts(index.concepts(3), {0: "boat"})
    whole = file.read_bytes()
    for damage in (whole[:-5], b"", b"nonsense" * 100, whole.replace(b"centres", b"centred")):
        file.write_bytes(damage)
        with pytest.raises(SearchError, match=r"\S+ is damaged, or not what stellar concepts wrot"):
            index.concepts()
    good = '{"format": 1, "names": ["a"], "model_sha256": "x"}'
    for about, shape in (
        ("{}", (1, D)),
        ("[]", (1, D)),
        (good.replace('"a"', "1"), (1, D)),
        (good.replace('"x"', "1"), (1, D)),
        (good, (2, D)),
        (good, (1, D - 1)),
        (good, (D,)),
        (good.replace('"a"', ""), (0, D)),
    ):
        save_file({"centres": np.zeros(shape, "f")}, file, {"stellar_concepts": about})
        with pytest.raises(SearchError, match=r"\S+ is damaged, or not what stellar concepts wrot"):
            index.search(concept=[0])
    save_file({"centres": np.zeros((1, D), "f")}, file, {"stellar_concepts": good})
    with pytest.raises(SearchError, match="is of another model"):
        index.concepts()
    later = good.replace("1", "2")
    save_file({"centres": np.zeros((1, D), "f")}, file, {"stellar_concepts": later})
    with pytest.raises(SearchError, match="of another version of stellar"):
        index.concepts()
    assert index.concepts(3).concepts[0].num_pictures == 10  # which reads no file


def test_the_command_names_and_keeps(
    index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "c.html")]
    call = ["concepts", str(index.folder), *out]
    assert main([*call, "--count", "3", "--name", "1=boat", "--name", "2=open sea"]) == 0
    assert main([*call, "--table", str(tmp_path / "shares.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == lines[5:9]
    assert lines[0].split()[:3] == ["concept", "name", "pictures"]
    assert lines[2].split()[:2] == ["1", "boat"]
    header = (tmp_path / "shares.csv").read_text("utf-8").splitlines()[0]
    assert header == '"path","concept_0","boat","open sea"'
    page = (tmp_path / "c.html").read_text("utf-8")
    assert f"stellar search {index.folder} &#x27;--concept=open sea&#x27;" in page
    assert f"stellar search {index.folder} --concept=0" in page

    hits = tmp_path / "h.html"
    search = ["search", str(index.folder), "--concept", "open sea", "--without", "boat"]
    assert main([*search, "--where", "right", "--out", str(hits)]) == 0
    assert "Most like open sea, at right, without boat" in hits.read_text("utf-8")
    assert main(["search", str(index.folder), "boat"]) == 1
    assert "knows no words" in (told := capsys.readouterr().err)
    assert told.endswith("; --concept finds boat\n")
    assert main([*call, "--count", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == lines[:4]
    assert main([*call, "--count", "2"]) == 0
    assert "these are not the concepts that" in capsys.readouterr().err
    assert main([*call, "--name", "1=", "--name", "open sea=sea"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:4]] == [
        "10", "10", "sea",
    ]  # fmt: skip


def test_nameless_ones_are_kept_no_more_with_a_word(
    index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["concepts", str(index.folder), "--out", str(tmp_path / "c.html"), "--keep"]
    assert main([*call, "--count", "3"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*call, "--count", "2"]) == 0
    assert "kept 3 others before, without names" in capsys.readouterr().err
    assert stellar.open_index(index.folder).concepts().centres.shape == (2, D)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--like x001.png --concept 1", "--concept is found beside tokens"),
        ("sea --concept 1", "goes by concepts or by words"),
        ("--concept 1 --token 2", "--token, --at and --model are for --like PATH, not for concept"),
        ("--concept 1 --without x001.png", "lacks a token; name one of it, as x001.png:3"),
        (
            "--concept 1 --without :3",
            "--without is a concept, or a picture and a token, as photo.jpg:3",
        ),
        ("--concept 1 --words x", "--words is for a search by words"),
        ("--without 1", "say what is, with --like PATH, --concept or in words"),
    ],
)
def test_what_does_not_go_together_is_said(
    index: Index, more: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    index.keep_concepts(index.concepts(3))
    assert main(["search", str(index.folder), *more.split()]) != 0
    assert sentence in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["boat"], "--name is a concept's number and its name, as 3=boat, got boat"),
        (["=boat"], "--name is a concept's number and its name, as 3=boat, got =boat"),
        (["x=boat"], "the index has no concept named x; there is none with a name"),
        (["-1=boat"], "the index has no concept named -1"),
        (["1=boat", "1=sea"], "--name calls 1 both boat and sea; give it one"),
    ],
)
def test_wrong_names_are_sentences(
    index: Index, names: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--name={name}" for name in names]
    assert main(["concepts", str(index.folder), "--count", "3", *given]) == 1
    assert sentence in capsys.readouterr().err
    assert index.kept_concepts is None
