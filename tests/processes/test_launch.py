"""Ranks from the environment of torchrun, of srun, or of neither."""

import pytest

from stellar.processes.launch import LaunchError, Ranks, first_host, own_ranks

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "node[03-05,9],other",
    "SLURM_JOB_ID": "4020001",
}


def test_torchrun_goes_before_slurm() -> None:
    assert own_ranks(TORCHRUN) == Ranks(5, 8, 1, "10.0.0.1:29500")
    assert own_ranks(SLURM | TORCHRUN) == own_ranks(TORCHRUN)


def test_slurm() -> None:
    assert own_ranks(SLURM) == Ranks(9, 16, 1, "node03:10001")
    assert own_ranks(SLURM | {"MASTER_ADDR": "head", "MASTER_PORT": "5"}).address == "head:5"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WORLD_SIZE": "1"},
        {"MASTER_ADDR": "10.0.0.1"},
        # A batch script itself, and a shell in an allocation.
        {"SLURM_NTASKS": "16", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"},
        {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ],
)
def test_one_process_needs_nothing(environment: dict[str, str]) -> None:
    assert own_ranks(environment) == Ranks()


@pytest.mark.parametrize("launcher", [TORCHRUN, SLURM])
def test_half_an_environment_is_refused_by_name(launcher: dict[str, str]) -> None:
    for name in launcher.keys() - {"SLURM_STEP_NUM_TASKS", "WORLD_SIZE"}:
        with pytest.raises(LaunchError, match=f"{name} is not set"):
            own_ranks({key: value for key, value in launcher.items() if key != name})
    with pytest.raises(LaunchError, match="WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are"):
        own_ranks({"RANK": "0"})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"RANK": "²"}, "the rank must be a whole number, got '²'"),
        ({"RANK": "1" * 5000}, "the rank must be a whole number, got '111"),
        ({"RANK": "8"}, "rank 8, local rank 1 of 8 processes cannot be"),
        ({"RANK": "one"}, "the rank must be a whole number, got 'one'"),
        ({"MASTER_PORT": "-1"}, "the port must be a whole number"),
    ],
)
def test_values_that_cannot_be(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(LaunchError, match=sentence):
        own_ranks(TORCHRUN | wrong)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node[03-05,9]", "node03"),
        ("node7", "node7"),
        ("gpu-a,gpu-b", "gpu-a"),
        ("r[1-2]n[07-09],r3n1", "r1n07"),
        ("a[1,3].cluster,b", "a1.cluster"),
    ],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_an_empty_list_names_no_machine() -> None:
    with pytest.raises(LaunchError, match="names no machine: ''"):
        first_host("")
