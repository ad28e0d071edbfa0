"""What is in all pictures: groups of tokens, with their pictures, shares and places."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from by_hand import SIDE, D, K, embedding, names

import stellar
from stellar.cli import main
from stellar.config import ConfigError
from stellar.searching import Concepts, Index, Query
from stellar.searching.clustering import nearest_centre, spherical_kmeans

COUNT = 30


def around(directions: torch.Tensor, each: int, spread: float = 0.05) -> torch.Tensor:
    """Vectors of length 1 near each of some directions."""
    noise = torch.randn(
        len(directions), each, directions.shape[1], generator=torch.Generator().manual_seed(1)
    )
    found = directions[:, None] + spread * noise
    return torch.nn.functional.normalize(found.flatten(0, 1), dim=1)


def test_groups_that_lie_apart_are_found() -> None:
    vectors = around(torch.eye(5, 8), 40)
    centres = spherical_kmeans(vectors, 5)
    group, cosine = nearest_centre(vectors, centres)
    assert sorted(group.view(5, 40).mode(dim=1).values.tolist()) == list(range(5))
    assert (group.view(5, 40) == group.view(5, 40)[:, :1]).all()
    assert cosine.min() > 0.9
    assert torch.equal(centres, spherical_kmeans(vectors, 5))


def test_every_centre_is_the_mean_direction_of_its_own_vectors() -> None:
    vectors = torch.nn.functional.normalize(
        torch.randn(500, 6, generator=torch.Generator().manual_seed(2)), dim=1
    )
    centres = spherical_kmeans(vectors, 7, seed=3)
    group, cosine = nearest_centre(vectors, centres)
    for number, centre in enumerate(centres):
        mean = vectors[group == number].sum(dim=0)
        assert torch.cosine_similarity(mean, centre, dim=0) > 0.9999
    assert torch.allclose(centres.norm(dim=1), torch.ones(7), atol=1e-5)
    assert cosine.mean() > nearest_centre(vectors, vectors[:7])[1].mean()


def test_there_are_no_more_groups_than_different_vectors() -> None:
    vectors = torch.eye(3, 4).repeat(10, 1)
    assert len(spherical_kmeans(vectors, 8)) == 3


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Of 30 pictures with three tokens: the first is one thing in all of them, and lies in the
    upper half; the second is another in every second one, lower left; the third explains nothing.
    """
    pytest.importorskip("lancedb")
    rng = np.random.default_rng(0)
    things = np.eye(3, D)
    tokens = np.repeat(things[None], COUNT, axis=0)
    tokens[1::2, 1] = things[0]
    tokens += 0.02 * rng.normal(size=tokens.shape)
    maps = np.zeros((COUNT, K, SIDE, SIDE))
    maps[:, 0, :2] = 1
    maps[:, 1, 2:, :2] = 1
    maps[1::2, 1, 2:] = 1
    file = embedding(tmp_path / "x.parquet", tokens, maps)
    return stellar.open_index(stellar.build_index(file, tmp_path / "x.index").folder)


def test_concepts_have_pictures_shares_and_places(index: Index) -> None:
    found = index.concepts(count=2)
    first, second = found.concepts
    assert (first.num_pictures, second.num_pictures) == (30, 15)
    # The first explains the upper half of all, and in every second one the lower half, too.
    np.testing.assert_allclose(found.shares[::2], [[0.5, 0.25]] * 15, atol=1e-3)
    np.testing.assert_allclose(found.shares[1::2], [[1, 0]] * 15, atol=1e-3)
    assert first.share == pytest.approx(0.75, abs=1e-3)
    assert second.share == pytest.approx(0.125, abs=1e-3)
    np.testing.assert_allclose(first.where[:2], 1, atol=1e-3)
    np.testing.assert_allclose(first.where[2:], 0.5, atol=1e-3)
    assert second.where[2:, :2].min() == pytest.approx(1)
    assert second.where.sum() == pytest.approx(4)
    assert abs(first.centre[0]) > 0.99
    assert abs(second.centre[1]) > 0.99
    assert min(first.cosine, second.cosine) > 0.98


def test_examples_are_the_nearest_tokens_of_different_pictures(index: Index) -> None:
    second = index.concepts(count=2, examples=5).concepts[1]
    assert len({hit.path for hit in second.examples}) == 5
    assert all(int(hit.path[:3]) % 2 == 0 for hit in second.examples)
    assert all(hit.matches[0].token == 1 for hit in second.examples)
    scores = [hit.score for hit in second.examples]
    assert scores == sorted(scores, reverse=True)
    query = Query(second.centre[None])
    assert [hit.path for hit in index.find(query, 5)] == [hit.path for hit in second.examples]


