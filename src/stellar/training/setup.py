"""From a configuration to what a run is made of: its data and its model."""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import torch
from torch.torch_version import TorchVersion

from stellar.config import ConfigError, DecoderConfig, ModelConfig, ObjectiveConfig, RunConfig
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
from stellar.model.files.prefixes import FROZEN, HEADS, OF_ONE_RUN, TOKENS
from stellar.model.files.strict_loading import WeightsError, load_weights
from stellar.model.files.tokenizer import fetch_tokenizer, load_tokenizer
from stellar.model.resizing import resize_weights
from stellar.model.vqgan import VQGAN
from stellar.objective import PretrainingModel
from stellar.processes.exchange import gather_lists, is_first
from stellar.processes.launch import Ranks
from stellar.storage import at_home
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
    """What was taken over from `init`, in a sentence."""


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
        taken_over = load_run(model, init)
    if init is not None and model.teacher is not None:
        model.teacher.update(model, momentum=0.0)
    unreadable = check_readable(source) if is_first() else []
    return Ingredients(config, source, model, unreadable, taken_over)


def open_source(config: RunConfig) -> ImageSource:
    """The data of a run. Raises ConfigError and DataError with a sentence."""
    if not config.data:
        raise ConfigError(
            "a run needs data: a folder of images, shards, or scenes, the embedded ones; on the "
            "command line --data photos, in Python dataclasses.replace(config, data='photos')"
        )
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


def with_whole_paths(config: RunConfig) -> RunConfig:
    """The run with its files named from the root, so that it can be resumed from anywhere."""
    if config.data and config.data not in EMBEDDED:
        config = replace(config, data=sources.whole_path(config.data))
    decoder = replace(
        config.model.decoder, tokenizer=_from_the_root(config.model.decoder.tokenizer)
    )
    model = replace(config.model, decoder=decoder)
    return replace(config, model=model, init=_from_the_root(config.init))


def _from_the_root(named: str) -> str:
    """A file or folder that is there; the name of a model, and what is missing, as it is."""
    if not named:
        return named
    path = Path(at_home(named))
    return str(path.resolve()) if path.exists() else named


def resolved(config: RunConfig) -> RunConfig:
    """The configuration as its run writes it down: whole paths, a backbone's sizes."""
    config = with_whole_paths(config)
    init = open_weights(config.init) if config.init else None
    return take_over(config, init)[0] if isinstance(init, BackboneFile) else config


def load_run(model: PretrainingModel, file: ModelFile) -> str:
    """Start where a run of stellar stands, and say in a sentence what starts anew all the same:
    tokens and heads where it has another number of tokens, or none, as a masked autoencoder; heads
    and decoder where it lacks them, or has them in other sizes. What depends on the sizes of
    pictures and patches is resized.
    """
    ours, theirs = model.config, file.config
    tokens = all(
        getattr(ours, field) == getattr(theirs, field)
        for field in ("num_sparse_tokens", "slot_rounds", "bottleneck")
    )
    heads = file.objective is not None and _head(file.objective) == _head(model.objective)
    anew: dict[str, tuple[str, ...]] = {}
    if not tokens:
        anew["tokens"] = TOKENS
    if not (tokens and heads):
        anew["heads"] = HEADS
    if not file.has_decoder or _drawn(theirs) != _drawn(ours):
        anew["decoder"] = ("decoder.",)
    ignore = (*FROZEN, *OF_ONE_RUN, *chain.from_iterable(anew.values()))
    load_weights(model, resize_weights(file.state, theirs, ours), ignore)
    said = f"starting from {file.path}"
    return f"{said}; {' and '.join(anew)} start anew" if anew else said


def _head(objective: ObjectiveConfig) -> tuple[int, ...]:
    """The sizes of a prototype head."""
    return objective.head_hidden_dim, objective.prototype_dim, objective.num_prototypes


def _drawn(model: ModelConfig) -> DecoderConfig:
    """The decoder, without what its weights do not depend on."""
    codes = model.decoder.num_codes if model.decoder.target == "codes" else 1
    return replace(model.decoder, tokenizer="", num_codes=codes)


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
        return load_tokenizer(Path(at_home(decoder.tokenizer)), decoder.num_codes)
    try:
        return fetch_tokenizer(decoder.num_codes)
    except WeightsError as error:
        raise ConfigError(
            f"model.decoder.target = codes needs a MaskGIT-VQGAN, but {error}: "
            "set model.decoder.tokenizer to it, or model.decoder.target to pixels"
        ) from error
