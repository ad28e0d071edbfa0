"""Whole runs in one process: what they leave, what they survive, and that they can be continued
exactly.
"""

import io
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

import stellar
from stellar.cli import main
from stellar.config import ConfigError, RunConfig
from stellar.config_toml import to_toml
from stellar.data import DataError, Scenes
from stellar.model import Stellar
from stellar.model.encoder import Tokens
from stellar.model.files.locating import WEIGHTS, checkpoints
from stellar.model.vqgan import VQGAN, VQGANConfig
from stellar.presets import PRESETS
from stellar.processes.launch import Ranks
from stellar.storage import SUMS, checksum, place_folder
from stellar.study.systems import dense, dino, mae, slots
from stellar.training import RunError, TrainingStopped, pretrain, resume
from stellar.training.loop import Training
from stellar.training.run_folder import METRICS, RunFolder, read_metrics
from stellar.training.setup import build_model, prepare

TIMING = ("images_per_second",)


def rows(run: Path) -> list[dict[str, float]]:
    return [
        {k: v for k, v in row.items() if k not in TIMING} for row in read_metrics(run / METRICS)
    ]


def final_hash(run: Path) -> str:
    return checksum(checkpoints(run)[-1] / "model.safetensors")


def with_training(config: RunConfig, **changes: object) -> RunConfig:
    return replace(config, training=replace(config.training, **changes))


def test_what_a_run_leaves(tmp_path: Path, config: RunConfig) -> None:
    result = pretrain(with_training(config, sample_every=4), tmp_path / "run")
    assert (result.step, result.finished) == (8, True)
    run = result.folder
    assert [row["step"] for row in rows(run)] == list(range(1, 9))
    assert {"reconstruction", "set_alignment", "effective_rank", "gradient_norm"} <= rows(run)[
        0
    ].keys()
    assert [folder.name for folder in checkpoints(run)] == ["step-00000006", "step-00000008"]
    assert sorted(file.name for file in (run / "samples").iterdir()) == [
        "step-00000004.png",
        "step-00000008.png",
    ]
    factors = stellar.load(run).encode(torch.rand(1, 3, 16, 16))
    assert factors.sparse.shape == (1, 3, 24)


def test_a_trial_that_is_shorter_than_the_time_between_samples_leaves_one(
    tmp_path: Path, config: RunConfig
) -> None:
    run = pretrain(with_training(config, steps=3, sample_every=1000), tmp_path / "run").folder
    assert [file.name for file in (run / "samples").iterdir()] == ["step-00000003.png"]


def test_samples_are_told_of_with_what_is_known_by_then(tmp_path: Path, config: RunConfig) -> None:
    """And looking at a model changes nothing of its run."""

    def look(model: Stellar) -> str:
        return f"{model.encode(torch.rand(1, 3, 16, 16)).sparse.shape[1]} tokens"

    told = io.StringIO()
    drawing, plain, looking = with_training(config, sample_every=4), tmp_path / "a", tmp_path / "b"
    pretrain(drawing, plain, console=Console(file=told, width=200))
    pretrain(drawing, looking, console=Console(file=told, width=200), look=look)
    lines = told.getvalue().splitlines()
    assert f"step 8  {plain}/samples/step-00000008.png" in lines
    assert f"step 8  3 tokens  {looking}/samples/step-00000008.png" in lines
    assert rows(plain) == rows(looking)
    assert final_hash(plain) == final_hash(looking)


def test_without_tokens_there_is_no_sheet(tmp_path: Path, config: RunConfig) -> None:
    for number, system in enumerate((dino, mae, dense)):
        run = pretrain(with_training(system(config), sample_every=4), tmp_path / f"{number}").folder
        assert not (run / "samples").exists()
    run = pretrain(with_training(slots(config), sample_every=4), tmp_path / "slots").folder
    assert (run / "samples/step-00000004.png").exists()


