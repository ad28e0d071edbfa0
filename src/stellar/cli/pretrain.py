"""`stellar pretrain`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from stellar.cli.options import options_and_rest_of, options_of
from stellar.config import ConfigError, RunConfig
from stellar.config_toml import SETTINGS, read_run_config
from stellar.errors import UserError
from stellar.presets import PRESETS
from stellar.processes.launch import own_ranks
from stellar.storage import NotWritten

DESCRIPTION = """Train a model on a folder of images, without labels.

  stellar pretrain --data photos --out runs/photos
  stellar pretrain --data photos --out runs/big --preset b16 --model.decoder.target pixels
  stellar pretrain --data photos --out runs/mae --preset b16 --init facebook/vit-mae-base
  stellar pretrain --out runs/photos --resume

Every setting of a preset can be changed, often --training.steps, --training.batch-size and
--model.num-sparse-tokens; --init says which weights to start from. `stellar pretrain --settings`
lists them all. Presets: {presets}."""


@dataclass(frozen=True)
class Options:
    """What to train on, and where the run goes."""

    out: Path = Path("runs/stellar")
    """Folder of the run: configuration, metrics, pictures, checkpoints."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of images (searched recursively); shards: a folder of .tar files, a pattern as
    data/{000..099}.tar, an address as s3://bucket/*.tar; or `scenes`,
    `scenes-on-photographs`: the embedded ones."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    """Where settings start from; tiny by default."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A run.toml to start from instead of a preset."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the run in --out, exactly where it stopped."""
    device: str = "auto"
    """auto, cpu or cuda."""
    settings: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """List every setting with its meaning, and leave."""


def run(arguments: Sequence[str]) -> int:
    options, rest = options_and_rest_of(
        Options, "pretrain", arguments, DESCRIPTION.format(presets=", ".join(PRESETS))
    )
    fixed = ("data", "preset", "config", "settings")
    given = [f"--{name}" for name in fixed if getattr(options, name)]
    if options.resume and (rest or given):
        raise UserError(
            "a resumed run keeps its settings: drop everything but --out, --resume and --device "
            f"(got {' '.join([*given, *rest])}), "
            f"or start a new run from it, with --config {options.out / SETTINGS} "
            f"--init {options.out}"
        )
    config = None if options.resume else configure(options, rest)
    from stellar.cli.terminal import console
    from stellar.data import EMBEDDED
    from stellar.evaluation.glance import watching
    from stellar.training import pretrain, resume
    from stellar.training.pretrain import config_of

    shown, out = console(), shlex.quote(str(options.out))
    go_on = f"go on with: stellar pretrain --out {out} --resume"
    try:
        if config is None:
            config = config_of(options.out)
            result = resume(options.out, options.device, shown, watching(config))
        else:
            result = pretrain(config, options.out, options.device, shown, watching(config))
    except NotWritten as error:
        if not (options.out / SETTINGS).is_file():
            raise
        raise UserError(
            f"{error.path} cannot be written ({error.strerror}); make room or the right to write "
            f"there, and {go_on}"
        ) from error
    if own_ranks().rank:
        return 0 if result.finished else 130
    if not result.finished:
        saved = f"and saved at step {result.step}" if result.step else "before a step was saved"
        print(f"stopped {saved}; {go_on}")
        return 130
    data = shlex.quote(config.data)
    print(f"done: {out}")
    if config.objective.on("reconstruction"):
        print(f"  look at it   stellar reconstruct {out} {data} --out sheet.png")
    if data not in EMBEDDED and config.model.num_sparse_tokens:
        print(f"  use it       stellar embed {out} {data} --out embeddings.parquet")
    return 0


def configure(options: Options, rest: Sequence[str]) -> RunConfig:
    """The preset or file, changed by the rest of the command line; where that has epochs and no
    steps, those of the preset or file make room for them.
    """
    base = start_from(options.preset, options.config, "tiny")
    if options.data is not None:
        base = replace(base, data=options.data)
    if not base.data and not options.settings:
        raise UserError("pretrain needs --data: a folder of images, or scenes, the embedded ones")
    given = {option.partition("=")[0] for option in rest}
    if "--training.epochs" in given and "--training.steps" not in given:
        base = base.with_steps(None)
    return options_of(
        RunConfig,
        "pretrain",
        ["--help"] if options.settings else rest,
        "Every setting, with the value that it has now.",
        default=base,
    )


def start_from(preset: str | None, config: Path | None, default: str) -> RunConfig:
    """The settings of a run.toml, or else of a preset. Raises ConfigError for both at once."""
    if config is None:
        return PRESETS[default if preset is None else preset]()
    if preset is not None:
        raise ConfigError(f"--config {config} is in place of a preset; leave out --preset {preset}")
    return read_run_config(config)
