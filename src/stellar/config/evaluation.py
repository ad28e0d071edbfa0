"""How models are evaluated: what is fitted, how often, and on how many pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stellar.config.checks import check_choices, check_workers, require, warn
from stellar.config.field_types import settle_types


@dataclass(frozen=True)
class EvaluationConfig:
    """How the tests are run."""

    protocol: Literal["stellar", "published"] = "stellar"
    """Our tests, or the published code's."""
    published_epochs: int = 0
    """Epochs of the published tests; 0: as published."""
    batch_size: int = 64
    """Pictures encoded at once."""
    num_workers: int = 0
    """Processes that read pictures; 0 reads in this one."""
    epochs: int = 10
    """Passes of everything that is fitted over its features."""
    num_seeds: int = 3
    """Repetitions of all that is random: mean and spread."""
    seed: int = 0
    """The first of the seeds."""
    num_drawn: int = 2000
    """Test pictures drawn again at most, evenly spread; 0: all."""
    num_voting: int = 10_000
    """Training patches that vote in kNN segmentation at most; 0: all."""
    force_fid: bool = False
    """rFID of fewer than 2,000 pictures too; it is then marked."""
    decoder_steps: int = 0
    """Batches that a decoder on frozen features is trained for, for each seed; 0: none."""
    attentive: bool = False
    """Probe all of U and S: 2 (P + K) D bytes a picture on disk."""
    metric_weights: Path | None = None
    """Folder of LPIPS's and rFID's weights; else torch's cache."""

    def __post_init__(self) -> None:
        settle_types(self)
        for name, least in (
            ("batch_size", 1), ("epochs", 1), ("num_seeds", 1), ("seed", 0),
            ("num_drawn", 0), ("num_voting", 0), ("decoder_steps", 0), ("published_epochs", 0),
        ):  # fmt: skip
            value = getattr(self, name)
            require(value >= least, f"{name} must be at least {least}, got {value}")
            require(value < 2**62, f"{name} must be below 2^62, got {value}")
        check_workers(self.num_workers, "num_workers")
        check_choices(self, "evaluation")
        ours = ("epochs", "decoder_steps", "attentive")
        for name in ("published_epochs",) if self.protocol == "stellar" else ours:
            if getattr(self, name) != getattr(type(self), name):
                warn(f"{name} has no effect when the protocol is {self.protocol}")

    @property
    def seeds(self) -> range:
        """All of them."""
        return range(self.seed, self.seed + self.num_seeds)

    @property
    def in_words(self) -> dict[str, str]:
        """What numbers depend on."""
        chosen = {
            "protocol": self.protocol,
            "seeds": ", ".join(map(str, self.seeds)),
            "drawn": f"{self.num_drawn} test pictures at most" if self.num_drawn else "all",
        }
        if self.protocol == "published":
            return chosen | {"epochs": str(self.published_epochs or "as published")}
        return chosen | {
            "epochs": str(self.epochs),
            "voting": f"{self.num_voting} training patches at most" if self.num_voting else "all",
            "decoder on frozen features": f"{self.decoder_steps} steps",
        }
