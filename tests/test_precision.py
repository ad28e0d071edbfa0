"""Where `auto` means bf16."""

from pathlib import Path

import pytest
import torch

from stellar.precision import cpu_gains_by_bf16, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cpu._is_amx_tile_supported(), reason="AMX computes in bf16 on any CPU")
def test_avx512_bf16_counts_on_amd_alone(tmp_path: Path) -> None:
    found = {}
    for vendor in ("AuthenticAMD", "GenuineIntel"):
        cpuinfo = tmp_path / vendor
        cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
        found[vendor] = cpu_gains_by_bf16(cpuinfo)
    assert found["AuthenticAMD"] == torch.cpu._is_avx512_bf16_supported()
    assert not found["GenuineIntel"]
    assert not cpu_gains_by_bf16(tmp_path / "no such file, as on macOS")


def test_what_is_asked_for_is_kept() -> None:
    assert [resolve_precision(name, CPU) for name in ("bf16", "fp32")] == ["bf16", "fp32"]
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
