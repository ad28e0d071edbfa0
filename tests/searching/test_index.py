"""Queries, on embeddings whose tokens and maps are known."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import SIDE, D, K, embedding, names, random_maps, random_tokens
from PIL import Image

import stellar
from stellar.config import ModelConfig
from stellar.model import Stellar
from stellar.searching import Query, SearchError
from stellar.searching import index as module
from stellar.searching.candidates import every_picture, nearest_pictures
from stellar.searching.growing import TOKENS_A_CELL
from stellar.searching.looking import EFFORTS, ROUNDED
from stellar.searching.places import PLACES
from stellar.searching.scoring import score
from stellar.searching.vectors import unit
from stellar.searching.words import Origin, Words

pytest.importorskip("lancedb")


def planted(paths: list[str], token: np.ndarray, places: list[str]) -> tuple[np.ndarray, ...]:
    """Random pictures, of which the first few hold the token as their token 1, each at a place."""
    tokens, maps = random_tokens(len(paths)), random_maps(len(paths))
    for picture, place in enumerate(places):
        tokens[picture, 1] = token + 0.05 * np.random.default_rng(picture).normal(size=D)
        maps[picture] = np.where(within(place), [[[0.05]], [[0.9]], [[0.05]]], 1e-3)
    return tokens, maps


def within(place: str) -> np.ndarray:
    """The patches whose centres lie there."""
    x0, y0, x1, y1 = PLACES[place]
    centres = (np.arange(SIDE) + 0.5) / SIDE
    rows, columns = ((centres > a) & (centres < b) for a, b in ((y0, y1), (x0, x1)))
    return np.outer(rows, columns)


def paths_of(hits: list[stellar.searching.Hit]) -> list[str]:
    return [hit.path for hit in hits]


def test_a_pictures_own_tokens_find_it_first(photos_index: Path) -> None:
    index = stellar.open_index(photos_index)
    assert len(index) == 60
    assert index.paths == names(60)
    for path in names(60)[::7]:
        best, *others = index.search(path, count=5)
        assert (best.path, round(best.score, 3)) == (path, 1)
        assert [match.token for match in best.matches] == [0, 1, 2]
        assert all(hit.score < 0.9 for hit in others)
        (best, *_) = index.search(path, token=[2], count=3)
        assert (best.path, best.matches[0].token) == (path, 2)


def test_hits_are_those_of_the_formula(photos_index: Path) -> None:
    tokens, maps = random_tokens(60).astype(np.float16), random_maps(60).astype(np.float16)
    index = stellar.open_index(photos_index)
    rng = np.random.default_rng(5)
    for box in (None, *PLACES.values()):
        query = Query(unit(rng.normal(size=(2, D))), unit(rng.normal(size=(1, D))), box)
        expected = score(query, np.arange(60), unit(tokens), maps).total
        found = index.find(query, 60)
        assert sorted(paths_of(found)) == names(60)
        np.testing.assert_allclose(
            [hit.score for hit in found], np.sort(expected)[::-1], rtol=1e-5, atol=1e-6
        )
        for hit in index.find(query, 3):
            assert hit.score == pytest.approx(expected[int(hit.path[:3])], abs=1e-6)


def test_a_match_says_where_it_lies(photos_index: Path) -> None:
    (hit,) = stellar.open_index(photos_index).search("004.jpg", token=[1], count=1)
    (match,) = hit.matches
    expected = random_maps(60)[4, 1].astype(np.float16)
    np.testing.assert_array_equal(match.map, expected)
    assert match.share == pytest.approx(float(expected.mean()), rel=1e-3)
    assert 0 <= match.box[0] < match.centre[0] < match.box[2] <= 1
    assert (hit.size, hit.thumbnail) == (None, b"")


def test_a_planted_token_is_found_at_its_place(tmp_path: Path) -> None:
    thing, places = np.random.default_rng(9).normal(size=D), ["left", "right", "upper-right"]
    tokens, maps = planted(names(40), thing, places)
    file = embedding(tmp_path / "x.parquet", tokens, maps)
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    for where, expected in (
        ("left", ["000.jpg"]),
        ("right", ["001.jpg", "002.jpg"]),
        ("upper-right", ["002.jpg", "001.jpg"]),
        ((0.0, 0.5, 0.5, 1.0), ["000.jpg"]),
    ):
        hits = index.search("000.jpg", token=[1], where=where, count=3)
        assert paths_of(hits)[: len(expected)] == expected, where
        assert all(hit.score < 0.4 for hit in hits[len(expected) :]), where
    anywhere = index.search("000.jpg", token=[1], count=3)
    assert sorted(paths_of(anywhere)) == ["000.jpg", "001.jpg", "002.jpg"]


def test_all_of_several_tokens_have_to_be_there(tmp_path: Path) -> None:
    tokens = random_tokens(30)
    tokens[7, 2], tokens[8, 2], tokens[8, 0] = tokens[0, 0], tokens[0, 0], tokens[0, 1]
    file = embedding(tmp_path / "x.parquet", tokens)
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    assert set(paths_of(index.search("000.jpg", token=[0], count=3))) == {
        "000.jpg", "007.jpg", "008.jpg",
    }  # fmt: skip
    first, second, third = index.search("000.jpg", token=[0, 1], count=3)
    assert {first.path, second.path} == {"000.jpg", "008.jpg"}
    assert [match.token for match in second.matches] == [2, 0]
    assert second.score > 0.99
    assert third.score < 0.8  # also of 007.jpg, which has one of both


def test_what_is_not_wanted_is_pushed_down(tmp_path: Path) -> None:
    tokens = random_tokens(30)
    tokens[7, 2], tokens[8, 2], tokens[8, 0] = tokens[0, 0], tokens[0, 0], tokens[3, 1]
    file = embedding(tmp_path / "x.parquet", tokens)
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    hits = index.search("000.jpg", token=[0], without=[("003.jpg", 1)], count=30)
    assert set(paths_of(hits)[:2]) == {"000.jpg", "007.jpg"}
    pushed = next(hit for hit in hits if hit.path == "008.jpg")
    assert pushed.score == pytest.approx(0, abs=1e-3)


def test_of_equals_the_earlier_comes_first(tmp_path: Path) -> None:
    file = embedding(tmp_path / "x.parquet", np.repeat(random_tokens(1), 20, axis=0))
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    assert paths_of(index.search("015.jpg", count=4)) == names(4)


@pytest.fixture
def searched_by_files(tmp_path: Path, small: ModelConfig) -> Callable[[], tuple[Path, Stellar]]:
    """An index of pictures, and the model that it was made with."""

    def made(tokens: int | None = None) -> tuple[Path, Stellar]:
        model, folder = Stellar(small).eval(), tmp_path / "photos"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for number in range(6):
            pixels = rng.integers(0, 256, (20, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        embedded = stellar.embed(model, folder, tmp_path / "photos.parquet", tokens=tokens)
        stellar.build_index(embedded.file, tmp_path / "photos.index", folder)
        return tmp_path / "photos.index", model

    return made


def test_a_file_finds_itself(tmp_path: Path, searched_by_files: Callable) -> None:
    folder, model = searched_by_files()
    index = stellar.open_index(folder)
    (tmp_path / "photos/3.png").rename(tmp_path / "new.png")
    (hit,) = index.search(tmp_path / "new.png", model=model, count=1)
    assert (hit.path, hit.size) == ("3.png", (32, 20))
    assert hit.score == pytest.approx(1, abs=2e-3)
    assert hit.thumbnail.startswith(b"\xff\xd8")
    with pytest.raises(stellar.InputError, match=r"cannot read .*nowhere.png"):
        index.search("nowhere.png", model=model)
    with torch.no_grad():
        model.encoder.cls_token += 1
    with pytest.raises(SearchError, match=r"made with another model \(\w{12}\) than this one \("):
        index.search(tmp_path / "new.png", model=model)


def test_with_a_model_a_file_comes_before_a_picture_of_its_name(
    tmp_path: Path, searched_by_files: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = searched_by_files()
    index = stellar.open_index(folder)
    (tmp_path / "photos/3.png").rename(tmp_path / "0.png")
    monkeypatch.chdir(tmp_path)
    assert index.search("0.png", model=model, count=1)[0].path == "3.png"
    assert index.search("0.png", count=1)[0].path == "0.png"
    assert index.search("4.png", model=model, count=1)[0].path == "4.png"  # no file here


def test_a_picture_may_be_named_as_it_is_printed(tmp_path: Path) -> None:
    paths = ["tab\there.png", "new\nline.png", "plain.png"]
    file = embedding(tmp_path / "x.parquet", random_tokens(3), paths=paths)
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    for path, printed in zip(paths, ("tab\\there.png", "new\\nline.png", "plain.png"), strict=True):
        assert index.search(printed, count=1)[0].path == path
        assert index.search(path, count=1)[0].path == path


def test_a_file_is_asked_with_as_many_tokens_as_were_kept(
    tmp_path: Path, searched_by_files: Callable
) -> None:
    folder, model = searched_by_files(tokens=2)
    index = stellar.open_index(folder)
    within = index.search("3.png", count=6)
    (tmp_path / "photos/3.png").rename(tmp_path / "new.png")
    hits = index.search(tmp_path / "new.png", model=model, count=6)
    assert hits[0].path == "3.png"
    assert hits[0].score == pytest.approx(1, abs=2e-3)
    assert [hit.path for hit in hits] == [hit.path for hit in within]
    with pytest.raises(SearchError, match="has the tokens 0 to 1, got token 2"):
        index.search(tmp_path / "new.png", token=[2], model=model)


def test_a_pixel_chooses_the_token_that_explains_it(searched_by_files: Callable) -> None:
    """Pictures of 32 x 20 pixels, of which the model saw the square from x = 6 to 26."""
    folder, _ = searched_by_files()
    index = stellar.open_index(folder)
    example = index.example("2.png")
    for x, y, row, column in ((6, 0, 0, 0), (25, 19, 3, 3), (11, 4, 0, 1), (10, 5, 1, 0)):
        expected = int(example.maps[:, row, column].argmax())
        (hit,) = index.search("2.png", at=(float(x), float(y)), count=1)
        assert (hit.path, hit.matches[0].token) == ("2.png", expected)
    said = (
        "the pixel 5,3 lies outside of what the model saw: 2.png has 32 x 20 pixels, of which it "
        "saw 20 x 20 from 6,0 on"
    )
    with pytest.raises(SearchError, match=said):
        index.search("2.png", at=(5.0, 3.0))
    with pytest.raises(SearchError, match="26,3 lies outside"):
        index.search("2.png", at=(26.0, 3.0))


def test_an_example_is_of_the_model_of_the_index(photos_index: Path, tmp_path: Path) -> None:
    other = embedding(tmp_path / "o.parquet", random_tokens(6, seed=1), model_sha256="b" * 64)
    stellar.build_index(other, tmp_path / "o.index")
    example = stellar.open_index(tmp_path / "o.index").example("001.jpg")
    assert len(stellar.open_index(tmp_path / "o.index").search(example, count=2)) == 2
    said = (
        r"the tokens of 001.jpg are of another model \(b{12}\) than the index \(a{12}\); make the"
    )
    with pytest.raises(SearchError, match=said):
        stellar.open_index(photos_index).search(example, token=[1])


def test_a_model_beside_an_example_has_nothing_to_do(searched_by_files: Callable) -> None:
    folder, model = searched_by_files()
    index = stellar.open_index(folder)
    with pytest.raises(SearchError, match="an example has its tokens already, so leave the model"):
        index.search(index.example("2.png"), model=model)


def test_mistakes_get_a_sentence(photos_index: Path, tmp_path: Path) -> None:
    index = stellar.open_index(photos_index)
    for call, said in (
        (
            lambda: index.search("03.jpg"),
            r"03.jpg is not in .*photos.index; did you mean '\d+.jpg'",
        ),
        (lambda: index.search("my/photos/003.jpg"), r"did you mean '003.jpg'\?"),
        (
            lambda: index.search("a cat.jpg"),
            "a cat.jpg is not in .*; to search by a file, give the",
        ),
        (lambda: index.search("~"), "~ is not in .*; to search by a file, give the model"),
        (lambda: index.search(""), "expected the path of a picture, got ''"),
        (lambda: index.search("003.jpg", token=[3]), "003.jpg has the tokens 0 to 2, got token 3"),
        (lambda: index.search("003.jpg", token=[-1]), "got token -1"),
        (lambda: index.search("003.jpg", without=[("4", 0)]), "4 is not in"),
        (
            lambda: index.search("003.jpg", count=0),
            "must be a whole number of at least 1, got 0",
        ),
        (lambda: index.search("003.jpg", where="up"), "a place is left, right"),
        (lambda: index.search("003.jpg", where=(0.5, 0.0, 0.2, 1.0)), "got 0.5,0,0.2,1"),
        (
            lambda: index.search("003.jpg", at=(1.0, 1.0)),
            "size of 003.jpg is not known.*--pictures",
        ),
        (lambda: stellar.open_index(tmp_path / "no.index"), "no.index does not exist"),
        (lambda: stellar.open_index(tmp_path), "is no index made by stellar index"),
        (lambda: stellar.open_index(tmp_path / "photos.parquet"), "is no index made"),
    ):
        with pytest.raises(stellar.UserError, match=said):
            call()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "options",
    [
        {"token": np.array([2, 1]), "without": [["004.jpg", np.int64(0)]]},
        {
            "token": np.array([2, 1], np.uint8),
            "without": np.array([("004.jpg", 0)], dtype=object),
        },
        {"token": iter((2, np.int64(1))), "without": iter([("004.jpg", 0)])},
        {"token": torch.tensor([2, 1]), "without": [("004.jpg", 0)]},
    ],
)
def test_tokens_may_come_from_numpy_or_a_tensor(photos_index: Path, options: dict) -> None:
    index = stellar.open_index(photos_index)
    expected = index.search("003.jpg", token=[2, 1], without=[("004.jpg", 0)], count=5)
    found = index.search("003.jpg", count=5, **options)
    assert [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in expected]


def test_an_index_can_be_sent_to_another_process(photos_index: Path) -> None:
    index = stellar.open_index(photos_index)
    expected = index.search("003.jpg", token=[2])
    for copy in (pickle.loads(pickle.dumps(index)), deepcopy(index)):
        assert copy.search("003.jpg", token=[2]) == expected


def test_what_holds_arrays_can_be_compared(photos_index: Path) -> None:
    index = stellar.open_index(photos_index)
    first, again, other = (index.search(path)[0] for path in ("003.jpg", "003.jpg", "004.jpg"))
    assert first == again != other
    assert len({first, again, other}) == 2
    words = Words(np.ones((2, D), np.float32), np.ones(2, np.float32), Origin("t", "m", "crop"))
    query = Query(np.ones((1, D), np.float32), np.zeros((0, D), np.float32))
    embedded = stellar.read_embeddings(photos_index.with_name("photos.parquet"))
    for one in (words, query, embedded):
        assert one != deepcopy(one)
        assert one in [one]


@pytest.mark.usefixtures("unchecked")
def test_a_box_may_be_a_tensor(photos_index: Path) -> None:
    index = stellar.open_index(photos_index)
    box: Any = torch.tensor([0, 0, 0.5, 0.5])
    found, expected = (index.search("003.jpg", where=where) for where in (box, "upper-left"))
    assert [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in expected]


@pytest.mark.usefixtures("unchecked")
def test_a_pixel_may_come_from_numpy_or_a_tensor(searched_by_files: Callable) -> None:
    index = stellar.open_index(searched_by_files()[0])
    (expected,) = index.search("2.png", at=(10.0, 5.0), count=1)
    pixels: list[Any] = [
        np.array([10, 5]), np.array([10.0, 5.0], np.float32), [10, 5], (np.int64(10), 5),
        torch.tensor([10.0, 5.0]),
    ]  # fmt: skip
    for at in pixels:
        (hit,) = index.search("2.png", at=at, count=1)
        assert hit.matches[0].token == expected.matches[0].token


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": 3}, r"token must be a list of tokens, as \[3\] is one, got 3"),
        ({"token": "12"}, "token must be a list of tokens, .* got '12'"),
        ({"token": np.array(3)}, r"token must be a list of tokens, .* got array\(3\)"),
        ({"token": ["1"]}, "has the tokens 0 to 2, got token '1'"),
        ({"token": [1.0]}, "has the tokens 0 to 2, got token 1.0"),
        ({"token": np.array([1.0])}, "has the tokens 0 to 2, got token .*1.0"),
        ({"at": "5,5"}, r"at must be a pixel \(x, y\), got '5,5'"),
        ({"at": (5, "5")}, "at must be a pixel"),
        ({"at": 5}, r"at must be a pixel \(x, y\), got 5"),
        ({"at": np.zeros(3)}, "at must be a pixel"),
        ({"without": 4}, r"tokens \(path, number\) and concepts, .* got 4"),
        ({"without": "004.jpg:2"}, r"tokens \(path, number\) and concepts, .* got '004.jpg:2'"),
        ({"without": ["004.jpg:2"]}, r"tokens \(path, number\) and concepts, .* got '004.jpg:2'"),
        ({"without": [("004.jpg", 2.0)]}, "004.jpg has the tokens 0 to 2, got token 2.0"),
        ({"where": (0, 0, 1)}, r"a box is x0,y0,x1,y1 .*, got \(0, 0, 1\)"),
        ({"where": 3}, "a box is x0,y0,x1,y1 .*, got 3"),
        ({"count": 2.5}, "count must be a whole number of at least 1, got 2.5"),
    ],
)
def test_values_of_another_type_get_a_sentence(
    photos_index: Path, options: dict, said: str
) -> None:
    with pytest.raises(stellar.UserError, match=said):
        stellar.open_index(photos_index).search("003.jpg", **options)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("like", [np.zeros((3, 24)), torch.zeros(3, 24)])
def test_a_picture_is_named_by_its_path(photos_index: Path, like: Any) -> None:
    """What else is given is told by its type, not by all that it holds."""
    said = rf"expected the path of a picture, got {type(like).__name__}; for vectors .* find$"
    with pytest.raises(SearchError, match=said):
        stellar.open_index(photos_index).search(like)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "given",
    [
        lambda vectors: vectors.tolist(),
        lambda vectors: vectors.astype(np.float64),
        lambda vectors: torch.tensor(vectors, requires_grad=True),
        lambda vectors: list(torch.tensor(vectors)),
        lambda vectors: 3 * vectors,
    ],
)
def test_vectors_may_be_lists_arrays_or_tensors_of_any_length(
    photos_index: Path, given: Callable[[np.ndarray], Any]
) -> None:
    index, vectors = stellar.open_index(photos_index), unit(random_tokens(1, seed=3)[0])
    expected = index.find(Query(vectors[:2], vectors[2:]), 5)
    found = index.find(Query(given(vectors[:2]), given(vectors[2:])), 5)
    assert paths_of(found) == paths_of(expected)
    np.testing.assert_allclose(
        [hit.score for hit in found], [hit.score for hit in expected], rtol=1e-5
    )


@pytest.mark.usefixtures("unchecked")
def test_unwanted_vectors_may_be_an_empty_list(photos_index: Path) -> None:
    wanted: Any = np.ones((1, D), np.float16)
    nothing: Any = []
    assert len(stellar.open_index(photos_index).find(Query(wanted, nothing), 5)) == 5


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (np.ones((2, 5)), r"of 24 finite numbers, of shape \(n, 24\), got shape \(2, 5\)"),
        (np.ones(D), r"wanted must be vectors of 24 finite numbers, .* got shape \(24,\)"),
        (np.ones((2, 1, D)), r"got shape \(2, 1, 24\)"),
        (np.full((1, D), np.nan), "got some that are not finite"),
        (np.full((1, D), 1e300), "got some that are not finite"),
        (np.zeros((0, D), np.float32), "needs at least one wanted vector, got none"),
        ([], "needs at least one wanted vector, got none"),
        ([[1.0], [1.0, 2.0]], "wanted must be .* got .*1.0, 2.0"),
        ([["a"] * D], "wanted must be .* got .*'a'"),
        (None, "wanted must be .* got None"),
    ],
)
def test_vectors_that_are_none_get_a_sentence(photos_index: Path, wanted: Any, said: str) -> None:
    good = np.ones((1, D), np.float32)
    with pytest.raises(SearchError, match=said):
        stellar.open_index(photos_index).find(Query(wanted, good))


@pytest.mark.usefixtures("unchecked")
def test_other_parts_of_a_query_get_a_sentence(photos_index: Path) -> None:
    good = np.ones((1, D), np.float32)
    words = Words(np.eye(D, dtype=np.float32), good[0], Origin("none", "b" * 64, "crop"))
    queries: list[tuple[Any, str]] = [
        (Query(good, good[0]), r"unwanted must be vectors of 24 .*, got shape \(24,\)"),
        (Query(good, good[:0], words=words), "these words are of another model"),
        (good, "expected a stellar.searching.Query, got ndarray"),
    ]
    for query, said in queries:
        with pytest.raises(SearchError, match=said):
            stellar.open_index(photos_index).find(query)


@pytest.mark.usefixtures("unchecked")
def test_a_search_without_words_gets_a_sentence(photos_index: Path) -> None:
    words: Any = None
    with pytest.raises(SearchError, match=r"words must be the file .* got None"):
        stellar.open_index(photos_index).search_words(np.ones((1, D), np.float32), words)


def approximate(
    folder: Path, tokens: np.ndarray, maps: np.ndarray | None = None
) -> stellar.searching.Index:
    """An index of which searches look at a part."""
    file = embedding(folder / "x.parquet", tokens, maps, row_group=1000)
    result = stellar.build_index(file, folder / "x.index", exact_up_to=100)
    assert result.approximate
    return stellar.open_index(result.folder)


def clustered(folder: Path, count: int) -> stellar.searching.Index:
    """An approximate index of pictures whose tokens lie around 40 centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, D))
    tokens = centres[rng.integers(40, size=(count, K))] + 0.4 * rng.normal(size=(count, K, D))
    return approximate(folder, tokens)


