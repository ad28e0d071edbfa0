"""The device of a process, among those of its machine."""

import torch

from stellar.processes.launch import LaunchError, Ranks


def own_device(device: torch.device, ranks: Ranks) -> torch.device:
    """The GPU of this process where there are several, else what was asked for."""
    if device.type != "cuda":
        return device
    if device.index is None:
        # SLURM may show each process its own GPU alone.
        count = torch.cuda.device_count()
        index = ranks.local_rank if count > 1 else 0
        if index >= count:
            raise LaunchError(
                f"process {ranks.local_rank} of this machine has no GPU, since there are {count}; "
                f"start {count} processes on each machine"
            )
        device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device
