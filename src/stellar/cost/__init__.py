"""What a run costs, from its configuration alone, by formulas: FLOP, bytes, hours.

Nothing is built, and torch is not needed.
"""

from stellar.cost.flops import Flops, encoding_flops, training_flops
from stellar.cost.memory import Memory, num_parameters, training_memory
from stellar.cost.planning import Machines, Plan, plan

__all__ = [
    "Flops",
    "Machines",
    "Memory",
    "Plan",
    "encoding_flops",
    "num_parameters",
    "plan",
    "training_flops",
    "training_memory",
]
