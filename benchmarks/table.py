"""What every benchmark prints: a header that says where it ran, and a table of measured rows."""

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch


def machine() -> str:
    """Processor, cores in use, and the GPU if there is one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {torch.get_num_threads()} threads{gpu}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Markdown, so that a result can be committed as it is printed."""
    command = "python " + " ".join(sys.argv)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, stellar "
    versions += version("stellar-vision")
    print(f"## {title}\n\n{machine()}; {versions}; `{command}`\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |")