def test_bounds_of_an_approximate_index_are_the_true_ones_rounded(tmp_path: Path) -> None:
    rows = clustered(tmp_path, 600).rows
    wanted = unit(np.random.default_rng(1).normal(size=(2, D)))
    near, every = (
        nearest_pictures(rows, wanted, 2000, 3),
        every_picture(rows.in_memory, Query(wanted, wanted[:0])),
    )
    assert sorted(near.numbers) == list(range(600))
    bounds = dict(zip(near.numbers, near.bounds, strict=True))
    off = [
        bounds[number] - bound for number, bound in zip(every.numbers, every.bounds, strict=True)
    ]
    assert np.abs(off).max() < ROUNDED
    few = nearest_pictures(rows, wanted, 30, 3)
    assert len(few.numbers) < 600
    left_out = set(range(600)) - set(few.numbers.tolist())
    true = dict(zip(every.numbers.tolist(), every.bounds.tolist(), strict=True))
    assert max(true[number] for number in left_out) < few.others + ROUNDED
    short = near.first(100)
    assert (len(short.numbers), short.others) == (100, near.bounds[100])
    assert near.first(600).others == near.others


@pytest.mark.parametrize("where", PLACES)
def test_bounds_at_a_place_are_no_lower_than_scores(tmp_path: Path, where: str) -> None:
    rows, box = clustered(tmp_path, 600).rows, PLACES[where]
    query = Query(
        unit(np.random.default_rng(1).normal(size=(2, D))), np.zeros((0, D), np.float32), box
    )
    near = nearest_pictures(rows, query.wanted, 2000, 3, box)
    true = score(query, near.numbers, unit(rows.sparse(near.numbers)), rows.maps(near.numbers))
    assert (near.bounds + ROUNDED > true.total).all()


