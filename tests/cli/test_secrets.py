"""A token or a password is in no log, card, run folder or message."""

from pathlib import Path

import pytest

import stellar
from stellar.cli import main
from stellar.data import DataError
from stellar.data.shards import Shards

SECRET = "hf_aSecretThatNobodyMaySee"


@pytest.mark.usefixtures("hub_cache")
def test_the_hubs_token_is_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    steps = ["--training.steps", "2", "--training.num-workers", "0", "--training.batch-size", "2"]
    steps += ["--training.sample-every", "0"]
    run = str(tmp_path / "run")
    assert (
        main(["-v", "pretrain", "--data", "scenes", "--preset", "demo", *steps, "--out", run]) == 0
    )
    assert main(["-v", "info", "nobody/nothing"]) == 1
    assert main(["-v", "info"]) == 0
    stellar.load(run).save_pretrained(tmp_path / "card")
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "address",
    [
        f"https://me:{SECRET}@127.0.0.1:9/data/*.tar",
        f"s3://key:{SECRET}@bucket/0.tar",
        f"https://127.0.0.1:9/0.tar?X-Amz-Signature={SECRET}",
        f"https://127.0.0.1:9/0.tar?sig={SECRET}&sv=1",
    ],
)
def test_addresses_with_secrets_are_refused_without_telling_them(address: str) -> None:
    """They would be written into run.toml, and into the card of what was trained."""
    with pytest.raises(DataError, match="carries a password or a signature") as caught:
        Shards(address)
    assert SECRET not in str(caught.value)
