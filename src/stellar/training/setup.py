"""From a configuration to what a run is made of: its data and its model."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.torch_version import TorchVersion

from stellar.config import ConfigError, RunConfig
from stellar.data import (
    EMBEDDED,
    DataError,
    ImageSource,
    check_readable,
    open_embedded,
    sources,
)
from stellar.data.folder import evenly_spread
from stellar.images import nearest_multiple
from stellar.model.backbones import load_into_encoder
from stellar.model.files.opening import BackboneFile, ModelFile, open_weights
from stellar.model.files.prefixes import FROZEN, TOKENS, TRAINING_ONLY
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.files.tokenizer import fetch_tokenizer, load_tokenizer
from stellar.model.resizing import resize_weights
from stellar.model.vqgan import VQGAN
from stellar.objective import PretrainingModel
from stellar.processes.exchange import gather_lists, is_first
from stellar.processes.launch import Ranks
from stellar.training.computation import find_compiler


@dataclass(frozen=True)
class Ingredients:
    """What a run is made of, checked before anything is written."""

    config: RunConfig
    """Its settings, with the sizes of the backbone that it starts from."""
    source: ImageSource
    model: PretrainingModel
    unreadable: list[tuple[str, str]]
    """Name and reason of images that cannot be read, among those that the first process looked
    at.
    """
    taken_over: str
    """What was taken over from a backbone, in a sentence."""


def require_possible(config: RunConfig, ranks: Ranks, device: torch.device) -> None:
    """Raises ConfigError for what these processes, on this machine, cannot do."""
    training = config.training
    if training.batch_size < training.accumulate * ranks.world_size:
        raise ConfigError(
            f"training.batch_size = {training.batch_size} must be at least accumulate x "
            f"processes = {training.accumulate} x {ranks.world_size}: each has an image or more"
        )
    if training.parallel == "fsdp" and torch.__version__ < TorchVersion("2.11"):
        raise ConfigError(
            "training.parallel = fsdp needs torch 2.11 or newer, whose backward pass finds the "
            f"weights that were gathered, and this is {torch.__version__}; upgrade torch, or set "
            "it to ddp"
        )
    if training.compile == "on" and find_compiler() is None:
        raise ConfigError(
            "training.compile needs a C++ compiler, and none was found; install g++ or clang++, "
            "or set training.compile to off"
        )
    if training.cuda_graph and (device.type != "cuda" or ranks.world_size > 1):
        raise ConfigError(
            f"training.cuda_graph is for one process on a GPU, got {ranks.world_size} on "
            f"{device.type}; set it to false"
        )
    if training.cuda_graph and config.objective.spatial_noise:
        raise ConfigError(
            "training.cuda_graph plays back a step without random numbers, and "
            f"objective.spatial_noise = {config.objective.spatial_noise} draws some in each; set "
            "one of them to 0 or false"
        )
    if training.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard needs the package tensorboard: "
            'pip install "stellar-vision[tensorboard]"'
        )


def prepare(
    config: RunConfig, start: bool = True, source: ImageSource | None = None
) -> Ingredients:
    """Build what a run is made of. Without `start`, `init` is not read: a checkpoint follows.
    A `source` takes the place of the data that is named.

    Raises ConfigError, DataError or WeightsError with a sentence.
    """
    init = open_weights(config.init) if start and config.init else None
    taken_over = ""
    if isinstance(init, BackboneFile):
        config, taken_over = take_over(config, init)
    source = open_source(config) if source is None else _own(source, config)
    model = build_model(config)
    if isinstance(init, BackboneFile):
        load_into_encoder(model.encoder, config.model, init)
    elif init is not None:
        load_run(model, init)
    if init is not None and model.teacher is not None:
        model.teacher.update(model, momentum=0.0)
    unreadable = check_readable(source) if is_first() else []
    return Ingredients(config, source, model, unreadable, taken_over)


def open_source(config: RunConfig) -> ImageSource:
    """The data of a run. Raises DataError with a sentence."""
    if config.data in EMBEDDED:
        return open_embedded(config.data, "train", config.model, config.training.seed)
    return sources.open_source(config.data, config.model.in_chans)


def _own(source: ImageSource, config: RunConfig) -> ImageSource:
    """A source of the user's. Raises DataError for what is none, or none for this model."""
    if not isinstance(source, ImageSource):
        raise DataError(
            "a source of images has channels, len(), read(index) and name(index), got "
            f"a {type(source).__name__}"
        )
    if not len(source):
        raise DataError("the source holds no images")
    if source.channels != config.model.in_chans:
        raise DataError(
            f"the source's images have {source.channels} channels and the model "
            f"{config.model.in_chans}; set model.in_chans, image_mean and image_std to theirs"
        )
    return source


