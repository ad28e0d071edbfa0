"""What is the same for every group of views within a step: the model, and how it is computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stellar.model import Factors
from stellar.model.encoder import Request, Tokens
from stellar.model.factorization import pooled
from stellar.objective.matching import match
from stellar.objective.pretraining_model import PretrainingModel
from stellar.objective.reconstruction_terms import Drawing
from stellar.precision import Autocast


@dataclass(frozen=True)
class Portion:
    """Views of one group that are encoded together."""

    request: Request
    drawing: Drawing | None = None
    """What the decoder is to draw of them, where a term is about that."""
    share: float = 1.0
    """Of its group."""
    learns: bool = True
    """Whether a term sends a gradient through them."""


@dataclass(frozen=True)
class ThisStep:
    """A model in one step of its training."""

    model: PretrainingModel
    autocast: Autocast
    generator: torch.Generator | None

    def encode(self, portion: Portion) -> Tokens:
        """A portion by itself."""
        request = portion.request
        with self.autocast(), torch.set_grad_enabled(portion.learns):
            return self.model.encoder(request.images, request.keep, request.read)

    def encode_packed(self, portions: Sequence[Portion]) -> list[Tokens]:
        """Several portions: those that learn in one pass."""
        learning = [portion.request for portion in portions if portion.learns]
        with self.autocast():
            packed = iter(self.model.encoder.encode_packed(learning) if learning else ())
        return [next(packed) if portion.learns else self.encode(portion) for portion in portions]

    def tokens(
        self, encoded: Tokens | Factors
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B K D"]]:
        """The tokens of each image, and what their head reads of them.

        Both are S, or every patch where there is a dense bottleneck instead; where the objective
        says so, the head reads the mean of U over each token's patches on top. What was not
        factorized yet, and is a teacher's too, is so by the student's projections.
        """
        model, dense, sparse = self.model, encoded.dense, encoded.sparse
        pools = model.objective.uses_pooled_dense
        if model.config.bottleneck:
            return dense, dense
        if not pools and not model.config.slot_rounds:
            return sparse, sparse
        if isinstance(encoded, Factors):
            spatial = encoded.spatial
        else:
            with self.autocast():
                sparse, spatial = model.factorization(dense, sparse)
        return sparse, sparse + pooled(dense, spatial) if pools else sparse

    def matched_rows(
        self, prediction: Float[Tensor, "BV K D"], target: Float[Tensor, "B J D"]
    ) -> Int[Tensor, "BVK"]:
        """Row, among the target tokens of all images, that each predicted token is matched to."""
        config = self.model.objective
        image = torch.arange(len(target), device=target.device)
        image = image.repeat_interleave(len(prediction) // len(target))
        index = match(
            prediction.detach(), target[image], config.matching_epsilon, config.matching_iterations
        )
        return (index + image[:, None] * target.shape[1]).flatten()
