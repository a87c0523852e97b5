"""What a figure is, in numpy alone."""

from sameplace.measures.intervals import wilson
from sameplace.measures.recall import first_hits, recall

__all__ = ["first_hits", "recall", "wilson"]
