import io

from rich.console import Console

from stellar.evaluation import print_table
from stellar.evaluation.page import render_page


def printed(columns, width=120):
    stream = io.StringIO()
    print_table(columns, Console(file=stream, width=width))
    return stream.getvalue()


def test_the_terminal_shows_the_numbers_of_the_page(make_report):
    columns = {"untrained": make_report(), "trained": make_report(shift=0.2, psnr=22.31)}
    text, page = printed(columns), render_page(columns, [], [])
    numbers = ["18.8", "22.3", "0.37", "1,234"]
    numbers += [f"{s.accuracy:.2f}" for report in columns.values() for s in report.scores]
    for number in numbers:
        assert number in text
        assert number in page
    assert "S to material" in text
    assert "dense to digit" in text


def test_names_are_not_taken_for_markup_and_three_columns_fit_a_narrow_terminal(make_report):
    columns = {"run [red]x[/red]": make_report(), "b": make_report(), "c": make_report()}
    text = printed(columns)
    assert "run [red]x[/red]" in text
    assert max(len(line) for line in printed(columns, width=80).splitlines()) <= 80
