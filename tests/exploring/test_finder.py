"""Searches of the page give what the index gives by itself."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from given import given_index, workbench_of
from PIL import Image

import stellar
from stellar.config import ConfigError
from stellar.data import ImageFolder, open_embedded
from stellar.exploring import ExploreError, Finder, Gallery, Workbench, own_index
from stellar.exploring.finder import Sought, Wording
from stellar.exploring.overview import ASKED, NUM_EXAMPLES
from stellar.exploring.payload import of_hit
from stellar.exploring.steps import Scale
from stellar.exploring.workbench import Named
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.searching import Query, SearchError, open_index
from stellar.searching.hits import Hit
from stellar.searching.scoring import answers
from stellar.searching.words import Origin, Words


def test_few_pictures_get_an_index_when_it_is_asked_for(photos: Path) -> None:
    """With all tokens of a picture, and then one at its place, what was planted is found."""
    pytest.importorskip("lancedb")
    (photos / "99.png").write_bytes((photos / "07.png").read_bytes())
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    finder = Finder(Workbench(named, Gallery(ImageFolder(photos), "photos")))
    assert finder.num_indexed is None
    hits = finder.search("7", count=3)
    assert finder.num_indexed == 31
    assert hits[0].path == "99.png"
    assert hits[0].score > hits[1].score
    assert "07.png" not in [hit.path for hit in hits]
    assert len(hits) == 3
    token = finder.workbench.look("7", 0).where.share.argmax().item()
    x0, y0, x1, y1 = finder.workbench.look("7", 0).where.box[token].tolist()
    there = finder.search("7", [], Sought([token]), box=(x0, y0, x1, y1), count=3)
    assert "99.png" in [hit.path for hit in there]  # others may have more of their token there
    assert finder.search("7", [], Sought([token]), Sought([token]))[0].path != "99.png"
    folder = Path(finder._folder.name) if finder._folder else None
    finder.close()
    assert folder is not None
    assert not folder.exists()


def test_an_index_that_could_not_be_made_is_begun_anew(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the pictures are others by then."""
    pytest.importorskip("lancedb")
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    finder = Finder(Workbench(named, Gallery(ImageFolder(photos), "photos")))

    def full(*_: Any) -> None:
        raise SearchError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(own_index, "build_index", full)
        with pytest.raises(SearchError, match="disk is full"):
            finder.search("7")
    (photos / "99.png").write_bytes((photos / "07.png").read_bytes())
    assert finder.search("7")[0].path == "99.png"
    finder.close()


