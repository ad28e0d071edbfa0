"""The commands that write, each on a little data."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

import stellar
import stellar.cli
from stellar.config import DecoderConfig, ModelConfig
from stellar.config_toml import to_toml
from stellar.model import Stellar
from stellar.presets import demo

Call = Callable[[Path, Path], list[str]]
"""From the folders of inputs and of results to a command line."""


@dataclass(frozen=True)
class Case:
    """A command, and what goes on with it after it was stopped: by default the same call."""

    call: Call
    resumed: Call | None = None
    run: Callable[[list[str]], int] = stellar.cli.main
    takes_long: bool = False
    prepare: Callable[[Path], None] = field(default=lambda inputs: prepare(inputs))

    def again(self, inputs: Path, out: Path) -> list[str]:
        """The call that goes on where the first was stopped, if it had begun."""
        if self.resumed is not None and (out / "run/run.toml").is_file():
            return self.resumed(inputs, out)
        return self.call(inputs, out)


def save(arguments: list[str]) -> int:
    """`save_pretrained` in a script, with the signals and sentences of the command line."""
    model, folder = arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stellar.load(model).save_pretrained(folder)
    except stellar.UserError as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


SMALL = ModelConfig(
    image_size=48, patch_size=12, embed_dim=24, depth=1, num_heads=2, num_sparse_tokens=3,
    decoder=DecoderConfig(target="pixels", embed_dim=16, depth=1, num_heads=2),
)  # fmt: skip


def prepare(inputs: Path) -> None:
    """Pictures in two classes, one of them broken, a small model, and a short run's settings."""
    rng = np.random.default_rng(0)
    for index in range(12):
        file = inputs / f"pictures/{'ab'[index % 2]}/{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).save(file)
    (inputs / "pictures/a/broken.png").write_bytes(b"nothing")
    run = demo()
    training = replace(
        run.training, steps=3, batch_size=4, num_workers=0, log_every=1, sample_every=2,
        checkpoint_every=2,
    )  # fmt: skip
    run = replace(run, data=str(inputs / "pictures"), model=SMALL, training=training)
    (inputs / "run.toml").write_text(to_toml(run))
    Stellar(SMALL).save_pretrained(inputs / "model")


def prepare_changed(inputs: Path) -> None:
    """The same, and an embedding of them, after which one picture came, one went, and one was
    changed.
    """
    prepare(inputs)
    pictures = inputs / "pictures"
    earlier = inputs / "earlier.parquet"
    stellar.embed(stellar.load(str(inputs / "model")), pictures, earlier, num_workers=0)
    (pictures / "a/2.png").unlink()
    (pictures / "b/9.png").write_bytes((pictures / "a/0.png").read_bytes())
    (pictures / "b/99.png").write_bytes((pictures / "a/4.png").read_bytes())


def prepare_export(inputs: Path) -> None:
    """The same, and an export: what torch keeps of its first takes it half of the time."""
    prepare(inputs)
    (inputs / "exported").mkdir()
    stellar.export(stellar.load(str(inputs / "model")), inputs / "exported/model", "torch-export")


def bring_up_to_date(arguments: list[str]) -> int:
    """`stellar embed` where the earlier embedding is; that is put there without a write."""
    pictures, out = Path(arguments[2]), Path(arguments[4])
    if not out.exists():
        os.link(pictures.parent / "earlier.parquet", out)
    return stellar.cli.main(arguments)


def _on(*parts: str) -> Call:
    """A command line, in which {inputs} and {out} stand for the folders."""
    return lambda inputs, out: [part.format(inputs=inputs, out=out) for part in parts]


CASES = {
    "pretrain": Case(
        _on("pretrain", "--config", "{inputs}/run.toml", "--out", "{out}/run"),
        _on("pretrain", "--resume", "--out", "{out}/run"),
    ),
    "embed": Case(
        _on("embed", "{inputs}/model", "{inputs}/pictures", "--out", "{out}/x.parquet",
            "--part-size", "5"),
    ),
    "embed to a folder": Case(
        _on("embed", "{inputs}/model", "{inputs}/pictures", "--out", "{out}/parts",
            "--part-size", "5"),
    ),
    "embed what has changed": Case(
        _on("embed", "{inputs}/model", "{inputs}/pictures", "--out", "{out}/x.parquet",
            "--part-size", "5"),
        run=bring_up_to_date, prepare=prepare_changed,
    ),
    "shard": Case(_on("shard", "{inputs}/pictures", "--out", "{out}/shards")),
    "reconstruct": Case(
        _on("reconstruct", "{inputs}/model", "{inputs}/pictures", "--out", "{out}/sheet.png",
            "--count", "4"),
    ),
    "evaluate": Case(
        _on("evaluate", "{inputs}/model", "--data", "{inputs}/pictures", "--out", "{out}/report",
            "--num-seeds", "1", "--epochs", "1"),
        takes_long=True,
    ),
    "export": Case(
        _on("export", "{inputs}/model", "--out", "{out}/model.pt2", "--format",
            "torch-export"),
        takes_long=True, prepare=prepare_export,
    ),
    "convert": Case(_on("convert", "{inputs}/model", "--out", "{out}/published")),
    "save_pretrained": Case(_on("{inputs}/model", "{out}/model"), run=save),
    "compare": Case(
        _on("compare", "stellar", "--config", "{inputs}/run.toml", "--data", "{inputs}/pictures",
            "--budget", "2", "--decoder-steps", "0", "--num-seeds", "1", "--out", "{out}/compared"),
        takes_long=True,
    ),
}  # fmt: skip
