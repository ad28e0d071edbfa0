"""The page: complete in itself, its numbers those of the evaluation, its sections those of the
scores.
"""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.size_and_speed import numbers
from stellar.evaluation.evaluators.what_where import FACTORIZATION
from stellar.evaluation.report import paper_results
from stellar.evaluation.report.page import render_page, write_report
from stellar.evaluation.report.page.figures import balance, sizes, what_where
from stellar.evaluation.report.page.tables import all_numbers, headline
from stellar.evaluation.scores import Score

VOID = {"meta", "img", "col", "br"}
ROWS = [{"step": 10 * i, "loss": 9.0 - i, "set_alignment": 1.5, "note": "x"} for i in range(5)]


class Reader(HTMLParser):
    """Collects text and attributes, and checks that every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.text, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


@pytest.mark.parametrize("names", [["trained"], ["untrained", "trained"], [*"abcdefgh"]])
def test_the_page_holds_the_numbers_of_every_model(make_evaluation, names: list[str]) -> None:
    evaluation = make_evaluation(*names)
    text = " ".join(read(render_page(evaluation, curves=ROWS)).text)
    for model in evaluation.models:
        assert model.name in text
        for score in model.scores:
            assert score.number in text
    for shared in ("1,802", "2,345", "37.5%", "0123456789abcdef", "LPIPS needs its weights",
                   "RGB, 48 x 48", "by cosine", "set alignment", "± 0.3"):  # fmt: skip
        assert shared in text


def test_sections_are_there_when_their_scores_are(make_evaluation) -> None:
    everything = headings(render_page(make_evaluation("a", "b"), curves=ROWS))
    assert everything == [
        "Semantics against reconstruction", "Quality against size", "What S and L know",
        "What against where", "All numbers", "The training run", "Published",
        "How it was measured",
    ]  # fmt: skip
    assert headings(render_page(make_evaluation("a", "b", parts=()))) == [
        "Published", "How it was measured",
    ]  # fmt: skip
    assert balance(make_evaluation("alone")) == "", "one point is no comparison"
    (model,) = make_evaluation("a").models
    scores = (s for s in model.scores if s.quantity not in FACTORIZATION.quantities)
    labelled = replace(model, scores=tuple(scores))
    evaluation = replace(make_evaluation("a"), models=(labelled,))
    assert what_where(evaluation) == ""
    assert "kNN top-1" in sizes(evaluation)
    assert "class of an object" not in sizes(evaluation)


def test_what_passes_a_bottleneck_is_drawn_and_explained_where_a_model_has_one(
    make_evaluation,
) -> None:
    ours, dense = make_evaluation("ours", "dense").models
    whole = sizes(make_evaluation("ours"))
    assert "S: the tokens; U: the dense grid of patches. " in whole
    size = Score(numbers("bottleneck"), 2304.0)
    scores = [s for s in dense.scores if s.quantity.test == "kNN" and s.quantity.feature == "U"]
    squeezed = replace(dense, scores=(size, *scores))
    page = sizes(replace(make_evaluation("ours"), models=(ours, squeezed)))
    assert "; Z: what passes a bottleneck. " in page
    assert f"<title>dense, Z: {squeezed.scores[-1].text}, 2,304 numbers</title>" in page


def test_titles_of_tests_begin_with_a_capital_but_for_names_that_have_their_own(
    make_evaluation,
) -> None:
    page = render_page(make_evaluation("a"))
    titles = re.findall(r"<summary>(.*?)<small>", page)
    assert {"kNN", "Linear probe", "Reconstruction"} <= set(titles)
    assert "first-letter" not in page


def test_models_may_lack_what_others_have(make_evaluation) -> None:
    ours, theirs = make_evaluation("ours", "theirs").models
    scores = (s for s in theirs.scores if "S" not in s.quantity.feature)
    theirs = replace(theirs, scores=tuple(scores))
    evaluation = replace(make_evaluation("ours"), models=(ours, theirs))
    read(render_page(evaluation))
    assert headline(evaluation).count("&ndash;") == 3
    assert "<small>U</small>" in headline(evaluation), "their numbers an image are of U"


def test_the_best_of_each_row_is_marked(make_evaluation) -> None:
    page = headline(make_evaluation("low", "high"))
    (row,) = re.findall(r"<tr>(?:(?!<tr>).)*PSNR.*?</tr>", page)
    assert re.findall(r"<td class=best>([\d.]+)", row) == ["20.8"]
    (row,) = re.findall(r"<tr>(?:(?!<tr>).)*S forgets where.*?</tr>", page)
    assert re.findall(r"<td class=best>([\d.]+)", row) == ["0.17"]
    assert "class=best" not in headline(make_evaluation("alone"))


def test_the_page_is_one_file_without_any_address(make_evaluation, tmp_path: Path) -> None:
    picture = Image.new("RGB", (30, 20), (10, 200, 30))
    path = tmp_path / "report.html"
    write_report(path, make_evaluation("a", "b"), [("scenes", picture)], ROWS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    page = path.read_text(encoding="utf-8")
    (source,) = read(page).links
    encoded = source.removeprefix("data:image/webp;base64,")
    with Image.open(BytesIO(base64.b64decode(encoded))) as embedded:
        assert embedded.size == (30, 20)
    assert not re.search(r"https?://|url\(|@import|<script|<link", page)


def test_names_are_text_whatever_they_hold(make_evaluation) -> None:
    nasty = '<b>"A&B"</b>\'s <script>alert(1)</script>'
    rows = [{"step": i, nasty: float(i)} for i in range(3)]
    evaluation = make_evaluation(nasty, "other")
    first = replace(
        evaluation.models[0],
        scores=(*evaluation.models[0].scores, Score(likeness("SSIM"), 1.0, nasty)),
        notes=(nasty,),
    )
    evaluation = replace(evaluation, models=(first, evaluation.models[1]), data=nasty,
                         classes=(nasty,), protocol={nasty: nasty})  # fmt: skip
    reader = read(render_page(evaluation, [(nasty, Image.new("RGB", (4, 4)))], rows))
    assert "script" not in reader.tags
    assert " ".join(reader.text).count("<script>alert(1)</script>") >= 7


def test_the_colour_of_a_cell_begins_at_chance(make_evaluation) -> None:
    page = render_page(make_evaluation("a"))
    cells = re.findall(r'--knows:([\d.]+)">([\d.]+)<', page)
    assert len(cells) == 24
    assert cells[0] == ("0.000", "0.05"), "below the chance of 0.11"
    of_class = (0.05 + 0.03 * 16 - 0.11) / 0.89
    assert float(cells[16][0]) == pytest.approx(of_class, abs=1e-3)


def test_what_was_chosen_is_said_once_where_it_is_the_same(make_evaluation) -> None:
    page = all_numbers(make_evaluation("a", "b", "c"))
    assert page.count("1000 test pictures") == 1
    assert page.count("S, rate 1.0e-03") == 1
    assert page.count("<details") == 5
    assert page.count(" open>") == 2, "linear probe and reconstruction: they are short"


def test_the_published_table_stands_apart(make_evaluation) -> None:
    page = render_page(make_evaluation("a", "b"))
    before, _, after = page.partition("<h2>Published</h2>")
    assert "published, not measured here" in after
    assert "ImageNet-1k" in after
    for row in paper_results.TABLE:
        assert f"{row.linear:.2f}" in after
        assert f"{row.linear:.2f}" not in before


def test_an_old_report_stays_when_the_new_one_cannot_be_written(
    make_evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(OSError, match="report"):
        write_report(path, make_evaluation("a"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
