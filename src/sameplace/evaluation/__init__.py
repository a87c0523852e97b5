"""How well it works."""

from sameplace.evaluation.report import Report
from sameplace.evaluation.scoring import evaluate

__all__ = ["Report", "evaluate"]
