"""What every search answers, and what it is asked: the protocol that exact and approximate indexes share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from sameplace.shapes import Array, Float, Float32, Int64

Blocks: TypeAlias = Sequence[Float[Array, "_ _"]]
"""A database: one or several arrays (rows, descriptor), often mapped from disk; their rows are counted through."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The nearest rows of a database to each query, best first; ties go to the lower row."""

    similarities: Float32[Array, "queries top"]
    rows: Int64[Array, "queries top"]


@runtime_checkable
class Index(Protocol):
    """A searchable database of descriptors."""

    def __len__(self) -> int:
        """How many descriptors can be found."""

    def search(self, queries: Float32[Array, "queries descriptor"], top: int) -> Found:
        """The `top` most similar rows for each query; fewer columns where the database holds fewer rows."""
