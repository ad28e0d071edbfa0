"""Towers that are known: one whose vectors are a linear map of colour, and a tiny CLIP and SigLIP
of transformers with random weights.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

COLOURS = {
    "red": (0.85, 0.2, 0.2), "orange": (0.95, 0.55, 0.15), "yellow": (0.95, 0.8, 0.2),
    "green": (0.3, 0.65, 0.25), "blue": (0.2, 0.45, 0.8), "purple": (0.5, 0.3, 0.7),
    "pink": (0.95, 0.5, 0.7), "paper": (0.97, 0.97, 0.95),
}  # fmt: skip


class ColourTower:
    """Says of a picture what colour it has, and of a word what colour it means."""

    name = "colours"

    def __init__(self, width: int = 16) -> None:
        generator = torch.Generator().manual_seed(0)
        self.map = torch.linalg.qr(torch.randn(width, 3, generator=generator)).Q

    def pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """By the mean of what is not grey: the fill says nothing."""
        mean = torch.stack([(each - self.fill()[:, None, None]).mean((1, 2)) for each in pictures])
        return F.normalize(mean @ self.map.T, dim=1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        meant = torch.tensor([COLOURS[text] for text in texts]) - self.fill()
        return F.normalize(meant @ self.map.T, dim=1)

    def fill(self) -> Tensor:
        return torch.full((3,), 0.5)


def save_tiny(folder: Path, family: str) -> Path:
    """A random model of 32 px pictures and texts of 12 words, as transformers saves it."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[EOS]", "a", "red", "boat", "cat"]
    both = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2}  # fmt: skip
    text = {**both, "vocab_size": len(words), "max_position_embeddings": 12, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 2}  # fmt: skip
    vision = {**both, "image_size": 32, "patch_size": 16}
    if family == "clip":
        config = transformers.CLIPConfig(
            text_config={**text, "projection_dim": 8},
            vision_config={**vision, "projection_dim": 8}, projection_dim=8,
        )  # fmt: skip
        model = transformers.CLIPModel(config)
    else:
        config = transformers.SiglipConfig(
            text_config={**text, "projection_size": 16}, vision_config=vision
        )
        model = transformers.SiglipModel(config)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [EOS]", special_tokens=[("[EOS]", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]"
    ).save_pretrained(folder)
    described = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return folder
