"""The command line: `stellar COMMAND`. Each command is a thin module, imported only when it is
called.
"""

import io
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from stellar.cli.terminal import filled, is_verbose, set_loudness
from stellar.errors import Interrupted, UserError
from stellar.processes.launch import own_ranks
from stellar.storage import at_home, closed_at

COMMANDS = {
    "pretrain": "train a model on a folder of images, without labels",
    "shard": "write a folder of images as tar files that are read fast, wherever they lie",
    "embed": "write the tokens and maps of a folder of images to one file",
    "align": "learn what words tokens answer to, from a model such as CLIP and your pictures",
    "index": "make an embedding searchable, by what is in the pictures and where",
    "search": "find pictures by a picture, by its tokens, at a place",
    "concepts": "say what is in the pictures of an index: its tokens, in groups that are alike",
    "explore": "look into pictures by their tokens, edit and search them, in the browser",
    "reconstruct": "draw pictures again from their tokens, as a picture sheet with PSNR",
    "evaluate": "report what models know, where they know it, and what they can draw again",
    "compare": "train STELLAR and its opposites (DINO-style, MAE-style, dense) with equal budgets",
    "ablate": "train without each term, with other tokens and temperatures, and tabulate",
    "export": "write a model for other runtimes: ONNX or torch.export",
    "convert": "write a model as the published code reads it",
    "cost": "say what a training run would cost: FLOP, hours, memory, disk and network",
    "info": "say what a model is, or what this machine and installation can do",
    "demo": "train on embedded scenes in minutes, and write a report of what was learned",
}

IN_SEVERAL_PROCESSES = ("pretrain", "embed")
"""Commands that share their work among the processes that torchrun or srun started."""

LEAST_WIDTH = 40
"""Columns that are written for at least: in a handful of them, the layout of help has no end."""

HELP = """stellar: what is in your pictures, and where, without labels.

usage: stellar COMMAND ...      stellar COMMAND --help

commands
{commands}

from your own pictures to a model, its tokens and its maps
  stellar pretrain --data photos --out runs/photos
  stellar reconstruct runs/photos photos --out sheet.png
  stellar embed runs/photos photos --out photos.parquet

no pictures at hand? nothing is downloaded
  stellar reconstruct stellar-scenes scenes
  stellar explore
  stellar demo

{every}
"""

FOR_EVERY_COMMAND = (
    "every command takes -q, to say nothing but results and errors, and -v, to say more"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, 1 for an error, 2 for a wrong call, 130 when
    interrupted, 141 when what reads the output has closed it, as `head` does.
    """
    given = set_loudness(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        # What a terminal cannot show, as a name that is no UTF-8, becomes escapes.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if shutil.get_terminal_size().columns < LEAST_WIDTH:
        os.environ["COLUMNS"] = str(LEAST_WIDTH)
    try:
        try:
            with _asked_to_stop():
                return _run(given)
        finally:
            if sys.stdout is not None:  # closed by who started the command
                sys.stdout.flush()
    except BrokenPipeError:
        code = 141
    except OSError as error:  # of a disk, a device or a server
        code = _fail(_of_the_system(error), code=1)
    _drop_what_cannot_be_written()
    return code


def _of_the_system(error: OSError) -> str:
    """A sentence about what no command has met with one of its own."""
    said = error.strerror or str(error)
    if error.filename is None:
        return said
    if isinstance(error, PermissionError):
        return (
            f"{closed_at(Path(error.filename))} is closed to this user ({said}); get the right to "
            "read and to write there, or name another place"
        )
    return f"{error.filename}: {said}"


def _drop_what_cannot_be_written() -> None:
    """What is left for stdout would be tried once more, and fail with a message, when Python
    ends.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help(), end="")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from stellar import __version__

        print(f"stellar {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        from stellar.config import nearest

        return _fail(
            f"{name!r} is not a command{nearest(name, COMMANDS) or '.'} See stellar --help.", code=2
        )
    try:
        if name not in IN_SEVERAL_PROCESSES and own_ranks().world_size > 1:
            raise UserError(
                f"stellar {name} runs in one process, and would do all of its work in each of "
                f"{own_ranks().world_size}; start it without torchrun or srun"
            )
        return import_module(f"stellar.cli.{name}").run([_from_home(each) for each in rest])
    except Interrupted as stopped:
        print(stopped)
        return 130
    except UserError as error:
        return _fail(str(error), code=1)
    except (MemoryError, RuntimeError) as error:
        from stellar.data.loader import sentence_of_workers

        if (sentence := _out_of_memory(error) or sentence_of_workers(error)) is None:
            raise
        return _fail(sentence, code=1)
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)


def _from_home(argument: str) -> str:
    """With ~ as the home folder, also where a shell leaves it, as in --out=~/sheet.png."""
    named = argument.startswith("--")
    option, equals, value = argument.partition("=") if named else ("", "", argument)
    return option + equals + (at_home(value) if value.startswith("~/") else value)


def _out_of_memory(error: Exception) -> str | None:
    """A sentence where memory ran out, Python's, torch's or a GPU's; None for other errors."""
    said = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in said:
        return (
            "the memory of the GPU is full; lower --batch-size (in training, "
            "training.views_at_once or training.batch_size), or take another GPU"
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in said:
        return (
            "the memory of this machine is full; lower --batch-size and --num-workers (in "
            "training, training.batch_size and training.num_workers), or end other programs"
        )
    return None


@contextmanager
def _asked_to_stop() -> Iterator[None]:
    """SIGTERM, and that the terminal was closed, are taken as Ctrl-C, so that what is half done is
    tidied up. Not among several processes: one that waits for the others would not hear it, and has
    to end at once. What is ignored, as `nohup` does, stays so.
    """
    before = {}
    try:
        if own_ranks().world_size == 1:
            for stop in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
                if signal.getsignal(stop) == signal.SIG_DFL:
                    before[stop] = signal.signal(stop, signal.default_int_handler)
    except (UserError, ValueError):  # said later; not in the main thread
        pass
    try:
        yield
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def _help() -> str:
    lines = [filled(f"  {name:<12} {purpose}", indent=15) for name, purpose in COMMANDS.items()]
    return HELP.format(commands="\n".join(lines), every=filled(FOR_EVERY_COMMAND))


def _fail(message: str, code: int) -> int:
    if is_verbose() and sys.exc_info()[0] is not None:
        traceback.print_exc()
    print(f"stellar: error: {message}", file=sys.stderr)
    return code
