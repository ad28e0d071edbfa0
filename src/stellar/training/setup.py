"""From a configuration to the parts of a run: its data and its model."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from stellar.config import ConfigError, RunConfig
from stellar.data import Cutouts, ImageFolder, ImageSource, check_readable
from stellar.model.loading import load_weights
from stellar.model.model_file import open_model
from stellar.model.saving import FROZEN, TRAINING_ONLY, load_tokenizer
from stellar.model.vqgan import VQGAN
from stellar.objective import PretrainingModel


@dataclass(frozen=True)
class Parts:
    """What a run is made of, checked before anything is written."""

    source: ImageSource
    model: PretrainingModel
    unreadable: list[tuple[str, str]]
    """Name and reason of images that cannot be read, among those looked at."""


def prepare(config: RunConfig) -> Parts:
    """Build a run's parts. Raises ConfigError, DataError or WeightsError with a sentence."""
    if config.training.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard needs the package tensorboard: "
            'pip install "stellar-vision[tensorboard]"'
        )
    source = open_source(config)
    return Parts(source, build_model(config), check_readable(source))


def open_source(config: RunConfig) -> ImageSource:
    """The data of a run. Raises DataError with a sentence."""
    if config.data == "cutouts":
        return Cutouts("train", seed=config.training.seed, size=config.model.image_size)
    return ImageFolder(Path(config.data))


def build_model(config: RunConfig) -> PretrainingModel:
    """The model before its first step: seeded, or from `init`. Raises ConfigError or
    WeightsError.
    """
    tokenizer = _tokenizer(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = PretrainingModel(config.model, config.objective, tokenizer)
    if config.init:
        weights = open_model(config.init).state
        has_heads = any(name.startswith("sparse_head.") for name in weights)
        load_weights(
            model, weights, ignore=(*FROZEN, "teacher.") if has_heads else (*FROZEN, *TRAINING_ONLY)
        )
        if model.teacher is not None:
            model.teacher.update(model, momentum=0.0)
    return model


def _tokenizer(config: RunConfig) -> VQGAN | None:
    decoder = config.model.decoder
    if decoder.target == "pixels":
        return None
    if not decoder.tokenizer:
        raise ConfigError(
            "model.decoder.target = codes needs model.decoder.tokenizer: the path of the file "
            "maskgit-vqgan-imagenet-f16-256.bin (hub repository fun-research/TiTok); "
            "give it, or set model.decoder.target to pixels"
        )
    return load_tokenizer(Path(decoder.tokenizer))
