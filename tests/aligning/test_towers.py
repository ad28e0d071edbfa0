"""Towers of transformers, on tiny random ones: what they say is what the library's own classes say
of the same numbers.
"""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_towers import save_tiny

from stellar.aligning import Tower, load_tower
from stellar.aligning.towers import TowerError
from stellar.errors import UserError
from words import ColourTower

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize(("family", "width"), [("clip", 8), ("siglip", 16)])
def test_vectors_are_those_of_the_library(tmp_path: Path, family: str, width: int) -> None:
    tower = load_tower(str(save_tiny(tmp_path / family, family)))
    assert isinstance(tower, Tower)
    picture = torch.rand(3, 32, 32)
    model = transformers.AutoModel.from_pretrained(tmp_path / family)
    mean, std = torch.tensor([0.48, 0.46, 0.41]), torch.tensor([0.27, 0.26, 0.28])
    pixels = (picture - mean[:, None, None]) / std[:, None, None]
    ids = torch.tensor([[3, 4, 5, 2]])
    if family == "siglip":
        ids = F.pad(ids, (0, 8))
    with torch.no_grad():
        told = model(input_ids=ids, pixel_values=pixels[None])
    torch.testing.assert_close(tower.pictures([picture]), told.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(tower.texts(["a red boat"]), told.text_embeds, atol=1e-5, rtol=0)
    assert tower.pictures([picture]).shape == (1, width)
    assert torch.equal(tower.fill(), mean)


def test_texts_do_not_depend_on_those_beside_them(tmp_path: Path) -> None:
    for family in ("clip", "siglip"):
        tower = load_tower(str(save_tiny(tmp_path / family, family)))
        both = tower.texts(["cat", "a red boat " * 20])
        torch.testing.assert_close(both[0], tower.texts(["cat"])[0], atol=1e-5, rtol=0)
        assert torch.allclose(both.norm(dim=1), torch.ones(2))


def test_clip_sees_the_middle_and_siglip_all(tmp_path: Path) -> None:
    wide = torch.zeros(3, 40, 80)
    wide[:, :, :15] = 1
    for family, sees in (("clip", False), ("siglip", True)):
        tower = load_tower(str(save_tiny(tmp_path / family, family)))
        same = torch.allclose(tower.pictures([wide]), tower.pictures([torch.zeros(3, 40, 80)]))
        assert same is not sees


def test_a_processor_file_will_do(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "clip", "clip")
    described = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(TowerError, match=r"has no preprocessor_config.json"):
        load_tower(str(folder))
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": described}))
    assert load_tower(str(folder)).fill()[0] == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("spoil", "content", "message"),
    [
        ("config.json", None, "cannot be loaded as a model of pictures and texts"),
        ("model.safetensors", None, "cannot be loaded as a model of pictures and texts"),
        ("preprocessor_config.json", '{"image_mean": 3}', "does not say how pictures are prepared"),
        ("preprocessor_config.json", '{"image_me', r"cannot be read \(Unterminated .*\); copy or"),
        ("preprocessor_config.json", "[" * 100_000, r"cannot be read \(it is nested too deeply"),
        ("preprocessor_config.json", "", r"the preproc.* of .*clip cannot be read \(Expecting"),
    ],
)
def test_what_cannot_be_loaded_is_a_sentence(
    tmp_path: Path, spoil: str, content: str | None, message: str
) -> None:
    folder = save_tiny(tmp_path / "clip", "clip")
    (folder / spoil).unlink()
    if content is not None:
        (folder / spoil).write_text(content)
    with pytest.raises(TowerError, match=message) as told:
        load_tower(str(folder))
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("unchecked")
def test_no_name_is_not_asked_for() -> None:
    with pytest.raises(UserError, match="expected a path or an address, got None"):
        load_tower(None)  # pyright: ignore


def test_a_model_of_pictures_alone_is_none(vit: Path) -> None:
    tokenizer = save_tiny(vit.parent / "clip", "clip")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (vit / file).write_bytes((tokenizer / file).read_bytes())
    with pytest.raises(TowerError, match="is a vit, which has not both pictures and texts"):
        load_tower(str(vit))


def test_the_planted_tower_is_one() -> None:
    assert isinstance(ColourTower(), Tower)