def test_a_link_out_of_the_folder_is_not_found_either(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    (photos / "07.png").rename(tmp_path / "secret.png")
    (photos / "07.png").symlink_to("../secret.png")
    (photos / "99.png").write_bytes((tmp_path / "secret.png").read_bytes())
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    finder = Finder(Workbench(named, Gallery(ImageFolder(photos), "photos")))
    found = [hit.path for hit in finder.search("30", count=30)]
    assert "08.png" in found
    assert "07.png" not in found
    finder.num_concepts = 1
    (concept,) = finder._searchable().concepts(1, 31).concepts
    assert "07.png" in [hit.path for hit in concept.examples]
    place = [hit.path for hit in concept.examples].index("07.png")
    shown = [hit.path for hit in concept.examples if hit.path != "07.png"]
    (concept,) = finder.overview.concepts
    assert [hit.path for hit in concept.examples] == shown[:NUM_EXAMPLES]
    assert place < ASKED * NUM_EXAMPLES
    finder.close()


def test_links_out_of_the_folder_make_hits_no_fewer(photos: Path, tmp_path: Path) -> None:
    """Not even where they are those that are most alike."""
    pytest.importorskip("lancedb")
    (tmp_path / "secret.png").write_bytes((photos / "29.png").read_bytes())
    for number in range(5, 11):
        (photos / f"{number:02}.png").unlink()
        (photos / f"{number:02}.png").symlink_to("../secret.png")
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    gallery = Gallery(ImageFolder(photos), "photos")
    model = named[0].model
    token = Workbench(named, gallery).encoded("29", 0).factors.sparse[0, :1].numpy()
    width, origin = token.shape[1], Origin("tokens", fingerprint(model), "crop")
    words = Words(np.eye(width, dtype=np.float32), np.zeros(width, np.float32), origin)
    finder = Finder(Workbench(named, gallery), wording=Wording(words, lambda _: token))
    for hits in (
        finder.search_words(["it"], count=3),
        finder.search("29", [], Sought([0]), count=3),
    ):
        assert len(hits) == 3
        assert not {hit.path for hit in hits} & {f"{number:02}.png" for number in range(5, 11)}
    finder.close()


def test_scenes_get_one_too(finder: Finder) -> None:
    pytest.importorskip("lancedb")
    hits = finder.search("3", [], Sought([0]), count=2)
    assert all(finder.key_of(hit.path) not in (None, "3") for hit in hits)


def same_answer(found: Sequence[Hit], every: Sequence[Hit]) -> None:
    """The best of them, in the order of their scores but for rounding."""
    scores = {hit.path: hit.score for hit in every}
    assert [hit.score for hit in found] == pytest.approx(
        [scores[hit.path] for hit in found], abs=2e-3
    )
    assert [hit.score for hit in found] == pytest.approx(
        [hit.score for hit in every[: len(found)]], abs=2e-3
    )


def test_a_given_index_is_searched(photos: Path) -> None:
    index, workbench = given_index(photos), workbench_of(photos)
    finder = Finder(workbench, index)
    assert finder.num_indexed == 30
    same_answer(finder.search("4", count=5), index.search("04.png", count=30)[1:])
    with pytest.raises(ExploreError, match="by --fit crop, not squash"):
        Finder(Workbench(workbench.models, workbench.gallery, "squash"), index)
    other = Stellar(workbench.models[0].model.config)
    with pytest.raises(ExploreError, match=r"made with another model \(.*\) than mine"):
        Finder(Workbench([Named("mine", other)], workbench.gallery), index)


def test_an_index_without_any_of_the_pictures_is_refused(photos: Path, tmp_path: Path) -> None:
    index, named = given_index(photos), workbench_of(photos).models
    (tmp_path / "others").mkdir()
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "others/a.png")
    others = Gallery(ImageFolder(tmp_path / "others"), "others")
    refusal = r"none of the pictures of others \(a.png, \.\.\.\) is in .*index \(00.png, \.\.\.\); "
    with pytest.raises(ExploreError, match=refusal):
        Finder(Workbench(named, others), index)
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "others/29.png")
    one_of_both = Gallery(ImageFolder(tmp_path / "others"), "others")
    assert Finder(Workbench(named, one_of_both), index).num_indexed == 30


def test_an_index_of_fewer_tokens_is_asked_with_as_many(photos: Path) -> None:
    index = given_index(photos, tokens=2)
    finder = Finder(workbench_of(photos), index)
    same_answer(finder.search("4", count=5), index.search("04.png", count=30)[1:])


def test_what_matched_is_chosen_by_its_number_on_the_page(photos: Path) -> None:
    """An index of fewer tokens numbers them by their strength."""
    index = given_index(photos, tokens=4)
    finder = Finder(workbench_of(photos), index)
    hits = finder.search("4", [], Sought([2, 5]), count=6)
    for hit in hits:
        tokens = of_hit(hit, finder)["tokens"]
        sparse = finder.workbench.encoded(of_hit(hit, finder)["key"], 0).factors.sparse[0]
        matched = index.example(hit.path).sparse[[match.token for match in hit.matches]]
        cosines = torch.cosine_similarity(
            sparse[tokens][None], torch.from_numpy(matched)[:, None], -1
        )
        assert cosines.amax(dim=1).min() > 0.999
    assert of_hit(finder.search("4", count=1)[0], finder)["tokens"] == []
    (photos / hits[0].path).unlink()
    again = Finder(workbench_of(photos), index)
    assert again.tokens_of(hits[0]) == []