def test_a_run_knows_the_pictures_that_it_was_begun_with(tmp_path: Path, config: RunConfig) -> None:
    for number in range(8):
        Image.new("RGB", (16, 16), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / f"{number}.png").rename(tmp_path / f"pictures/{number}.png")
    config = replace(config, data=str(tmp_path / "pictures"))
    run = pretrain(config, tmp_path / "run").folder
    resume(run)
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures/new.png")
    with pytest.raises(RunError, match=r"other pictures than .* \(9 now, 8 then; .* --init .*run"):
        resume(run)
    (tmp_path / "pictures/0.png").unlink()
    with pytest.raises(RunError, match=r"\(8 now, 8 then; or names or files were changed\)"):
        resume(run)
    (tmp_path / "pictures/new.png").unlink()
    Image.new("RGB", (16, 16), (0, 0, 1)).save(tmp_path / "pictures/0.png")
    with pytest.raises(RunError, match="files were changed"):
        resume(run)
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures/0.png")
    resume(run)
    with pytest.raises(DataError, match="lies within"):
        pretrain(config, tmp_path / "pictures/run")
    assert not (tmp_path / "pictures/run").exists()


def test_pictures_are_read_at_the_start_where_they_will_be_drawn(
    tmp_path: Path, config: RunConfig
) -> None:
    """By the first process, of a run that draws any."""

    class Counted(Scenes):
        reads = 0

        def read(self, index: int) -> torch.Tensor:
            self.reads += 1
            return super().read(index)

    def reads(sample_every: int, run: RunFolder | None) -> int:
        source = Counted("train", size=16, length=10)
        drawing = with_training(config, sample_every=sample_every)
        ingredients = replace(prepare(drawing), source=source)
        ranks = Ranks(int(run is None), 2)
        Training.set_up(ingredients, run, ranks, torch.device("cpu"), None)
        return source.reads

    with RunFolder.create(tmp_path / "run", config) as run:
        assert [reads(4, run), reads(0, run), reads(4, None)] == [6, 0, 0]


def test_only_processes_that_show_something_look_at_the_model(
    tmp_path: Path, config: RunConfig
) -> None:
    """The first, or all where the model is sharded, since none can run it alone."""

    def looks(parallel: str, run: RunFolder | None) -> int:
        looked: list[Stellar] = []

        def look(model: Stellar) -> str:
            looked.append(model)
            return ""

        ingredients, device = prepare(with_training(config, parallel=parallel)), torch.device("cpu")
        training = Training.set_up(ingredients, run, Ranks(), device, None, look)
        training.recorder.draw(training.model, training.counters)
        return len(looked)

    with RunFolder.create(tmp_path / "run", config) as run:
        assert [looks("ddp", run), looks("ddp", None), looks("fsdp", None)] == [1, 0, 1]


class Greys:
    """A source that is nobody's but its user's."""

    def __init__(self, channels: int = 3, length: int = 10) -> None:
        self.channels, self.length = channels, length

    def __len__(self) -> int:
        return self.length

    def read(self, index: int) -> torch.Tensor:
        return torch.full((self.channels, 20, 24), 20 * index, dtype=torch.uint8)

    def name(self, index: int) -> str:
        return f"grey {index}"


def test_a_source_of_ones_own_is_learned_from(tmp_path: Path, config: RunConfig) -> None:
    config, out = replace(config, data="greys"), tmp_path / "run"
    assert pretrain(config, out, source=Greys()).finished
    history = stellar.load(out).history
    assert history is not None
    assert (history.data, history.num_images) == ("greys", 10)
    shutil.rmtree(checkpoints(out)[-1])
    with pytest.raises(
        DataError, match=r"greys does not exist; put it back, .* of your own goes to res"
    ):
        resume(out)
    with pytest.raises(RunError, match=r"greys holds other pictures .* \(11 now, 10 then"):
        resume(out, source=Greys(length=11))
    assert resume(out, source=Greys()).step == 8


@pytest.mark.usefixtures("unchecked")
def test_a_source_that_cannot_be_learned_from_gets_a_sentence(
    tmp_path: Path, config: RunConfig
) -> None:
    for source, message in (
        (torch.zeros(10, 3, 24, 24), "a source of images has channels, .* got a Tensor"),
        (Greys(length=0), "holds no images"),
        (Greys(channels=1), "have 1 channels and the model 3; set model.in_chans"),
    ):
        with pytest.raises(DataError, match=message):
            pretrain(config, tmp_path / "run", source=source)  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "run").exists()


def test_metrics_are_told_as_they_are_written(tmp_path: Path, config: RunConfig) -> None:
    told: list[Mapping[str, Any]] = []
    run = pretrain(with_training(config, log_every=3), tmp_path / "run", told=told.append).folder
    assert [row["step"] for row in told] == [3, 6, 8]
    assert told == read_metrics(run / METRICS)


