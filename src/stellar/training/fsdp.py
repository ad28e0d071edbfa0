"""FSDP: the weights, gradients and optimizer state of encoder and decoder split over the processes.

A block's weights are gathered for its forward pass, dropped, and gathered again for its backward
pass, whose gradients go, summed, to the process that holds their part. The heads, the factorization
and what is frozen stay whole everywhere: they are 3% of ViT-H, and the heads' prototypes are read
outside of any module's forward pass.
"""

import warnings

import torch

from stellar.objective import PretrainingModel
from stellar.training.computation import stacks


def shard(model: PretrainingModel, precision: str) -> None:
    """Split a model over the processes, in place, when it lies on its device and has no optimizer
    yet.

    In bf16 the blocks' weights travel in bf16, which autocast would round them to anyway (norms,
    which it would not, are rounded too); gradients are summed in fp32.
    """
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    in_blocks = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    # It warns of in-place operations on results that are views; there are none here.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    for stack in stacks(model):
        for block in stack.blocks:
            fully_shard(block, mp_policy=in_blocks, reshard_after_forward=True)
        fully_shard(stack, reshard_after_forward=True)
        for module in stack.modules():
            if isinstance(module, FSDPModule):
                # Losses are weighted so that gradients add up; gloo knows no other reduction.
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
