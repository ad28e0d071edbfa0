"""What a whole run takes: time, memory, disk and network, from its configuration and the machines
that it is to run on.

    hours = images seen x FLOP an image / (GPUs x FLOP/s that each sustains)

as long as nothing else is slower; `cores`, `pixels`, `exchange` and `checkpoint` say how fast the
rest has to be for that. `cores` and `pixels` are those of crops that the loader's workers cut
(views.crops = workers). A GPU that cuts its own leaves less to the cores, and gets whole pictures,
whose sizes are not known here.
"""

import math
from dataclasses import dataclass

from stellar.config import ModelConfig, RunConfig
from stellar.cost.flops import (
    Flops,
    encoding_flops,
    kept_patches,
    training_flops,
)
from stellar.cost.memory import (
    Memory,
    decoder_parameters,
    encoder_parameters,
    num_parameters,
    teacher_parameters,
    training_memory,
)


@dataclass(frozen=True)
class Machines:
    """Where a run is to go."""

    gpus: int = 8
    flops: float = 330e12
    """FLOP/s that a GPU sustains in the networks' precision; an H200 did in the training step of
    B/16 (`benchmarks/results/gpu.md`).
    """
    core_rate: float = 180.0
    """Images/s that a CPU core makes the views of, where workers cut the crops."""


@dataclass(frozen=True)
class Plan:
    """A run in numbers; all of them computed, none measured."""

    image: Flops
    parameters: int
    steps: int
    flop: int
    """Of the whole run."""
    gpu_hours: float
    images_per_second: float
    """Over all GPUs."""
    memory: Memory
    """Of each GPU."""
    exchange: float
    """Bytes that each GPU sends in a step: gradients, and weights where they are split."""
    checkpoint: int
    """Bytes of a checkpoint: weights, AdamW's moments, and a teacher."""
    cores: float
    """CPU cores that make views as fast as the GPUs take them, where workers cut the crops."""
    pixels: int
    """Bytes of uint8 views of an image, which go to its GPU where workers cut the crops."""
    encoding: int
    """FLOP to encode an image."""
    embedding: int
    """Bytes of an image in `stellar embed`'s file, before compression."""


def plan(config: RunConfig, images: int, machines: Machines) -> Plan:
    """A run on so many images."""
    training, image = config.training, training_flops(config)
    steps = training.num_steps(images)
    flop = steps * training.batch_size * image.total
    rate = machines.gpus * machines.flops / image.total
    batch = training.images_at_once(machines.gpus)
    parameters = num_parameters(config)
    shards = machines.gpus if training.parallel == "fsdp" else 1
    return Plan(
        image=image,
        parameters=parameters,
        steps=steps,
        flop=flop,
        gpu_hours=flop / machines.flops / 3600,
        images_per_second=rate,
        memory=training_memory(config, batch, shards, bytes_of_a_number(config)),
        exchange=exchanged_bytes(config, machines),
        checkpoint=12 * parameters + 4 * teacher_parameters(config),
        cores=rate / machines.core_rate,
        pixels=pixel_bytes(config),
        encoding=encoding_flops(config.model),
        embedding=embedding_bytes(config.model),
    )


def bytes_of_a_number(config: RunConfig) -> int:
    """In the networks' precision, which is bf16 on a GPU unless the settings say otherwise."""
    return 4 if config.training.precision == "fp32" else 2


def exchanged_bytes(config: RunConfig, machines: Machines) -> float:
    """What each GPU sends in a step, by rings of n GPUs.

    DDP: 2 (n - 1) / n of the fp32 gradients, once. FSDP: (n - 1) / n of the weights of encoder and
    decoder, in the networks' precision, for each forward and each backward pass of theirs, and of
    the fp32 gradients of each backward pass; the rest as in DDP.
    """
    share = (machines.gpus - 1) / machines.gpus
    if config.training.parallel == "ddp":
        return 2 * share * 4 * num_parameters(config)
    views, objective, training = config.views, config.objective, config.training
    encoder, decoder = encoder_parameters(config.model), decoder_parameters(config.model)
    at_once = training.views_of_each(training.images_at_once(machines.gpus))
    masked = objective.uses_masked * math.ceil(views.num_masked / at_once)
    local = objective.on("cls_local") * math.ceil(views.num_local / at_once)
    encoded = objective.uses_full + objective.aligns_globally + masked + local
    drawn = objective.on("reconstruction") + masked * objective.on("masked_reconstruction")
    only_forward = (not objective.uses_full) + (objective.teacher != "none")
    number = bytes_of_a_number(config)
    learning = (2 * number + 4) * (encoded * encoder + drawn * decoder)
    divided = training.accumulate * (learning + number * only_forward * encoder)
    whole = num_parameters(config) - encoder - decoder
    return share * (divided + 2 * 4 * whole)


def pixel_bytes(config: RunConfig) -> int:
    """uint8 views of an image, and the indices of the patches that are kept."""
    model, views = config.model, config.views_read
    large = (1 + views.num_masked) * model.image_size**2
    small = views.num_local * views.local_size**2
    return model.in_chans * (large + small) + 8 * views.num_masked * kept_patches(config)


def embedding_bytes(model: ModelConfig) -> int:
    """cls, S and L of an image in half precision."""
    numbers = model.numbers_per_image()
    return 2 * (numbers["cls"] + numbers["S and L"])