def test_tokens_are_not_kept_in_memory_and_give_the_same_from_there(index: Index) -> None:
    found = index.concepts(2)
    assert "in_memory" not in vars(index.rows)
    kept = stellar.open_index(index.folder)
    assert kept.rows.in_memory.shares.shape == (COUNT, K)
    assert np.array_equal(kept.concepts(2).shares, found.shares)


def test_the_same_seed_gives_the_same_concepts(index: Index) -> None:
    one, other = index.concepts(3, seed=4), index.concepts(3, seed=4)
    assert np.array_equal(one.shares, other.shares)
    assert one.concepts[0].examples == other.concepts[0].examples
    assert repr(one.concepts[0]).startswith("Concept(num_pictures=")
    assert len(repr(one.concepts[0])) < 100


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_a_count_is_a_count(index: Index, count: Any) -> None:
    with pytest.raises(ConfigError, match="count must be a whole number of at least 1"):
        index.concepts(count)


def test_a_place_is_of_all_of_its_tokens(index: Index) -> None:
    """As much of the patches as they explain, of the pictures that have it."""
    for count in (1, 2, 3):
        found = index.concepts(count)
        for concept, shares in zip(found.concepts, found.shares.T, strict=True):
            assert concept.where.mean() == pytest.approx(shares[shares > 0].mean(), abs=1e-3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seed", [-1, 2**63, 10**23, 0.5])
def test_a_seed_is_a_seed(index: Index, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed must be a whole number from 0 to 2\^63 - 1, got"):
        index.concepts(2, seed=seed)


def test_there_may_be_no_examples(index: Index, tmp_path: Path) -> None:
    call = ["concepts", str(index.folder), "--examples", "0", "--out", str(tmp_path / "c.html")]
    assert main(call) == 0
    assert "<li " in (tmp_path / "c.html").read_text("utf-8")
    assert index.concepts(2, examples=0).concepts[0].examples == ()


def test_the_command_writes_a_page_and_a_table(
    index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "c.html"
    call = ["concepts", str(index.folder), "--out", str(page), "--count", "2"]
    assert main(call) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].split() == ["concept", "pictures", "patches", "best", "shown", "by"]
    assert told[1].split()[:3] == ["0", "30", "75.0%"]
    assert told[2].split()[:3] == ["1", "15", "12.5%"]
    assert told[3] == f"-> {page}"
    written = page.read_text("utf-8")
    assert written.count("<li ") == 2
    assert "in 15 of 30 pictures, 12.5% of all patches" in written
    assert "http" not in written


def test_the_command_writes_what_each_concept_explains_of_each_picture(
    index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = index.concepts(2)
    call = ["concepts", str(index.folder), "--out", str(tmp_path / "c.html"), "--count", "2"]
    for ending, digits in (("csv", 4), ("parquet", 7)):
        table = tmp_path / f"shares.{ending}"
        assert main([*call, "--table", str(table)]) == 0
        assert capsys.readouterr().out.endswith(f"-> {table}\n")
        read = pyarrow.csv.read_csv if ending == "csv" else pyarrow.parquet.read_table
        found = read(table)
        assert found.column_names == ["path", "concept_0", "concept_1"]
        assert found["path"].to_pylist() == index.paths
        shares = np.stack([found[name].to_numpy() for name in found.column_names[1:]], axis=1)
        np.testing.assert_allclose(shares, expected.shares, atol=0.6 * 10.0**-digits)
    cells = (tmp_path / "shares.csv").read_text("utf-8").replace("\n", ",").split(",")
    assert max(len(cell.partition(".")[2]) for cell in cells) == 4


def test_wrong_calls_get_a_sentence(
    index: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call, message in (
        ([str(index.folder), "--count", "0"], "count must be a whole number of at least 1"),
        ([str(index.folder), "--out", "c.pdf"], "end its name in .html, got --out c.pdf"),
        ([str(tmp_path / "no")], "no does not exist"),
        (
            [str(index.folder), "--table", "shares.xlsx"],
            "end its name in .csv or .parquet, got --table shares.xlsx",
        ),
        ([str(index.folder), "--table", "no/shares.csv"], "the folder no does not exist"),
    ):
        assert main(["concepts", *call]) == 1
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_its_names_are_text(chromium: Any, index: Index, width: int) -> None:
    from stellar.searching.page import render_overview

    name = '<script>alert("1")</script>' * 5
    found: Concepts = index.concepts(2)
    page = chromium.new_page(viewport={"width": width, "height": 860})
    page.set_content(render_overview(name, found, "crop"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("script").count() == 0
    assert page.locator(".card").count() == 2
    assert (
        names(1)[0] in page.locator(".again").first.inner_text() or page.locator(".again").count()
    )
    page.close()