def test_words_find_what_they_say(worded: Finder, finder: Finder) -> None:
    """As a search with the token that they say, but for the picture itself, which is found too."""
    pytest.importorskip("lancedb")
    share = worded.workbench.look("3", 0).where.share
    token = int(share.argmax())
    first, *others = worded.search_words([f" 3 {token} ", ""], count=8)
    assert (worded.key_of(first.path), first.matches[0].token) == ("3", token)
    assert first.score == pytest.approx(1, abs=1e-3)
    assert len(others) == 7
    box = (0.0, 0.0, 0.5, 0.5)
    at_a_place = worded.search_words([f"3 {token}", f"5 {token}"], box, count=3)
    assert all(len(hit.matches) == 2 for hit in at_a_place)
    assert at_a_place[0].score < 0.9
    for texts in ([], [" "], 9 * ["3 0"], ["3" * 201]):
        with pytest.raises(ExploreError, match="has 1 to 8 texts, of at most 200 letters"):
            worded.search_words(texts)
    with pytest.raises(ExploreError, match="gives 1 to 100 pictures"):
        worded.search_words(["3 0"], count=0)
    assert worded.knows_words
    assert not finder.knows_words
    with pytest.raises(ExploreError, match="knows no words; learn some with stellar align"):
        finder.search_words(["3 0"])


def test_what_was_removed_is_not_looked_for(finder: Finder) -> None:
    """With all tokens but one removed, the picture is like that one's."""
    pytest.importorskip("lancedb")
    share = finder.workbench.look("3", 0).where.share
    largest = int(share.argmax())
    removed = [Scale(token, 0.0) for token in range(len(share)) if token != largest]
    found = finder.search("3", removed, count=5)
    assert all(len(hit.matches) == 1 for hit in found)
    same_answer(found, finder.search("3", [], Sought([largest]), count=39))


def test_many_pictures_need_an_index_of_their_own(workbench: Workbench) -> None:
    model = workbench.models[0].model
    scenes = open_embedded("scenes", "heldout", model.config, length=1001)
    many = Finder(Workbench(workbench.models, Gallery(scenes, "scenes")))
    with pytest.raises(
        ExploreError, match=r"Up to 1,000 pictures .* start stellar explore with --index"
    ):
        many.search("0")


