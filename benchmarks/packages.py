"""The packages of a plan where nothing can be installed: the package itself from src, and what else
the Python lacks from wheels that were brought along.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / ".wheels"
NEEDED = (
    "PIL", "beartype", "huggingface_hub", "jaxtyping", "kornia", "numpy", "psutil", "pyarrow",
    "pytest", "rich", "safetensors", "skimage", "sklearn", "tyro",
)  # fmt: skip


def bring_packages(folder: Path) -> None:
    """Let this process and those that it starts find all of them; wheels are unpacked into the
    folder. Raises SystemExit with a sentence when something is missing still.
    """
    wheels = sorted(map(str, WHEELS.glob("*.whl")))
    if missing() and wheels:
        options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(folder)]
        command = [sys.executable, "-m", "pip", "install", *options, *wheels]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
            raise SystemExit(
                f"the wheels in {WHEELS} cannot be installed for Python "
                f"{sys.version_info.major}.{sys.version_info.minor} ({last}); make them anew: "
                "make gpu-day-wheels GPU_DAY_PYTHON=..."
            )
        sys.path.insert(0, str(folder))
    if lacking := missing():
        raise SystemExit(
            f"this Python lacks {', '.join(lacking)}: install them, or run make gpu-day-wheels "
            f"where there is a network and bring {WHEELS.name} along"
        )
    paths = (str(ROOT / "src"), str(folder), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def missing() -> list[str]:
    """Those of NEEDED that this Python has not."""
    return [name for name in NEEDED if find_spec(name) is None]
