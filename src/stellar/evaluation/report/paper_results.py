"""What the paper reports (arXiv 2602.01905): ImageNet-1k, linear and kNN accuracy in percent,
reconstruction by a 6-layer decoder on frozen features. Published, not measured here.
"""

from dataclasses import dataclass

SOURCE = "arXiv 2602.01905"


@dataclass(frozen=True)
class Published:
    """A row of the table; None where nothing was published."""

    model: str
    tokens: int
    rfid: float | None
    lpips: float | None
    linear: float
    knn: float


TABLE = (
    Published("DINO B", 1, None, None, 76.46, 74.69),
    Published("DINO B", 196, 3.27, 0.2121, 70.31, 54.41),
    Published("MAE B", 196, 3.02, 0.2071, 66.32, 25.82),
    Published("TiTok", 32, 2.75, 0.3281, 33.42, 7.30),
    Published("STELLAR B", 16, 3.06, 0.2077, 73.26, 67.25),
    Published("STELLAR H", 16, 2.60, 0.1729, 79.10, 77.31),
)