def test_without_lancedb_it_is_said_before_anything_is_embedded(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Finder(workbench)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert few.why_no_search is not None
    with pytest.raises(ExploreError, match="Searching needs LanceDB: pip install"):
        few.search("0")


def test_concepts_are_those_of_the_index_and_find_their_pictures(photos: Path) -> None:
    index, workbench = given_index(photos), workbench_of(photos)
    finder = Finder(workbench, index, num_concepts=5)
    expected = index.concepts(5).concepts
    found = finder.overview.concepts
    assert [each.share for each in found] == [each.share for each in expected]
    assert max(len(each.examples) for each in found) == NUM_EXAMPLES
    for each, whole in zip(found, expected, strict=True):
        assert each.examples == whole.examples[:NUM_EXAMPLES]
    centres = np.stack([concept.centre for concept in expected])
    same_answer(
        finder.search(None, wanted=Sought(concepts=[3]), count=5),
        index.find(Query(centres[[3]], counted=True), 30),
    )
    token = workbench.encoded("4", 0).factors.sparse[0, [2]].numpy()
    both = finder.search("4", [], Sought([2], [3]), Sought(concepts=[1]), count=5)
    wanted = np.concatenate([token, centres[[3]]])
    query = Query(wanted, centres[[1]], counted=True, counted_against=True)
    every = index.find(query, 30)
    same_answer(both, [hit for hit in every if hit.path != "04.png"])
    unwanted = finder.search("4", unwanted=Sought(concepts=[1]), count=5)
    sparse = index.example("04.png").sparse
    whole = index.find(Query(sparse, centres[[1]], counted_against=True), 30)
    same_answer(unwanted, [hit for hit in whole if hit.path != "04.png"])


def test_concepts_get_names_that_last(photos: Path) -> None:
    index = given_index(photos)
    finder = Finder(workbench_of(photos), index, num_concepts=5)
    assert finder.can_name
    assert finder.name_concept(3, "boat") == ["", "", "", "boat", ""]
    assert finder.overview.concepts[3].name == "boat"
    assert [hit.path for hit in index.search(concept=["boat"], count=5)] == [
        hit.path for hit in finder.search(None, wanted=Sought(concepts=[3]), count=5)
    ]
    # Somebody names another one meanwhile.
    index.keep_concepts(index.concepts().concepts, {1: "sea"})
    assert finder.name_concept(3, "") == ["", "sea", "", "", ""]
    with pytest.raises(SearchError, match="two concepts would be named sea"):
        finder.name_concept(2, "Sea")
    again = Finder(workbench_of(photos), open_index(index.folder))
    assert [each.name for each in again.overview.concepts] == ["", "sea", "", "", ""]
    finer = Finder(workbench_of(photos), index, num_concepts=7)
    with pytest.raises(SearchError, match="keeps other concepts already, named sea"):
        finer.name_concept(0, "boat")


def test_what_is_gone_with_the_page_gets_no_names(photos: Path) -> None:
    pytest.importorskip("lancedb")
    finder = Finder(workbench_of(photos), num_concepts=5)
    assert not finder.can_name
    assert len(finder.overview.concepts) == 5
    assert not finder.can_name
    with pytest.raises(ExploreError, match="names of concepts last in an index; make one with"):
        finder.name_concept(0, "boat")
    finder.close()


def test_a_token_is_of_the_nearest_concept_once_concepts_are_known(workbench: Workbench) -> None:
    pytest.importorskip("lancedb")
    finder = Finder(workbench, num_concepts=6)
    factors = workbench.encoded("3", 0).factors
    assert finder.concepts_of(factors) is None
    centres = torch.from_numpy(finder.overview.centres)
    cosines = torch.nn.functional.normalize(factors.sparse[0], dim=1) @ centres.T
    shares = factors.spatial[0].mean(dim=0)
    expected = [
        int(cosines[token].argmax()) if share * 12 >= 1 / 3 else None
        for token, share in enumerate(shares)
    ]
    assert finder.concepts_of(factors) == expected
    assert None in expected
    removed = finder.concepts_of(workbench.edited("3", 0, [Scale(2, 0.0)]))
    assert removed is not None
    assert removed[2] is None
    finder.close()


def test_an_index_of_fewer_tokens_counts_as_many(photos: Path) -> None:
    """As many tokens of a picture have a concept as the index counts of it."""
    index, workbench = given_index(photos, tokens=3), workbench_of(photos)
    finder = Finder(workbench, index, num_concepts=4)
    counted = answers(index.rows.all_shares).sum(axis=1)
    assert len(finder.overview.concepts) == 4
    for number, path in enumerate(index.paths):
        key = finder.key_of(path)
        assert key is not None
        concepts = finder.concepts_of(workbench.encoded(key, 0).factors)
        assert concepts is not None
        assert sum(each is not None for each in concepts) == counted[number] <= 3


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda finder: finder.search("3", [], Sought([12])), "the tokens are 0 to 11"),
        (lambda finder: finder.search("3", [], Sought([-1])), "the tokens are 0 to 11"),
        (
            lambda finder: finder.search(None, [], Sought(concepts=[24])),
            "the concepts are 0 to 23",
        ),
        (
            lambda finder: finder.search(None, [], Sought([1])),
            "a picture, or concepts that are wanted",
        ),
        (lambda finder: finder.search(None), "needs a picture, or concepts that are wanted"),
        (
            lambda finder: finder.search(None, unwanted=Sought(concepts=[1])),
            "needs a picture, or concepts that are wanted",
        ),
        (lambda finder: finder.search("3", count=0), "1 to 100 pictures, got a count of 0"),
    ],
)
def test_questions_without_an_answer(finder: Finder, question, message: str) -> None:
    pytest.importorskip("lancedb")
    with pytest.raises(ExploreError, match=message):
        question(finder)


def test_concepts_are_at_least_one(workbench: Workbench) -> None:
    with pytest.raises(ConfigError, match="concepts must be a whole number of at least 1, got 0"):
        Finder(workbench, num_concepts=0)
