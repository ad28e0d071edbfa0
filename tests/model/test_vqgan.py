"""The tokenizer: its published layout, its quirk, and its codes."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stellar.model.files.strict_loading import WeightsError
from stellar.model.files.tokenizer import load_tokenizer
from stellar.model.vqgan import VQGAN, ResidualBlock, VQGANConfig

SMALL = VQGANConfig(channels=32, multipliers=(1, 2, 2), num_blocks=2, code_dim=8, num_codes=16)
REFERENCE = Path(
    os.environ.get("STELLAR_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
LAYOUT = REFERENCE / "state_dict_maskgit_vqgan.json"


@pytest.mark.skipif(not LAYOUT.exists(), reason=f"no {LAYOUT.name} in {REFERENCE}")
def test_every_name_and_shape_of_the_published_file() -> None:
    with torch.device("meta"):
        state = VQGAN(VQGANConfig()).state_dict()
    published = json.loads(LAYOUT.read_text())
    assert {name: list(tensor.shape) for name, tensor in state.items()} == published


def test_size_of_the_published_model() -> None:
    with torch.device("meta"):
        model = VQGAN(VQGANConfig())
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 54.5
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_a_file_says_its_own_sizes(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    model, path = VQGAN(SMALL), tmp_path / f"vqgan{suffix}"
    if suffix == ".bin":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    loaded, images = load_tokenizer(path, SMALL.num_codes), torch.rand(2, 3, 16, 16)
    assert VQGANConfig.from_state(model.state_dict()) == SMALL
    torch.testing.assert_close(loaded.codes(images), model.codes(images))


def test_shortcut_is_applied_to_the_result() -> None:
    block, x = ResidualBlock(32, 64), torch.randn(1, 32, 4, 4)
    with torch.no_grad():
        block.nin_shortcut.weight.zero_()
        without = block(x)
        block.nin_shortcut.weight.copy_(torch.eye(64)[:, :, None, None])
        torch.testing.assert_close(block(x), 2 * without)


def test_codes_are_the_nearest_rows() -> None:
    model, images = VQGAN(SMALL), torch.rand(2, 3, 12, 8)
    vectors = model.encoder(images).permute(0, 2, 3, 1).flatten(1, 2)
    distances = torch.cdist(vectors, model.quantize.embedding.weight.expand(2, -1, -1))
    assert model.factor == 4
    assert torch.equal(model.codes(images), distances.argmin(dim=2))


def test_codes_in_bf16_are_nearly_all_the_same() -> None:
    """Of a codebook of vectors that the encoder gives, so that neighbours are near."""
    torch.manual_seed(0)
    model = VQGAN(VQGANConfig(channels=32, multipliers=(1, 1, 2), code_dim=32, num_codes=256))
    coarse = torch.rand(16, 3, 8, 8)
    images = F.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    rows = model.encoder(images).permute(0, 2, 3, 1).flatten(0, 2)
    model.quantize.embedding.weight.data = rows[torch.randperm(len(rows))[:256]].clone()
    exact = model.codes(images)
    with torch.autocast("cpu", torch.bfloat16):
        vectors, codes = model.encoder(images), model.codes(images)
    assert vectors.dtype == torch.float32
    likeness = F.cosine_similarity(vectors, model.encoder(images), dim=1)
    assert likeness.min() > 0.9995
    assert not torch.equal(vectors, model.encoder(images)), "autocast reaches it"
    assert exact.unique().numel() > 128
    assert (codes == exact).float().mean() > 0.98


def test_decoding_shapes_and_range() -> None:
    drawn = VQGAN(SMALL).decode(torch.randint(0, 16, (2, 6)), (3, 2))
    assert drawn.shape == (2, 3, 12, 8)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


class Malicious:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch owned",))


def test_a_pickle_with_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.conv_in.weight": Malicious()}, tmp_path / "bad.bin")
    with pytest.raises(WeightsError, match=r"asks for posix.system, .* nothing of it was run"):
        load_tokenizer(tmp_path / "bad.bin", 1024)
    assert not (tmp_path / "owned").exists()


def test_other_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.bin")
    (tmp_path / "text.safetensors").write_text("not a model")
    for name, message in (
        ("other.bin", "does not hold a MaskGIT-VQGAN"),
        ("text.safetensors", "cannot be read as safetensors"),
        ("missing.bin", "does not exist"),
    ):
        with pytest.raises(WeightsError, match=message):
            load_tokenizer(tmp_path / name, 1024)
