"""Looking, editing and searching give what model and index give by themselves."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import stellar
from stellar.config import ModelConfig
from stellar.data import ImageFolder, open_embedded
from stellar.exploring import ExploreError, Gallery, Workbench, own_index
from stellar.exploring.payload import of_hit
from stellar.exploring.steps import Duplicate, Scale
from stellar.exploring.workbench import Named, Wording
from stellar.images import InputError, UnreadableImage
from stellar.model import Stellar
from stellar.model.files.fingerprint import fingerprint
from stellar.searching import SearchError, open_index
from stellar.searching.hits import Hit
from stellar.searching.words import Origin, Words


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty scenes as files, wider than high."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(30):
        pixels = rng.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((80, 60), Image.Resampling.NEAREST)
        picture.save(tmp_path / f"photos/{index:02}.png")
    return tmp_path / "photos"


def test_a_look_is_what_the_model_says(workbench: Workbench) -> None:
    model, source = workbench.models[0].model, workbench.gallery.source
    look = workbench.look("3", 0)
    factors = model.encode(source.read(3))
    assert torch.equal(look.factors.spatial, factors.spatial)
    assert look.drawing is not None
    assert torch.allclose(look.drawing, model.reconstruct(factors)[0], atol=1e-6)
    assert look.size == (48, 48)
    assert look.frame == (0, 0, 48, 48)
    error = (source.read(3) / 255 - look.drawing).square().mean()
    assert look.psnr == pytest.approx(-10 * torch.log10(error).item(), abs=1e-3)


def test_an_edit_changes_maps_and_drawing(workbench: Workbench) -> None:
    look, edited = (
        workbench.look("3", 0),
        workbench.look("3", 0, [Scale(0, 0.0), Duplicate(1, 2, 2)]),
    )
    assert edited.factors.maps.shape[1] == look.factors.maps.shape[1] + 1
    assert edited.where.share[0] == 0
    assert edited.drawing is not None
    assert look.drawing is not None
    assert not torch.allclose(edited.drawing, look.drawing, atol=1e-2)
    assert torch.equal(workbench.look("3", 0).factors.spatial, look.factors.spatial)


def test_a_wide_picture_is_seen_in_its_middle_or_whole(photos: Path) -> None:
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    gallery = Gallery(ImageFolder(photos), "photos")
    cropped, whole = Workbench(named, gallery), Workbench(named, gallery, "squash")
    assert cropped.look("0", 0).frame == (10, 0, 60, 60)
    assert whole.look("0", 0).frame == (0, 0, 80, 60)
    assert whole.look("0", 0).image.shape == (3, 48, 48)


def test_few_pictures_get_an_index_when_it_is_asked_for(photos: Path) -> None:
    """With all tokens of a picture, and then one at its place, what was planted is found."""
    pytest.importorskip("lancedb")
    (photos / "99.png").write_bytes((photos / "07.png").read_bytes())
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    workbench = Workbench(named, Gallery(ImageFolder(photos), "photos"))
    assert workbench.num_indexed is None
    hits = workbench.search("7", [], [], count=3)
    assert workbench.num_indexed == 31
    assert hits[0].path == "99.png"
    assert hits[0].score > hits[1].score
    assert "07.png" not in [hit.path for hit in hits]
    assert len(hits) == 3
    token = workbench.look("7", 0).where.share.argmax().item()
    x0, y0, x1, y1 = workbench.look("7", 0).where.box[token].tolist()
    there = workbench.search("7", [], [token], (), (x0, y0, x1, y1), count=3)
    assert "99.png" in [hit.path for hit in there]  # others may have more of their token there
    assert workbench.search("7", [], [token], [token])[0].path != "99.png"
    folder = Path(workbench._folder.name) if workbench._folder else None
    workbench.close()
    assert folder is not None
    assert not folder.exists()


def test_an_index_that_could_not_be_made_is_begun_anew(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the pictures are others by then."""
    pytest.importorskip("lancedb")
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    workbench = Workbench(named, Gallery(ImageFolder(photos), "photos"))

    def full(*_: Any) -> None:
        raise SearchError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(own_index, "build_index", full)
        with pytest.raises(SearchError, match="disk is full"):
            workbench.search("7", [], [])
    (photos / "99.png").write_bytes((photos / "07.png").read_bytes())
    assert workbench.search("7", [], [])[0].path == "99.png"
    workbench.close()


