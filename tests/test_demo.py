"""The demo, shortened: it trains, judges itself beside its untrained self, and goes on when
called again.
"""

from pathlib import Path

from rich.console import Console

from stellar.demo import demo, with_steps
from stellar.presets import demo as preset


def test_a_short_demo(tmp_path: Path, capsys) -> None:
    config = with_steps(preset(), 25)
    result = demo(tmp_path / "demo", config, num_scenes=100, console=Console(width=120))
    untrained, trained = result.scores["untrained"], result.scores["trained"]
    assert trained.psnr > untrained.psnr + 2
    assert trained.num_parameters == untrained.num_parameters
    page = (tmp_path / "demo/report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert f"{trained.psnr:.1f}" in page
    assert (tmp_path / "demo/scenes.png").exists()
    assert f"{trained.psnr:.1f}" in capsys.readouterr().out
    again = demo(tmp_path / "demo", config, num_scenes=100)
    assert again.scores["trained"].psnr == trained.psnr
