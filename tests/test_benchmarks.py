"""The benchmark driver: rows of several modules in one table, whatever becomes of one of them."""

import os
from pathlib import Path

import pytest
import torch

import attention
import limits
import run
from table import Row, rows_table, unmeasured

WORKS = """
import os
from table import Row, unmeasured

def rows():
    print("words that are no row")
    os.system("echo nor are these")
    yield Row("quick work", "s", 2.0, 4.0, 1.5, 1.0, smaller_is_better=True, note="plain: slow")
    yield unmeasured("work for a GPU", "images/s", 4.0)
"""
FAILS = """
from table import Row

def rows():
    yield Row("half of it", "images/s", 3.0, 2.0, 2.0)
    raise ValueError("no luck")
"""


def test_a_module_that_fails_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    (tmp_path / "works.py").write_text(WORKS)
    paths = (str(tmp_path), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    assert run.measure(["fails", "works"], tmp_path / "out.md") == 1
    text = (tmp_path / "out.md").read_text()
    assert text in capsys.readouterr().out
    assert text.startswith("## Benchmarks\n")
    assert "| 1 | half of it | images/s | 2 | 3 | 1.5 | 2 | no | - | - |" in text
    assert "| 2 | `fails` failed |" in text
    assert "- **2** not measured: exit code 1, ValueError: no luck" in text
    assert "| 3 | quick work | s | 4 | 2 | 2 | 1.5 | yes | 1 | 50% |" in text
    assert "| 4 | work for a GPU | images/s | - | - | - | 4 | not measured | - | - |" in text
    assert "- **4** not measured: no GPU" in text
    assert "words" not in text


def test_an_unknown_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "loding"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark is called loding; there are training_step" in capsys.readouterr().err


def test_notes_stand_below_once_with_all_their_numbers() -> None:
    same = [Row(f"work {number}", "s", 1.0, 1.0, None, note="the same") for number in range(3)]
    lines = rows_table([*same, unmeasured("other", "s", None, "no time")]).splitlines()
    assert lines[-2:] == ["- **1, 2, 3** the same", "- **4** not measured: no time"]


@pytest.mark.parametrize(("smaller", "ratio", "share"), [(True, 0.5, 2.5), (False, 2.0, 0.4)])
def test_better_is_above_one_in_any_unit(smaller: bool, ratio: float, share: float) -> None:
    row = Row("work", "", 4.0, 2.0, 1.0, 10.0, smaller_is_better=smaller)
    assert row.ratio == ratio
    assert row.of_limit == share
    assert row.met == ("no" if smaller else "yes")


def test_limits_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits.SIDE, "cpu", 64)
    monkeypatch.setitem(limits.COPIED, "cpu", 1 << 16)
    limits._seconds.cache_clear()
    flops = limits.matmul_flops(torch.float32, "cpu")
    assert 1e7 < flops < 1e13
    assert limits.matmul_flops(torch.float32, torch.device("cpu")) == flops
    assert limits.bandwidth("cpu") > 1e6
    limits._seconds.cache_clear()


def test_what_a_cpu_emulates_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One product of 2048 x 2048 in emulated bf16 takes a minute."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    monkeypatch.setitem(limits.SIDE, "cpu", 64)
    monkeypatch.setitem(limits.COPIED, "cpu", 1 << 16)
    limits._seconds.cache_clear()
    found = {row.what: row for row in limits.rows(toy=True)}
    assert found["matrix products in bf16"].met == "not measured"
    assert found["matrix products in fp32"].value > 0
    assert [row.met for row in attention.rows(toy=True)] == ["not measured"]
    limits._seconds.cache_clear()
