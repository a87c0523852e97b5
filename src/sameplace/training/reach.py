"""How near is near and how far is far: what the rules of weak supervision are told, readable before numpy is."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How near is near and how far is far, in metres: the paper's and its authors' code."""

    trivial: float = 1.0
    """Images up to here show what the query shows: they teach nothing."""
    positive: float = 10.0
    """Images up to here may show the same place."""
    negative: float = 25.0
    """Images beyond here do not."""
    another_time: bool = False
    """A positive must come from another pass (Tokyo Time Machine): its time must be known and differ by more than `same_pass`."""
    same_pass: float = 600.0
    """Seconds within which two images count as one pass."""
    heading: float | None = None
    """A positive may look at most so many degrees elsewhere than the query; both headings must be known. None asks for none."""


PAPERS = Reach()
"""The paper's and its authors'."""
