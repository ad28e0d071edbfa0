"""Where this process stands among those that were started together, by `torchrun` or by SLURM's
`srun`: read from the environment alone, without torch.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from stellar.errors import UserError
from stellar.quantities import whole_number

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID")
"""What `srun` sets for each task, beside SLURM_STEP_NUM_TASKS. SLURM_NTASKS would not do: a batch
script, which is one process, has it too.
"""


class LaunchError(UserError):
    """Processes were started in a way that they cannot find each other."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among those of a run."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    """Among the processes of the same machine."""
    address: str = ""
    """host:port where they meet; empty for a single process."""


def own_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """From torchrun's variables, else from SLURM's; without either, a single process.

    Raises LaunchError when some of them are missing or contradict each other.
    """
    if "RANK" in environment or environment.get("WORLD_SIZE", "1") != "1":
        rank, size, local, host, port = _all_of(TORCHRUN, environment, "torchrun")
    elif environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        size = environment["SLURM_STEP_NUM_TASKS"]
        rank, local, nodes, job = _all_of(SLURM, environment, "srun")
        host = environment.get("MASTER_ADDR") or first_host(nodes)
        port = environment.get("MASTER_PORT") or str(10_000 + _number("SLURM_JOB_ID", job) % 20_000)
    else:
        return Ranks()
    ranks = Ranks(
        _number("the rank", rank),
        _number("the number of processes", size),
        _number("the local rank", local),
        f"{host}:{_number('the port', port)}",
    )
    if not ranks.local_rank <= ranks.rank < ranks.world_size:
        raise LaunchError(
            f"rank {rank}, local rank {local} of {size} processes cannot be: ranks count from 0; "
            "start with torchrun or srun"
        )
    return ranks


def first_host(nodes: str) -> str:
    """The first machine of a list as SLURM writes it, such as node[03-05,9],other."""
    match = re.match(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes)
    if match is None:
        raise LaunchError(f"SLURM_STEP_NODELIST names no machine: {nodes!r}")
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", match[0])


def _all_of(names: tuple[str, ...], environment: Mapping[str, str], launcher: str) -> list[str]:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise LaunchError(
            f"this process seems to be one of several, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set; start with {launcher}, which sets "
            f"all of {', '.join(names)}, or unset RANK and WORLD_SIZE to run in one process"
        )
    return [environment[name] for name in names]


def _number(what: str, value: str) -> int:
    number = whole_number(value)
    if number is None:
        raise LaunchError(f"{what} must be a whole number, got {value[:200]!r}")
    return number
