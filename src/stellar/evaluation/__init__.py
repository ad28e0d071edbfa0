"""What a model knows (S), where it knows it (L), and what it can draw again (Z)."""

from stellar.evaluation.page import write_report
from stellar.evaluation.report import SceneReport, evaluate_scenes
from stellar.evaluation.table import print_table

__all__ = ["SceneReport", "evaluate_scenes", "print_table", "write_report"]
