"""The terms of the objective, their targets and their weights."""

from dataclasses import dataclass
from typing import Literal

from stellar.config.checks import check_at_least, check_choices, check_numbers, require
from stellar.config.field_types import settle_types
from stellar.config.model import ModelConfig


@dataclass(frozen=True)
class ObjectiveConfig:
    """The terms of the objective, their targets and their weights. A weight of 0 removes a term;
    the seven of STELLAR are on.
    """

    reconstruction_weight: float | None = None
    """Reconstruction of the full view from Z. None: 10 for pixels, 0.05 for codes (the paper's
    values).
    """
    token_clustering_weight: float = 1.0
    """S of the full view against its own assignment."""
    cls_clustering_weight: float = 1.0
    """cls of the full view against its own assignment."""
    set_alignment_weight: float = 1.0
    """S of each masked view against the matched assignments of the full view."""
    cls_masked_weight: float = 1.0
    """cls of each masked view against the full view's assignment."""
    cls_local_weight: float = 1.0
    """cls of each local crop against the full view's assignment."""
    koleo_weight: float = 0.1
    """KoLeo, which spreads the tokens of an image: once on the full view, once on the masked
    views.
    """
    masked_reconstruction_weight: float = 0.0
    """Reconstruction of what a masked view hides, from U of the patches that it keeps: the
    objective of MAE.
    """
    spatial_noise: float = 0.0
    """Gumbel noise on the logits of L (before its softmax, 1: as in sampling from L) where the full
    view is drawn from Z in training. It keeps L from carrying the picture in its fine shades, so
    that S has to. Not in the paper; 0: none.
    """
    pooled_dense: bool = False
    """The head of the tokens reads S plus the mean of U over the patches that each token explains
    (weighted by L), in place of S alone; matching and KoLeo read S. Not in the paper.
    """
    global_alignment: Literal["off", "matched", "published"] = "off"
    """A second whole view, another crop in other colours, takes part: in both clustering terms each
    of the two views predicts the assignments of the other in place of its own. matched: token by
    token, as the two views are matched. published: as the published code has it since June 2026,
    which takes the matching the wrong way round for one of the two. off: as in the paper.
    """
    num_prototypes: int = 16384
    """Number C of prototypes of each head."""
    prototype_dim: int = 256
    """Width of a prototype."""
    head_hidden_dim: int = 2048
    """Width of the hidden layer of a head's MLP."""
    target_temperature: float = 0.06
    """Temperature of the Sinkhorn assignment."""
    prediction_temperature: float = 0.12
    """Temperature of the predicted distribution over prototypes."""
    sinkhorn_iterations: int = 3
    """Rounds of Sinkhorn-Knopp, each: prototypes, then rows."""
    sinkhorn_scale: float = 1.0
    """Exponent on the prototypes' sums; below 1 the use of the prototypes is balanced less
    strictly.
    """
    matching_epsilon: float = 0.1
    """Entropy of the matching between two sets of tokens."""
    matching_iterations: int = 5
    """Rounds of Sinkhorn in the matching."""
    teacher: Literal["none", "constant", "cosine"] = "none"
    """Momentum teacher that gives the targets: none (the main recipe), constant momentum, or
    cosine to 1.
    """
    teacher_momentum: float = 0.996
    """Momentum of the teacher, at the start when it follows a cosine."""

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that are on."""
        weights = (name for name in self.__dataclass_fields__ if name.endswith("_weight"))
        return tuple(filter(self.on, (name.removesuffix("_weight") for name in weights)))

    def on(self, *terms: str) -> bool:
        """True when one of these terms is part of the objective."""
        return any(getattr(self, f"{term}_weight") != 0 for term in terms)

    @property
    def uses_full(self) -> bool:
        """True when a term is about the full view itself, which else gives targets alone."""
        return self.on("reconstruction", "token_clustering", "cls_clustering", "koleo")

    @property
    def uses_masked(self) -> bool:
        """True when a term is about the masked views."""
        return self.on("set_alignment", "cls_masked", "koleo", "masked_reconstruction")

    @property
    def uses_tokens(self) -> bool:
        """True when a term is about S as its head sees it."""
        return self.on("token_clustering", "set_alignment")

    @property
    def aligns_globally(self) -> bool:
        """True when two whole views are compared with each other."""
        return self.global_alignment != "off" and self.on("token_clustering", "cls_clustering")

    @property
    def uses_second(self) -> bool:
        """True when a second whole view is encoded."""
        return self.aligns_globally or self.teacher != "none"

    @property
    def uses_pooled_dense(self) -> bool:
        """True when a head reads what the tokens' patches say."""
        return self.pooled_dense and self.uses_tokens

    def reads_masked_patches(self, model: ModelConfig) -> bool:
        """True when a term needs the patches of the masked views, not their tokens alone."""
        makes_tokens = model.slot_rounds > 0 or model.bottleneck > 0
        return self.on("masked_reconstruction") or self.uses_pooled_dense or makes_tokens

    @property
    def uses_cls(self) -> bool:
        """True when a term is about cls as its head sees it."""
        return self.on("cls_clustering", "cls_masked", "cls_local")

    def __post_init__(self) -> None:
        settle_types(self, "objective")
        check_choices(self, "objective")
        check_numbers(self, "objective")
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if name.endswith("_weight") and value is not None:
                require(value >= 0, f"objective.{name} must not be negative, got {value}")
        for name in ("target_temperature", "prediction_temperature", "matching_epsilon"):
            require(
                getattr(self, name) > 0,
                f"objective.{name} must be positive, got {getattr(self, name)}",
            )
        sizes = ("num_prototypes", "prototype_dim", "head_hidden_dim")
        check_at_least(self, "objective", 1, *sizes, "sinkhorn_iterations", "matching_iterations")
        require(
            self.spatial_noise >= 0,
            f"objective.spatial_noise must not be negative, got {self.spatial_noise}",
        )
        require(
            0 < self.sinkhorn_scale <= 1,
            f"objective.sinkhorn_scale must be in (0, 1], got {self.sinkhorn_scale}",
        )
        require(
            self.global_alignment == "off" or self.teacher == "none",
            f"objective.global_alignment = {self.global_alignment} and objective.teacher = "
            f"{self.teacher} both say what the full view predicts; switch one of them off",
        )
        require(
            0 <= self.teacher_momentum <= 1,
            f"objective.teacher_momentum must be between 0 and 1, got {self.teacher_momentum}",
        )
