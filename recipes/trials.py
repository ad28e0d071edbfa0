"""What the small presets are settled by: changes of the demo's run at an equal cost, three
trainings each, judged on a split of the drawn scenes that nothing else looks at.

    python recipes/trials.py --out runs/trials                       all of them: hours on two cores
    python recipes/trials.py "no noise on L" "patches of 4 px"       some
    python recipes/trials.py --image-size 96 "masking 0.75" --out runs/trials-96
    python recipes/trials.py --config recipes/scenes.toml --tflop 20 "12 tokens"    of another run

Prints one table with mean and spread, as Markdown. Called again, it goes on.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from rich.console import Console

from stellar.config import ConfigError, RunConfig
from stellar.config_toml import read_run_config
from stellar.cost import training_flops
from stellar.data import open_scenes
from stellar.evaluation.evaluators.localisation import agreement_of
from stellar.evaluation.evaluators.reconstruction import likeness
from stellar.evaluation.evaluators.what_where import accuracy
from stellar.evaluation.scores import Evaluation, ModelScores, Quantity
from stellar.presets import demo
from stellar.study.ablate import WHOLE, ablate

Change = Callable[[RunConfig], RunConfig]


def with_section(section: str, **fields: Any) -> Change:
    """The run with these fields of a section."""
    return lambda run: replace(run, **{section: replace(getattr(run, section), **fields)})


def both(*changes: Change) -> Change:
    """One change after the other."""
    return lambda run: reduce(lambda changed, change: change(changed), changes, run)


def whole(config: Path | None = None) -> RunConfig:
    """The demo's run as it was before these trials, or the run of a file."""
    if config is None:
        return both(
            with_section("model", num_sparse_tokens=6),
            with_section("training", batch_size=64, sample_every=0),
        )(demo())
    return with_section("training", sample_every=0)(read_run_config(config))


SINGLE: dict[str, Change] = {
    "no noise on L": with_section("objective", spatial_noise=0.0),
    "noise 2 on L": with_section("objective", spatial_noise=2.0),
    "4 tokens": with_section("model", num_sparse_tokens=4),
    "8 tokens": with_section("model", num_sparse_tokens=8),
    "12 tokens": with_section("model", num_sparse_tokens=12),
    "masking 0.25": with_section("views", masking_ratio=0.25),
    "masking 0.75": with_section("views", masking_ratio=0.75),
    "crops from 0.6": with_section("views", global_scale=(0.6, 1.0)),
    "shared crop": with_section("views", share_crop=True),
    "any hue, 30% grey": with_section("views", hue=0.5, grey_probability=0.3),
    "strong colours": with_section(
        "views",
        jitter_probability=0.9,
        brightness=0.6,
        contrast=0.6,
        saturation=0.6,
        hue=0.5,
        grey_probability=0.3,
    ),
    "head on S and pooled U": with_section("objective", pooled_dense=True),
    "reconstruction 100": with_section("objective", reconstruction_weight=100.0),
    "1 masked view": with_section("views", num_masked=1),
    "no local crops": with_section("views", num_local=0),
    "batch of 32": with_section("training", batch_size=32),
    "patches of 4 px": with_section("model", patch_size=4),
    "patches of 8 px": with_section("model", patch_size=8),
    "batch of 16": with_section("training", batch_size=16),
    "global alignment": with_section("objective", global_alignment="matched"),
    "global alignment as published": with_section("objective", global_alignment="published"),
}
COMBINED: dict[str, Change] = {
    "batch of 32, shared crop": both(SINGLE["batch of 32"], SINGLE["shared crop"]),
    "batch of 16, shared crop": both(SINGLE["batch of 16"], SINGLE["shared crop"]),
    **{
        f"batch of 16, {name}": both(SINGLE["batch of 16"], SINGLE[name])
        for name in (
            "strong colours",
            "global alignment",
            "global alignment as published",
            "4 tokens",
            "12 tokens",
        )
    },
    "batch of 16, strong colours, global alignment": both(
        SINGLE["batch of 16"], SINGLE["strong colours"], SINGLE["global alignment"]
    ),
}
"""Of what was best alone."""
TRIALS = SINGLE | COMBINED
COLUMNS: dict[str, tuple[Quantity, ...]] = {
    "Z to colour": (accuracy("Z", "colour", "kNN"), accuracy("Z", "colour", "linear")),
    "Z to kind": (accuracy("Z", "class", "kNN"), accuracy("Z", "class", "linear")),
    "U to kind": (accuracy("U", "class", "kNN"), accuracy("U", "class", "linear")),
    "S to place": (accuracy("S", "place", "kNN"),),
    "L to place": (accuracy("L", "place", "kNN"),),
    "L to colour": (accuracy("L", "colour", "kNN"),),
    "ARI": (agreement_of("ARI"),),
    "PSNR": (likeness("PSNR"),),
}


def at_cost(run: RunConfig, tflop: float) -> RunConfig:
    """The run, as long as its products of matrices take so many TFLOP."""
    step = training_flops(run).total * run.training.batch_size
    return run.with_steps(max(1, round(1e12 * tflop / step)))


def at_size(run: RunConfig, size: int | None) -> RunConfig:
    """The run on larger pictures, with as many patches."""
    if size is None:
        return run
    patch = run.model.patch_size * size // run.model.image_size
    run = with_section("model", image_size=size, patch_size=patch)(run)
    return with_section("views", local_size=size // 2)(run)


def fitted(change: Change, tflop: float) -> Change:
    """The change, at the cost of so many TFLOP."""
    return lambda run: at_cost(change(run), tflop)


def markdown(evaluation: Evaluation, steps: Mapping[str, int]) -> str:
    """The trials as a table: kNN / linear where a probe says it, mean and standard deviation."""
    head = ("", "steps", *COLUMNS)
    rows = [
        (model.name, f"{steps[model.name]:,}", *(cell(model, each) for each in COLUMNS.values()))
        for model in evaluation.models
    ]
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(model: ModelScores, column: tuple[Quantity, ...]) -> str:
    """Its numbers, each with its spread."""
    scores = (model.score(quantity) for quantity in column)
    digits = (".1f" if quantity.unit else ".2f" for quantity in column)
    return " / ".join(
        f"{score.value:{form}} ± {score.spread or 0:{form}}"
        for score, form in zip(scores, digits, strict=True)
        if score is not None
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--config", type=Path, help="a run.toml; by default the demo's run")
    parser.add_argument("--tflop", type=float, default=6.0, help="of every training")
    parser.add_argument("--image-size", type=int, help="in as many patches; by default the run's")
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--scenes", type=int, default=1000, help="to learn from, and to ask")
    parser.add_argument("--out", type=Path, default=Path("runs/trials"))
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in TRIALS]:
        parser.error(f"no trial is called {', '.join(unknown)}; there are {', '.join(TRIALS)}")
    try:
        base = at_cost(at_size(whole(options.config), options.image_size), options.tflop)
    except ConfigError as error:
        parser.error(str(error))
    changes = {name: fitted(TRIALS[name], options.tflop) for name in options.names or TRIALS}
    scenes = open_scenes(base.model, options.scenes, options.scenes, test_split="tuning")
    found = ablate(base, scenes, options.out, changes, options.num_seeds, console=Console())
    runs = {WHOLE: base, **{name: change(base) for name, change in changes.items()}}
    print(markdown(found, {name: run.training.steps or 0 for name, run in runs.items()}))
    print("; ".join([found.data, *filter(None, [found.protocol.get("spread")])]))


if __name__ == "__main__":
    main()
