"""What a figure is, in numpy alone."""

from sameplace.measures.average_precision import average_precision
from sameplace.measures.intervals import bootstrap, wilson
from sameplace.measures.localisation import located, median_error
from sameplace.measures.paired import mcnemar
from sameplace.measures.precision_recall import PrecisionRecall, precision_recall
from sameplace.measures.recall import NEVER, first_hits, recall

__all__ = [
    "NEVER",
    "PrecisionRecall",
    "average_precision",
    "bootstrap",
    "first_hits",
    "located",
    "mcnemar",
    "median_error",
    "precision_recall",
    "recall",
    "wilson",
]
