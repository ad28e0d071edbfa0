"""A tiny CLIP and SigLIP of transformers, with random weights."""

import json
from pathlib import Path

import torch


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