def test_learning_lowers_the_reconstruction_error(tmp_path: Path, config: RunConfig) -> None:
    run = pretrain(with_training(config, steps=40, batch_size=16), tmp_path / "run").folder
    errors = [row["reconstruction"] for row in rows(run)]
    assert errors[-1] < 0.7 * errors[0]


def test_the_same_seed_gives_the_same_run(tmp_path: Path, config: RunConfig) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain(with_training(config, seed=seed), tmp_path / name)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert final_hash(tmp_path / "a") == final_hash(tmp_path / "b") != final_hash(tmp_path / "c")


def test_crops_cut_on_the_device_train_alike_with_any_workers(
    tmp_path: Path, config: RunConfig
) -> None:
    whole = replace(config, views=replace(config.views, crops="device"))
    for name, settings in (("workers", config), ("device", whole)):
        pretrain(settings, tmp_path / name)
    theirs, ours = rows(tmp_path / "workers"), rows(tmp_path / "device")
    assert ours != theirs
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in theirs], rel=0.02)
    pretrain(with_training(whole, num_workers=1), tmp_path / "again")
    assert rows(tmp_path / "again") == ours


class Stopping(io.StringIO):
    """A terminal's text; when the first step is reported, the process is asked to stop."""

    def __init__(self, stop: signal.Signals) -> None:
        super().__init__()
        self.stop = stop

    def write(self, text: str) -> int:
        if "step 1/8" in text:
            os.kill(os.getpid(), self.stop)
        return super().write(text)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, config: RunConfig, stop: signal.Signals
) -> None:
    config = with_training(config, accumulate=2)
    config = replace(config, objective=replace(config.objective, teacher="cosine"))
    pretrain(config, tmp_path / "whole")
    before = signal.getsignal(stop)
    first = pretrain(config, tmp_path / "parts", console=Console(file=Stopping(stop)))
    assert (first.step, first.finished) == (2, False)
    assert signal.getsignal(stop) == before
    assert resume(tmp_path / "parts").finished
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert final_hash(tmp_path / "parts") == final_hash(tmp_path / "whole")


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, config: RunConfig) -> None:
    pretrain(config, tmp_path / "run")
    before, metrics = final_hash(tmp_path / "run"), rows(tmp_path / "run")
    assert resume(tmp_path / "run").step == 8
    assert (final_hash(tmp_path / "run"), rows(tmp_path / "run")) == (before, metrics)
    assert "finished already: all 8 steps are done" in (tmp_path / "run/log.txt").read_text()


CHANGES = {
    "training": {"steps": 3, "seed": 1, "batch_size": 2, "learning_rate": 0.5},
    "model": {"embed_dim": 48},
    "objective": {"teacher": "constant"},
    "views": {"num_masked": 1},
}


@pytest.mark.parametrize("section", CHANGES)
def test_a_resumed_run_keeps_its_settings(tmp_path: Path, config: RunConfig, section: str) -> None:
    """The refusal names those that were edited, and changes nothing."""
    run, changes = pretrain(config, tmp_path / "run").folder, CHANGES[section]
    before = final_hash(run), rows(run)
    edited = replace(config, **{section: replace(getattr(config, section), **changes)})
    (run / "run.toml").write_text(to_toml(edited))
    with pytest.raises(ConfigError, match=f"a resumed run keeps .* --init {run}$") as refusal:
        resume(run)
    for name, value in changes.items():
        was = json.dumps(getattr(getattr(config, section), name))
        assert f"{section}.{name} = {json.dumps(value)} (was {was})" in str(refusal.value)
    assert (final_hash(run), rows(run)) == before


def whole_and_begun(folder: Path, config: RunConfig) -> Path:
    """A run in `folder`/whole, and the same one, stopped on its way, in the folder returned."""
    pretrain(config, folder / "whole")
    begun = folder / "parts"
    assert not pretrain(config, begun, console=Console(file=Stopping(signal.SIGINT))).finished
    return begun


def test_what_changes_no_number_may_be_edited_before_a_run_goes_on(
    tmp_path: Path, config: RunConfig
) -> None:
    parts = whole_and_begun(tmp_path, config)
    edited = with_training(config, num_workers=1, checkpoint_every=2, keep_every=2, recompute=True)
    (parts / "run.toml").write_text(to_toml(edited))
    assert resume(parts).finished
    assert rows(parts) == rows(tmp_path / "whole")
    assert final_hash(parts) == final_hash(tmp_path / "whole")


