"""How the networks of a training are computed: in what precision and by which kernel, whether
blocks and tokenizer are compiled, and whether blocks are computed again in the backward pass.

Only how a forward pass is called changes: parameters keep their names, and of the results no more
than the rounding differs. All of it comes before FSDP, whose hooks stay outside of what is compiled
or computed again.
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from stellar.config import TrainingConfig
from stellar.model.decoder import Decoder
from stellar.model.encoder import Encoder
from stellar.model.transformer import Attention, Block
from stellar.model.vqgan import VQEncoder

MOST_SHAPES = 64
"""Shapes of views that a block is compiled for; with any further shape torch runs it as it is."""


def compute_as(model: nn.Module, training: TrainingConfig, device: torch.device) -> None:
    """Have a model, its teacher and its tokenizer computed as the settings say, in place, when they
    lie on the device.
    """
    choose_arithmetic(model, training)
    if compiles(training.compile, device):
        compile_networks(model)
    # After compiling, so that what is computed again is the compiled block.
    if training.recompute:
        recompute_blocks(model)


def choose_arithmetic(model: nn.Module, training: TrainingConfig) -> None:
    """Precision of the tokenizer and of what blocks hand on, and the kernel of attention."""
    for module in model.modules():
        match module:
            case VQEncoder():
                module.all_in_bf16 = training.codes == "fast"
            case Block():
                module.bf16_residual = training.residual == "bf16"
            case Attention():
                module.cudnn_first = training.attention == "cudnn"


def stacks(model: nn.Module) -> Iterator[Encoder | Decoder]:
    """A model's encoder and decoder, and its teacher's encoder."""
    return (module for module in model.modules() if isinstance(module, Encoder | Decoder))


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The transformer blocks of all stacks."""
    return (block for stack in stacks(model) for block in stack.blocks)


def find_compiler() -> str | None:
    """Path of a C++ compiler, of those that torch.compile looks for."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def compiles(setting: str, device: torch.device) -> bool:
    """Whether networks are compiled on this device under this setting of `training.compile`; auto
    compiles on a GPU where Triton has all that it needs.
    """
    if setting != "auto" or device.type != "cuda":
        return setting == "on"
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    able = find_compiler() is not None and find_spec("triton") is not None and headers
    return able and torch.cuda.get_device_capability(device) >= (7, 0)


def compile_networks(model: nn.Module) -> None:
    """Compile each block's forward and backward pass, what makes tokens of images, and the
    tokenizer's encoder, each at its first call. The blocks of a stack are alike, so that they
    share what is compiled: one graph a shape.
    """
    compiled = partial(torch.compile, dynamic=False)
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_SHAPES)
    parts = {Block: "forward", Encoder: "embed", VQEncoder: "forward"}
    for module in model.modules():
        if part := parts.get(type(module)):
            setattr(module, part, compiled(getattr(module, part)))


def recompute_blocks(model: nn.Module) -> None:
    """Keep a block's input alone for the backward pass, and compute the rest again there
    (activation checkpointing).
    """
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    for block in blocks(model):
        block.forward = partial(again, block.forward)
