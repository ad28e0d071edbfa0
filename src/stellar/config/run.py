"""A run, whole: the data and all the other settings."""

from dataclasses import dataclass, field, replace

from stellar.config.checks import require, warn
from stellar.config.field_types import settle_types
from stellar.config.model import ModelConfig
from stellar.config.objective import ObjectiveConfig
from stellar.config.training import TrainingConfig
from stellar.config.views import ViewConfig, num_kept

OF_TOKENS = ("token_clustering", "set_alignment", "koleo")
"""Terms of the objective that are about tokens."""


@dataclass(frozen=True)
class RunConfig:
    """One training run, whole: with the data, this is all that its result depends on."""

    data: str = ""
    """A folder of images; shards, as a folder of .tar files, a pattern or an address; or `scenes`:
    drawn things on paper, which come with the package. Empty: not chosen yet, so nothing can be
    trained.
    """
    init: str = ""
    """What to start from: a model by name (stellar-scenes, stellar-b16), a run, checkpoint or
    weights file of stellar; or a backbone (MAE, DINO, DINOv2, DINOv3, ViT), as a hub id such as
    facebook/vit-mae-base, a folder or a file, which then decides the encoder's sizes. Empty: random
    weights.
    """
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def with_steps(self, steps: int | None) -> "RunConfig":
        """The same run, shorter or longer; None: for its epochs."""
        return replace(self, training=replace(self.training, steps=steps))

    @property
    def views_read(self) -> ViewConfig:
        """The views that some term reads: no others are cut, or sent to a device."""
        objective, views = self.objective, self.views
        masked = objective.uses_masked or objective.uses_second
        return replace(
            views,
            num_masked=views.num_masked if masked else 0,
            num_local=views.num_local if objective.on("cls_local") else 0,
        )

    def __post_init__(self) -> None:
        settle_types(self)
        patch = self.model.patch_size
        require(
            self.views.local_size % patch == 0,
            f"views.local_size must be a multiple of model.patch_size = {patch}, "
            f"got {self.views.local_size}",
        )
        require(
            num_kept((self.model.image_size // patch) ** 2, self.views.masking_ratio) >= 1,
            f"views.masking_ratio = {self.views.masking_ratio} leaves no patch "
            "of a masked view; lower it",
        )
        views, side = self.views, self.model.image_size
        side = min(side, views.local_size) if views.num_local else side
        require(
            views.blur_probability == 0 or views.blur_kernel // 2 < side,
            f"views.blur_kernel must be below {2 * side} for views of {side} pixels, "
            f"got {views.blur_kernel}",
        )
        self._require_what_terms_need()
        self._tell_what_has_no_effect()

    def _require_what_terms_need(self) -> None:
        """Some term is on, and what it is about is there."""
        objective, views = self.objective, self.views
        require(
            bool(objective.terms),
            "every term of the objective is off; set one of its weights above 0",
        )
        if not self.model.num_sparse_tokens and not self.model.bottleneck:
            on = [term for term in OF_TOKENS if objective.on(term)]
            require(
                not on,
                f"model.num_sparse_tokens is 0, so terms about tokens must be off: set "
                f"{', '.join(f'objective.{term}_weight' for term in on)} to 0",
            )
        another_crop = views.num_masked > 1 or (views.num_masked == 1 and not views.share_crop)
        require(
            not objective.aligns_globally or another_crop,
            "objective.global_alignment compares the full view with the crop of the second masked "
            "view, or of the only one if that has its own, got "
            f"views.num_masked = {views.num_masked} and views.share_crop = {views.share_crop}; "
            "raise views.num_masked",
        )
        require(
            not objective.on("masked_reconstruction")
            or (views.num_masked > 0 and views.masking_ratio > 0),
            "objective.masked_reconstruction_weight needs views that hide something; raise "
            "views.num_masked and views.masking_ratio",
        )

    def _tell_what_has_no_effect(self) -> None:
        objective, views = self.objective, self.views
        if objective.teacher == "none" and objective.teacher_momentum != 0.996:
            warn("objective.teacher_momentum has no effect without a teacher")
        if objective.global_alignment != "off" and not objective.aligns_globally:
            warn(
                "objective.global_alignment has no effect without token_clustering_weight or "
                "cls_clustering_weight"
            )
        for term in ("set_alignment", "cls_masked"):
            if views.num_masked == 0 and objective.on(term):
                warn(f"objective.{term}_weight has no effect with views.num_masked = 0")
        if views.num_local == 0 and objective.on("cls_local"):
            warn("objective.cls_local_weight has no effect with views.num_local = 0")
        if views.num_local == 0 and views.local_scale != ViewConfig.local_scale:
            warn("views.local_scale has no effect with num_local = 0")
