"""A benchmark that can be loaded by name: what is known about it before anything is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sameplace.datasets.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A benchmark that can be loaded by name."""

    name: str
    protocol: str
    database: int
    queries: int
    reference: str
    obtain: str
    """Where it comes from, as it follows the word "get"; no full stop."""
    load: Callable[[Path], Dataset] = field(repr=False)
    """Reads it from a root; the counts are checked afterwards, in one place."""
    counts_vary: bool = False
    """There is no one official count: the counts given are the most usual, and others are accepted."""
    drawn: bool = False
    """It is drawn where it is missing, so that it needs no root."""

    def facts(self) -> dict[str, Any]:
        """What can be told about it, as plain values."""
        return {
            "name": self.name,
            "protocol": self.protocol,
            "database": self.database,
            "queries": self.queries,
            "counts_vary": self.counts_vary,
            "reference": self.reference,
            "obtain": self.obtain,
        }
