"""How well it works."""

from sameplace.evaluation.answers import Answers
from sameplace.evaluation.comparison import Comparison, compare
from sameplace.evaluation.report import Report
from sameplace.evaluation.scoring import Outcome, evaluate, score

__all__ = ["Answers", "Comparison", "Outcome", "Report", "compare", "evaluate", "score"]
