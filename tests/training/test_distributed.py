"""Two processes with half a batch each are one process with the whole batch: losses, weights,
Sinkhorn.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stellar.config import RunConfig
from stellar.configfile import to_toml
from stellar.model.files.saving import WEIGHTS, checkpoints
from stellar.training.run_folder import METRICS, read_metrics

SINKHORN = """
import sys, torch, torch.distributed as dist
from stellar.objective.sinkhorn import sinkhorn
dist.init_process_group("gloo")
logits = torch.load(sys.argv[1])
own = logits[:13] if dist.get_rank() == 0 else logits[13:]
torch.save(sinkhorn(own, 0.06, 3).assignment(own), f"{sys.argv[2]}.{dist.get_rank()}")
dist.destroy_process_group()
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launcher, *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_sinkhorn_balances_over_all_processes(tmp_path: Path) -> None:
    """Also when they have different numbers of rows."""
    from stellar.objective.sinkhorn import sinkhorn

    logits = torch.randn(20, 8)
    torch.save(logits, tmp_path / "logits")
    (tmp_path / "script.py").write_text(SINKHORN)
    done = torchrun(str(tmp_path / "script.py"), str(tmp_path / "logits"), str(tmp_path / "q"))
    assert done.returncode == 0, done.stderr
    together = torch.cat([torch.load(tmp_path / f"q.{rank}") for rank in range(2)])
    torch.testing.assert_close(together, sinkhorn(logits, 0.06, 3).assignment(logits))


@pytest.mark.parametrize("teacher", ["none", "constant"])
def test_two_processes_equal_one(tmp_path: Path, config: RunConfig, teacher: str) -> None:
    training = replace(config.training, precision="fp32", batch_size=8, num_workers=1)
    objective = replace(config.objective, teacher=teacher)
    config = replace(config, training=training, objective=objective)
    (tmp_path / "run.toml").write_text(to_toml(config))
    call = ["pretrain", "--config", str(tmp_path / "run.toml"), "--out"]
    one = subprocess.run(
        [sys.executable, "-m", "stellar", *call, str(tmp_path / "one")],
        capture_output=True,
        text=True,
    )
    two = torchrun("-m", "stellar", *call, str(tmp_path / "two"))
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    for ours, theirs in zip(
        *(read_metrics(tmp_path / name / METRICS) for name in ("one", "two")), strict=True
    ):
        assert ours["step"] == theirs["step"]
        for term in ("loss", "reconstruction", "set_alignment", "cls_local", "koleo"):
            assert ours[term] == pytest.approx(theirs[term], rel=1e-4)
    weights = [load_file(checkpoints(tmp_path / name)[-1] / WEIGHTS) for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-4)