def test_a_checkpoint_that_does_not_tell_its_settings_is_taken_up(
    tmp_path: Path, config: RunConfig
) -> None:
    """As those of an earlier version, which tell sizes and objective alone."""
    parts = whole_and_begun(tmp_path, config)
    (newest,) = checkpoints(parts)
    told = json.loads((newest / "config.json").read_text())
    files = {file.name: file.read_bytes() for file in newest.iterdir() if file.name != SUMS}
    files["config.json"] = json.dumps(
        {name: told[name] for name in ("model", "objective", "history")}
    ).encode()

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).write_bytes(content)

    place_folder(newest, write)
    assert resume(parts).finished
    assert final_hash(parts) == final_hash(tmp_path / "whole")


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_it_learns_also_where_gradients_are_off(
    tmp_path: Path, config: RunConfig, without: Callable
) -> None:
    with without():
        assert pretrain(config, tmp_path / "run").step == 8
        assert not torch.is_grad_enabled()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("given", "came"), [("tiny", "str"), (PRESETS["tiny"], "function")])
def test_what_is_no_configuration_gets_a_sentence(
    tmp_path: Path, given: RunConfig, came: str
) -> None:
    with pytest.raises(ConfigError, match=rf"PRESETS\['tiny'\]\(\) is one, got a {came}"):
        pretrain(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_needs_data(tmp_path: Path) -> None:
    """A preset has none of its own: pictures are not those of the demo by default."""
    with pytest.raises(ConfigError, match=r"needs data: .* dataclasses.replace\(config, data='ph"):
        pretrain(PRESETS["tiny"](), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_may_lie_at_home(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert pretrain(config, "~/runs/x").folder == tmp_path / "home/runs/x"
    assert resume("~/runs/x").finished
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_run_goes_on_in_another_folder(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its files were named from the one that it began in, and no checkpoint is there."""
    sizes = VQGANConfig(channels=32, multipliers=(1, 1, 1), num_blocks=1, code_dim=8, num_codes=20)
    torch.save(VQGAN(sizes).state_dict(), tmp_path / "vqgan.bin")
    decoder = replace(config.model.decoder, target="codes", num_codes=20, tokenizer="vqgan.bin")
    config = replace(config, model=replace(config.model, decoder=decoder))
    monkeypatch.chdir(tmp_path)
    pretrain(config, "first")
    pretrain(replace(config, init="first"), "second")
    shutil.rmtree("second/checkpoints")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert resume("../second").finished
    assert stellar.load("../second").can_draw


def test_resuming_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run to resume"):
        resume(tmp_path)


def test_the_teacher_is_updated_once_a_step_however_many_parts_it_has(
    tmp_path: Path, config: RunConfig
) -> None:
    teacher = replace(config.objective, teacher="constant", teacher_momentum=0.5)
    config = with_training(replace(config, objective=teacher), accumulate=4, steps=3)
    pretrain(with_training(config, checkpoint_every=1), tmp_path / "run")
    before, after = (load_file(folder / WEIGHTS) for folder in checkpoints(tmp_path / "run"))
    names = [name for name in after if name.startswith("teacher.")]
    assert names
    for name in names:
        student = after[name.removeprefix("teacher.")]
        torch.testing.assert_close(after[name], (before[name] + student) / 2)


def disturbed(config: RunConfig, out: Path, *disturb: Callable[[Training], object]) -> bool:
    """A run that is changed before its first step, or before it goes on; whether it came to its
    end.
    """
    resumed = out.exists()
    with RunFolder(out, config) if resumed else RunFolder.create(out, config) as run:
        training = Training.set_up(prepare(config), run, Ranks(), torch.device("cpu"), None)
        if resumed:
            run.forget_after(training.restore(out))
        for change in disturb:
            change(training)
        return training.run_to_end()


def poison(steps: range) -> Callable[[Training], object]:
    """Every masked view of these steps is NaN where the encoder takes it."""

    def disturb(training: Training) -> None:
        def views(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            images, *rest = given
            is_masked = bool(rest) and rest[0] is not None  # the patches that a view keeps
            poisoned = is_masked and training.counters.step in steps
            return (images * float("nan"), *rest) if poisoned else given

        training.model.encoder.register_forward_pre_hook(views)

    return disturb


def stop_in(step: int) -> Callable[[Training], object]:
    """Ctrl-C while this step is taken."""

    def disturb(training: Training) -> None:
        def stop(*_: object) -> None:
            if training.counters.step == step:
                hook.remove()  # a second one would end it at once
                os.kill(os.getpid(), signal.SIGINT)

        hook = training.model.encoder.register_forward_pre_hook(stop)

    return disturb


def test_a_non_finite_step_is_skipped_and_reported(tmp_path: Path, config: RunConfig) -> None:
    assert disturbed(config, tmp_path / "run", poison(range(2, 4)))
    assert rows(tmp_path / "run")[-1]["skipped_steps"] == 2
    assert "step 3 skipped: non-finite set_alignment" in (tmp_path / "run/log.txt").read_text()
    state = stellar.load(tmp_path / "run").state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_many_in_a_row_stop_the_run_with_the_last_good_checkpoint(
    tmp_path: Path, config: RunConfig
) -> None:
    """None is written while steps are skipped, since for it a good one would be removed. What the
    message names can be started from; the weights of step 8 would give the same loss again.
    """
    run, endless = tmp_path / "run", with_training(config, steps=50, max_skipped_steps=8)
    said = (
        rf"8 steps in a row .* \(--config {run}/run.toml\) and .* \(--init {run}/.*step-00000006\)"
    )
    with pytest.raises(TrainingStopped, match=said):
        disturbed(endless, run, poison(range(8, 100)))
    assert [folder.name for folder in checkpoints(run)] == ["step-00000003", "step-00000006"]
    good = replace(config, init=str(checkpoints(run)[-1]))
    assert pretrain(with_training(good, learning_rate=1e-4), tmp_path / "another").finished
    with pytest.raises(TrainingStopped, match=r"run.toml\), with another --out and a lower"):
        disturbed(endless, tmp_path / "at once", poison(range(3, 100)))
    assert [folder.name for folder in checkpoints(tmp_path / "at once")] == ["step-00000003"]


@pytest.mark.parametrize(("first", "saved"), [(0, []), (4, ["step-00000003"])])
def test_stopped_while_steps_are_skipped_it_takes_them_again(
    tmp_path: Path, config: RunConfig, first: int, saved: list[str]
) -> None:
    """Also a run whose first steps are skipped, which has no checkpoint yet."""
    bad = poison(range(first, first + 3))
    assert disturbed(config, tmp_path / "whole", bad)
    assert not disturbed(config, tmp_path / "parts", bad, stop_in(first + 1))
    assert [folder.name for folder in checkpoints(tmp_path / "parts")] == saved
    assert disturbed(config, tmp_path / "parts", bad)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert final_hash(tmp_path / "parts") == final_hash(tmp_path / "whole")


def test_a_run_that_ends_in_skipped_steps_is_not_finished(
    tmp_path: Path, config: RunConfig
) -> None:
    for _ in range(2):  # the second time resumed
        with pytest.raises(
            TrainingStopped, match=r"skipped 2 of 8 steps .* \(--init .*step-00000003"
        ):
            disturbed(config, tmp_path / "run", poison(range(6, 8)))
        found = [folder.name for folder in checkpoints(tmp_path / "run")]
        assert found == ["step-00000003", "step-00000006"]


def test_a_run_whose_very_last_step_is_skipped_is_finished(
    tmp_path: Path, config: RunConfig
) -> None:
    assert disturbed(config, tmp_path / "run", poison(range(7, 8)))
    assert checkpoints(tmp_path / "run")[-1].name == "step-00000008"
    whole = stellar.load(tmp_path / "run")
    assert torch.isfinite(whole.encode(torch.rand(1, 3, 16, 16)).lowrank).all()


def test_a_model_that_is_destroyed_is_no_success(
    tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user sees it; its metrics are JSON all the same."""
    wild, run = with_training(config, learning_rate=1e6, precision="fp32"), tmp_path / "run"
    (tmp_path / "wild.toml").write_text(to_toml(wild))
    assert main(["pretrain", "--config", str(tmp_path / "wild.toml"), "--out", str(run)]) == 1
    told = capsys.readouterr()
    assert "done" not in told.out
    assert "the run skipped 7 of 8 steps for a non-finite loss or gradient" in told.err

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    lines = (run / METRICS).read_text().splitlines()
    assert json.loads(lines[-1], parse_constant=refuse)["gradient_norm"] is None


def test_a_non_finite_step_is_no_figure_of_a_model(
    tmp_path: Path, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Steps are skipped at the last line of metrics before the last checkpoint."""
    often = with_training(config, log_every=3, checkpoint_every=5, steps=9)
    assert not disturbed(often, tmp_path / "run", poison(range(2, 4)), stop_in(4))
    history = stellar.load(tmp_path / "run").history
    assert history is not None
    assert history.metrics["step"] == 3
    assert "loss" not in history.metrics
    assert main(["info", str(tmp_path / "run")]) == 0
    assert "step 3, loss not finite, effective rank" in capsys.readouterr().out


def test_collapse_is_said_once(tmp_path: Path, config: RunConfig) -> None:
    """All tokens equal: the run goes on, and the log says what is wrong."""

    def collapse(training: Training) -> None:
        def encoded(encoder: nn.Module, _: object, tokens: Tokens) -> Tokens:
            token = encoder.get_parameter("sparse_tokens").flatten(0, -2)[0]
            return replace(tokens, sparse=tokens.sparse * 0 + token)

        training.model.encoder.register_forward_hook(encoded)

    assert disturbed(with_training(config, steps=30), tmp_path / "run", collapse)
    log = (tmp_path / "run/log.txt").read_text()
    assert log.count("all tokens are nearly the same") == 1

    def collapse_and_end(training: Training) -> None:
        collapse(training)
        poison(range(11, 30))(training)

    short = with_training(config, steps=30, max_skipped_steps=1)
    with pytest.raises(TrainingStopped):
        disturbed(short, tmp_path / "short", collapse_and_end)
    log = (tmp_path / "short/log.txt").read_text()
    assert "nearly the same" not in log, "not in the first half of a short run"
    assert "skipped" in log


def test_starting_from_another_run(tmp_path: Path, config: RunConfig) -> None:
    """The second stage of a run from random weights: the teacher goes, the rest stays."""
    first = replace(config, objective=replace(config.objective, teacher="constant"))
    pretrain(first, tmp_path / "first")
    second = with_training(
        replace(config, init=str(tmp_path / "first")), steps=1, learning_rate=1e-12
    )
    pretrain(second, tmp_path / "second")
    images = torch.rand(1, 3, 16, 16)
    before, after = (stellar.load(tmp_path / name).encode(images) for name in ("first", "second"))
    torch.testing.assert_close(before.sparse, after.sparse)


def test_starting_from_a_run_on_smaller_pictures(tmp_path: Path, config: RunConfig) -> None:
    """A second stage on pictures twice as large begins with what the first learned, heads too."""
    pretrain(config, tmp_path / "first")
    second = replace(
        config,
        init=str(tmp_path / "first"),
        model=replace(config.model, image_size=32, patch_size=8),
        views=replace(config.views, local_size=16),
    )
    pretrain(with_training(second, steps=1, learning_rate=1e-12), tmp_path / "second")
    images = torch.rand(1, 3, 32, 32)
    before = stellar.load(tmp_path / "first").encode(torch.nn.functional.avg_pool2d(images, 2))
    after = stellar.load(tmp_path / "second").encode(images)
    torch.testing.assert_close(after.sparse, before.sparse)
    torch.testing.assert_close(after.spatial, before.spatial)
    heads = [stellar.load(tmp_path / name, purpose="pretrain") for name in ("first", "second")]
    first, second = (model.state_dict()["sparse_head.prototypes"] for model in heads)
    torch.testing.assert_close(first, second)


def test_starting_from_a_masked_autoencoder(tmp_path: Path, config: RunConfig) -> None:
    """Encoder and decoder are its own, tokens and factorization as initialised."""
    pretrain(mae(config), tmp_path / "mae")
    second = replace(config, init=str(tmp_path / "mae"))
    pretrain(with_training(second, steps=1, learning_rate=1e-12), tmp_path / "stellar")
    before = stellar.load(tmp_path / "mae", purpose="pretrain").state_dict()
    after = stellar.load(tmp_path / "stellar").state_dict()
    untouched = build_model(second).state_dict()
    for name, tensor in after.items():
        new = name.startswith(("factorization.", "encoder.sparse_tokens"))
        torch.testing.assert_close(tensor, (untouched if new else before)[name])


def test_heads_and_a_decoder_of_other_sizes_start_anew(tmp_path: Path, config: RunConfig) -> None:
    """Encoder and tokens are those of the run, and its log says what is not."""
    pretrain(config, tmp_path / "first")
    deeper = replace(config.model, decoder=replace(config.model.decoder, depth=2))
    finer = replace(config.objective, num_prototypes=20)
    second = replace(config, init=str(tmp_path / "first"), model=deeper, objective=finer)
    started = prepare(second)
    assert started.taken_over.endswith("model.safetensors; heads and decoder start anew")
    before = stellar.load(tmp_path / "first").state_dict()
    untouched = build_model(second).state_dict()
    for name, tensor in started.model.state_dict().items():
        new = name.startswith(("sparse_head.", "cls_head.", "decoder."))
        assert torch.equal(tensor, (untouched if new else before)[name])
    pretrain(with_training(second, steps=1), tmp_path / "second")
    assert "heads and decoder start anew" in (tmp_path / "second/log.txt").read_text()


def test_starting_from_a_model_without_a_decoder(tmp_path: Path, config: RunConfig) -> None:
    """One that was saved after a training without reconstruction: the decoder is as initialised."""
    saved = Stellar(config.model, draws=False)
    saved.learned_to_draw = False
    saved.save_pretrained(tmp_path / "saved")
    second = replace(config, init=str(tmp_path / "saved"))
    ingredients, untouched = prepare(second), build_model(second).state_dict()
    assert ingredients.taken_over.endswith("; heads and decoder start anew")
    started = ingredients.model.state_dict()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(started[name], tensor)
    for name in untouched.keys() - saved.state_dict().keys():
        assert torch.equal(started[name], untouched[name])


@pytest.mark.usefixtures("hub_cache")
def test_settings_that_cannot_work_leave_nothing_behind(tmp_path: Path, config: RunConfig) -> None:
    codes = replace(config.model, decoder=replace(config.model.decoder, target="codes"))
    for bad, message in (
        (replace(config, model=codes), "fun-research/TiTok can be had neither"),
        (replace(config, init=str(tmp_path / "nowhere")), "does not exist"),
        (replace(config, data=str(tmp_path / "nowhere")), "does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            pretrain(bad, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    assert issubclass(ConfigError, ValueError)


def test_unreadable_images_are_listed_in_the_run(tmp_path: Path, config: RunConfig) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (40, 30), (40 * number, 90, 200)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    pretrain(replace(config, data=str(folder)), tmp_path / "run")
    assert (tmp_path / "run/skipped.txt").read_text().startswith("broken.jpg\t")
    assert rows(tmp_path / "run")[-1]["skipped_images"] == 1
    log = (tmp_path / "run/log.txt").read_text()
    assert re.search(
        r"training [\d.]+ k parameters on 6 images of photos \(1 of them cannot be read\): "
        r"8 steps of 4 images \(epochs: 5.33\)",
        log,
    )


def test_tensorboard_is_an_extra(tmp_path: Path, config: RunConfig) -> None:
    from importlib.util import find_spec

    if find_spec("tensorboard") is not None:
        pytest.skip("tensorboard is installed")
    with pytest.raises(ConfigError, match=r"pip install .stellar-vision\[tensorboard\]"):
        pretrain(with_training(config, tensorboard=True), tmp_path / "run")


def test_tensorboard_shows_each_step_once(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose first step fails leaves none and gives way; one that is resumed takes steps
    again, which are shown as it took them last.
    """
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config, run = with_training(config, tensorboard=True), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Training, "run_step", fails)
        with pytest.raises(MemoryError):
            pretrain(config, run)
    pretrain(config, run)
    shutil.rmtree(checkpoints(run)[-1])
    resume(run)
    shown = accumulator.EventAccumulator(str(run / "tensorboard"))
    shown.Reload()
    assert [row.step for row in shown.Scalars("loss")] == list(range(1, 9))


def fails(*_: object) -> None:
    raise MemoryError


def test_metrics_are_json_lines(tmp_path: Path, config: RunConfig) -> None:
    run = pretrain(config, tmp_path / "run").folder
    for line in (run / METRICS).read_text().splitlines():
        assert isinstance(json.loads(line)["loss"], float)