@pytest.mark.parametrize("where", [None, "left"])
def test_an_approximate_index_agrees_with_an_exact_one(tmp_path: Path, where: str | None) -> None:
    """Recall of the ten best above 0.95, by pictures and by tokens, of 3,000 clustered pictures:
    more tokens than are looked for at first, in several cells.
    """
    index = clustered(tmp_path, 3000)
    assert len(index) * K > 4 * EFFORTS[0].nearest
    assert len(index) * K > 4 * TOKENS_A_CELL
    found = same = 0
    for path in names(3000)[::200]:
        for chosen in ([], [1]):
            exact = index.search(path, token=chosen, where=where, exact=True)
            close = index.search(path, token=chosen, where=where)
            assert close[0].path == exact[0].path
            found += len(exact)
            same += len(set(paths_of(exact)) & set(paths_of(close)))
    assert same / found > 0.95


@pytest.mark.parametrize(("where", "elsewhere"), [("bottom", "top"), ("left", "bottom")])
def test_a_common_thing_is_found_where_it_is_rare(
    tmp_path: Path, where: str, elsewhere: str
) -> None:
    """As sky below a horizon: 2,200 of 2,500 pictures have it elsewhere, and look more like it."""
    rng, thing = np.random.default_rng(0), np.eye(1, D)
    tokens, maps = rng.normal(size=(2500, K, D)), np.full((2500, K, SIDE, SIDE), 0.05)
    for some, there, noise in (
        (slice(0, 2200), elsewhere, 0.05), (slice(2200, 2230), where, 0.1),
    ):  # fmt: skip
        tokens[some, 0] = thing + noise * rng.normal(size=(some.stop - some.start, D))
        maps[some, 0] = within(there)
    index = approximate(tmp_path, tokens, maps)
    query = Query(thing.astype(np.float32), np.zeros((0, D), np.float32), PLACES[where])
    found = paths_of(index.find(query))
    assert found == paths_of(index.find(query, exact=True))
    assert set(found) < set(names(2230)[2200:])


def test_a_mistyped_path_is_compared_with_its_folder_and_its_name(tmp_path: Path) -> None:
    paths = ["2019/holiday-3/IMG_17.jpg", "2019/holiday-31/IMG_31.jpg", "2020/x/sea.jpg"]
    file = embedding(tmp_path / "x.parquet", random_tokens(3), paths=paths)
    index = stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)
    for mistyped, meant in (
        ("2019/holiday-3/IMG_17.jpeg", paths[0]), ("2019/holiday-30/IMG_31.jpg", paths[1]),
    ):  # fmt: skip
        with pytest.raises(SearchError, match=f"did you mean '{meant}'"):
            index.search(mistyped)
    with pytest.raises(SearchError, match=r"2019/holiday-3/IMG_31.jpeg is not in (?!.*31/IMG)"):
        index.search("2019/holiday-3/IMG_31.jpeg")


def test_a_mistyped_path_is_answered_at_once(
    photos_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_SPELT", 59)
    with pytest.raises(SearchError, match=r"03.jpg is not in .*index; to search by a file"):
        stellar.open_index(photos_index).search("03.jpg")
