import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from stellar.evaluation import write_report
from stellar.evaluation.page import render_page

VOID = {"meta", "img", "col", "br"}


class Reader(HTMLParser):
    """Collects text and attributes, and checks that every element is closed in its turn."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


ROWS = [{"step": 10 * i, "loss": 9.0 - i, "set_alignment": 1.5, "note": "x"} for i in range(5)]


@pytest.mark.parametrize("names", [["trained"], ["untrained", "trained"], ["a", "b", "c"]])
def test_the_page_holds_the_numbers_of_every_column(make_report, names):
    columns = {name: make_report(0.01 * i, psnr=11.0 + i) for i, name in enumerate(names)}
    reader = read(render_page(columns, ROWS, []))
    text = " ".join(reader.text)
    for name, report in columns.items():
        assert name in text
        assert f"{report.psnr:.1f}" in text
        for score in report.scores:
            assert f"{score.accuracy:.2f}" in text
    for shared in ("0.37", "1,234", "0.25", "758,883", "1,802", "0.012", "set alignment"):
        assert shared in text
    assert reader.tags.count("table") == 2 + len(names)


def test_the_page_is_one_file_without_any_address(make_report, tmp_path):
    picture = Image.new("RGB", (30, 20), (10, 200, 30))
    path = tmp_path / "report.html"
    write_report(path, {"trained": make_report()}, ROWS, [("scenes", picture)])
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    (source,) = reader.links
    embedded = Image.open(BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))
    assert embedded.size == (30, 20)
    assert embedded.getpixel((3, 3)) == (10, 200, 30)
    assert not re.search(r"https?://|url\(|@import|<script|<link", page)


def test_names_are_text_whatever_they_hold(make_report):
    nasty = '<b>"A&B"</b>\'s <script>alert(1)</script>'
    rows = [{"step": i, nasty: float(i)} for i in range(3)]
    picture = Image.new("RGB", (4, 4))
    columns = {nasty: make_report(), "other": make_report()}
    reader = read(render_page(columns, rows, [(nasty, picture)]))
    assert "script" not in reader.tags
    assert " ".join(reader.text).count("<script>alert(1)</script>") >= 4


def test_the_colour_of_a_cell_begins_at_chance(make_report):
    page = render_page({"trained": make_report(shift=0.21)}, [], [])
    shades = dict(re.findall(r"--knows:([\d.]+)\">([\d.]+)<", page)).items()
    by_accuracy = {float(accuracy): float(shade) for shade, accuracy in shades}
    assert by_accuracy[0.99] == pytest.approx((0.99 - 0.25) / 0.75, abs=1e-3)
    assert all(shade > 0 for accuracy, shade in by_accuracy.items() if accuracy > 0.26)
    below = render_page({"untrained": make_report(shift=-0.1)}, [], [])
    assert "--knows:0.000" in below
    assert "--knows:-" not in below


def test_an_old_report_stays_when_the_new_one_cannot_be_written(make_report, tmp_path):
    path = tmp_path / "report.html"
    path.mkdir()
    with pytest.raises(OSError, match="report"):
        write_report(path, {"trained": make_report()})
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