def require_the_same_data(source: ImageSource) -> None:
    """Raises DataError when the processes do not see the same images in the same order."""
    some = tuple(source.name(index) for index in evenly_spread(source, 16))
    first, *others = gather_lists([(len(source), some)])
    for rank, seen in enumerate(others, 1):
        if seen != first:
            raise DataError(
                f"process {rank} sees other images ({seen[0]:,}, from {seen[1][0]} to "
                f"{seen[1][-1]}) than process 0 ({first[0]:,}, from {first[1][0]} to "
                f"{first[1][-1]}); give all machines the same data"
            )


def build_model(config: RunConfig) -> PretrainingModel:
    """The model from its seed. Raises ConfigError or WeightsError."""
    tokenizer = _tokenizer(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        return PretrainingModel(config.model, config.objective, tokenizer)


def with_whole_path(config: RunConfig) -> RunConfig:
    """The run with its data named from the root, so that it can be resumed from anywhere."""
    if config.data in EMBEDDED:
        return config
    return replace(config, data=sources.whole_path(config.data))


def resolved(config: RunConfig) -> RunConfig:
    """The configuration as its run writes it down: the data's whole path, a backbone's sizes."""
    config = with_whole_path(config)
    init = open_weights(config.init) if config.init else None
    return take_over(config, init)[0] if isinstance(init, BackboneFile) else config


def load_run(model: PretrainingModel, file: ModelFile) -> None:
    """Start where a run of stellar stands: its heads too, if it has them. Of a run with another
    number of tokens, or none, as a masked autoencoder, encoder and decoder are taken; tokens and
    heads start anew, and so does the decoder where the file has none. What depends on the sizes of
    pictures and patches is resized.
    """
    has_heads = any(name.startswith("sparse_head.") for name in file.state)
    ignore = (*FROZEN, "mask_token", "teacher.") if has_heads else (*FROZEN, *TRAINING_ONLY)
    ours, theirs = model.config, file.config
    if any(
        getattr(ours, field) != getattr(theirs, field)
        for field in ("num_sparse_tokens", "slot_rounds", "bottleneck")
    ):
        ignore = (*FROZEN, *TRAINING_ONLY, *TOKENS)
    if not file.has_decoder:
        ignore = (*ignore, "decoder.")
    load_weights(model, resize_weights(file.state, theirs, ours), ignore)


def take_over(config: RunConfig, backbone: BackboneFile) -> tuple[RunConfig, str]:
    """The run with the backbone's sizes instead of its own, and a sentence that says so.

    The channels stay the run's own, and so do the sizes of images and local crops, as near as the
    backbone's patches allow. Raises ConfigError when the rest of the run does not go with it.
    """
    own = {"image_size", "in_chans"}
    if backbone.sizes["in_chans"] != config.model.in_chans:
        own |= {"image_mean", "image_std"}
    taken = {name: value for name, value in backbone.sizes.items() if name not in own}
    before = (config.model.image_size, config.views.local_size)
    image, local = (nearest_multiple(size, taken["patch_size"]) for size in before)
    changed = replace(
        config,
        model=replace(config.model, image_size=image, **taken),
        views=replace(config.views, local_size=local),
    )
    sizes = ", ".join(f"{name} {value}" for name, value in taken.items())
    said = f"starting from {backbone.name}; the model takes over {sizes}"
    if (image, local) != before:
        said += (
            f"; images of {image} px and local crops of {local} px, so that the patch divides them"
        )
    return changed, said


def _tokenizer(config: RunConfig) -> VQGAN | None:
    decoder = config.model.decoder
    if decoder.target == "pixels":
        return None
    if decoder.tokenizer:
        return load_tokenizer(Path(decoder.tokenizer))
    try:
        return fetch_tokenizer()
    except WeightsError as error:
        raise ConfigError(
            f"model.decoder.target = codes needs a MaskGIT-VQGAN, but {error}: "
            "set model.decoder.tokenizer to it, or model.decoder.target to pixels"
        ) from error