def test_a_link_out_of_the_folder_is_not_found_either(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    (photos / "07.png").rename(tmp_path / "secret.png")
    (photos / "07.png").symlink_to("../secret.png")
    (photos / "99.png").write_bytes((tmp_path / "secret.png").read_bytes())
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    workbench = Workbench(named, Gallery(ImageFolder(photos), "photos"))
    found = [hit.path for hit in workbench.search("30", [], [], count=30)]
    assert "08.png" in found
    assert "07.png" not in found
    workbench.close()


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
    workbench = Workbench(named, gallery, wording=Wording(words, lambda _: token))
    for hits in (
        workbench.search_words(["it"], count=3),
        workbench.search("29", [], [0], count=3),
    ):
        assert len(hits) == 3
        assert not {hit.path for hit in hits} & {f"{number:02}.png" for number in range(5, 11)}
    workbench.close()


def test_scenes_get_one_too(workbench: Workbench) -> None:
    pytest.importorskip("lancedb")
    hits = workbench.search("3", [], [0], count=2)
    assert all(workbench.key_of(hit.path) not in (None, "3") for hit in hits)


def same_answer(found: Sequence[Hit], every: Sequence[Hit]) -> None:
    """The best of them, in the order of their scores but for rounding."""
    scores = {hit.path: hit.score for hit in every}
    assert [hit.score for hit in found] == pytest.approx(
        [scores[hit.path] for hit in found], abs=2e-3
    )
    assert [hit.score for hit in found] == pytest.approx(
        [hit.score for hit in every[: len(found)]], abs=2e-3
    )


def test_a_given_index_is_searched(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    model = stellar.load("stellar-scenes")
    stellar.embed(model, photos, tmp_path / "photos.parquet")
    stellar.build_index(tmp_path / "photos.parquet", tmp_path / "photos.index", photos)
    index = open_index(tmp_path / "photos.index")
    gallery = Gallery(ImageFolder(photos), "photos")
    workbench = Workbench([Named("stellar-scenes", model)], gallery, index=index)
    assert workbench.num_indexed == 30
    same_answer(workbench.search("4", [], [], count=5), index.search("04.png", count=30)[1:])
    with pytest.raises(ExploreError, match="by --fit crop, not squash"):
        Workbench([Named("stellar-scenes", model)], gallery, "squash", index)
    other = Stellar(model.config)
    with pytest.raises(ExploreError, match=r"made with another model \(.*\) than mine"):
        Workbench([Named("mine", other)], gallery, index=index)


def test_an_index_without_any_of_the_pictures_is_refused(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    named = [Named("stellar-scenes", stellar.load("stellar-scenes"))]
    stellar.embed(named[0].model, photos, tmp_path / "photos.parquet")
    stellar.build_index(tmp_path / "photos.parquet", tmp_path / "photos.index", photos)
    index = open_index(tmp_path / "photos.index")
    (tmp_path / "others").mkdir()
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "others/a.png")
    others = Gallery(ImageFolder(tmp_path / "others"), "others")
    refusal = r"none of the pictures of others \(a.png, \.\.\.\) is in .*index \(00.png, \.\.\.\); "
    with pytest.raises(ExploreError, match=refusal):
        Workbench(named, others, index=index)
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "others/29.png")
    one_of_both = Gallery(ImageFolder(tmp_path / "others"), "others")
    assert Workbench(named, one_of_both, index=index).num_indexed == 30


def test_an_index_of_fewer_tokens_is_asked_with_as_many(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("lancedb")
    model = stellar.load("stellar-scenes")
    stellar.embed(model, photos, tmp_path / "photos.parquet", tokens=2)
    stellar.build_index(tmp_path / "photos.parquet", tmp_path / "photos.index", photos)
    index = open_index(tmp_path / "photos.index")
    gallery = Gallery(ImageFolder(photos), "photos")
    workbench = Workbench([Named("stellar-scenes", model)], gallery, index=index)
    same_answer(workbench.search("4", [], [], count=5), index.search("04.png", count=30)[1:])


def test_what_matched_is_chosen_by_its_number_on_the_page(photos: Path, tmp_path: Path) -> None:
    """An index of fewer tokens numbers them by their strength."""
    pytest.importorskip("lancedb")
    model = stellar.load("stellar-scenes")
    stellar.embed(model, photos, tmp_path / "photos.parquet", tokens=4)
    stellar.build_index(tmp_path / "photos.parquet", tmp_path / "photos.index", photos)
    index = open_index(tmp_path / "photos.index")
    gallery = Gallery(ImageFolder(photos), "photos")
    workbench = Workbench([Named("stellar-scenes", model)], gallery, index=index)
    hits = workbench.search("4", [], [2, 5], count=6)
    for hit in hits:
        tokens = of_hit(hit, workbench)["tokens"]
        sparse = workbench.encoded(of_hit(hit, workbench)["key"], 0).factors.sparse[0]
        matched = index.example(hit.path).sparse[[match.token for match in hit.matches]]
        cosines = torch.cosine_similarity(
            sparse[tokens][None], torch.from_numpy(matched)[:, None], -1
        )
        assert cosines.amax(dim=1).min() > 0.999
    assert of_hit(workbench.search("4", [], [], count=1)[0], workbench)["tokens"] == []
    (photos / hits[0].path).unlink()
    again = Workbench([Named("stellar-scenes", model)], gallery, index=index)
    assert again.tokens_of(hits[0]) == []


def test_a_picture_that_changes_while_the_page_is_open_is_seen_as_it_is(photos: Path) -> None:
    model = stellar.load("stellar-scenes")
    gallery = Gallery(ImageFolder(photos), "photos")
    workbench = Workbench([Named("stellar-scenes", model)], gallery)
    before, small = workbench.look("0", 0), gallery.thumbnail("0", 3)
    assert workbench.encoded("0", 0) is workbench.encoded("0", 0)
    Image.new("RGB", (80, 60), "red").save(photos / "00.png")
    after = workbench.look("0", 0)
    assert not torch.equal(before.image, after.image)
    assert torch.equal(after.factors.spatial, model.encode(photos / "00.png").spatial)
    assert gallery.thumbnail("0", 3) != small
    (photos / "00.png").unlink()
    with pytest.raises(UnreadableImage):
        workbench.look("0", 0)


def test_words_find_what_they_say(worded: Workbench, workbench: Workbench) -> None:
    """As a search with the token that they say, but for the picture itself, which is found too."""
    pytest.importorskip("lancedb")
    share = worded.look("3", 0).where.share
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
    assert not workbench.knows_words
    with pytest.raises(ExploreError, match="knows no words; learn some with stellar align"):
        workbench.search_words(["3 0"])


def test_what_was_removed_is_not_looked_for(workbench: Workbench) -> None:
    """With all tokens but one removed, the picture is like that one's."""
    pytest.importorskip("lancedb")
    share = workbench.look("3", 0).where.share
    largest = int(share.argmax())
    removed = [Scale(token, 0.0) for token in range(len(share)) if token != largest]
    found = workbench.search("3", removed, [], count=5)
    assert all(len(hit.matches) == 1 for hit in found)
    same_answer(found, workbench.search("3", [], [largest], count=39))


def test_many_pictures_need_an_index_of_their_own(workbench: Workbench) -> None:
    model = workbench.models[0].model
    scenes = open_embedded("scenes", "heldout", model.config, length=1001)
    many = Workbench(workbench.models, Gallery(scenes, "scenes"))
    with pytest.raises(
        ExploreError, match=r"Up to 1,000 pictures .* start stellar explore with --index"
    ):
        many.search("0", [], [])


def test_without_lancedb_it_is_said_before_anything_is_embedded(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Workbench(workbench.models, workbench.gallery)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert few.why_no_search is not None
    with pytest.raises(ExploreError, match="Searching needs LanceDB: pip install"):
        few.search("0", [], [])


def test_models_that_do_not_fit(small: ModelConfig) -> None:
    model = Stellar(small)
    gallery = Gallery(open_embedded("scenes", "heldout", small, length=3), "scenes")
    dense = Stellar(replace(small, num_sparse_tokens=0))
    with pytest.raises(ExploreError, match="dense has no tokens to look at"):
        Workbench([Named("dense", dense)], gallery)
    grey = Stellar(replace(small, in_chans=1, image_mean=(0.5,), image_std=(0.2,)))
    with pytest.raises(ExploreError, match="of 3 channels, grey for 1"):
        Workbench([Named("colour", model), Named("grey", grey)], gallery)
    with pytest.raises(InputError, match="fit must be crop or squash, got pad"):
        Workbench([Named("colour", model)], gallery, "pad")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda bench: bench.look("3", 1), "there is no model 1"),
        (lambda bench: bench.search("3", [], [12]), "the tokens are 0 to 11"),
        (lambda bench: bench.search("3", [], [], count=0), "1 to 100 pictures, got a count of 0"),
        (
            lambda bench: bench.look("3", 0, [Scale(12, 1.0)]),
            "the tokens are 0 to 11, got token 12",
        ),
    ],
)
def test_questions_without_an_answer(workbench: Workbench, question, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        question(workbench)
