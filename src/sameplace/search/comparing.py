"""The similarities of queries to pieces of a database in half or single precision, computed in single precision."""

from functools import cached_property
from threading import Lock

import numpy as np

from sameplace.search.index import Blocks
from sameplace.shapes import Array, Float, Float16, Float32

FROM_HALF = np.float32(2.0**112)
"""A half's bits, moved to where single precision has sign, exponent and mantissa, are a number smaller by this: exponents count
from -15 in one and from -127 in the other. It holds for subnormal numbers too, so multiplying the queries by it puts all right."""
ENLARGED_UP_TO = 2.0**15
"""Larger numbers of a query would overflow."""
SHIFT, KEPT_BITS = 13, np.uint32(0x8FFF_E000).view(np.int32)
KEPT_BYTES = 1 << 28
"""What a database may take that is kept in single precision."""
KEEP_AFTER = 64
"""Queries; the change costs as much as a few of them."""


class Comparing:
    """Some queries, and the memory in which halves become singles.

    numpy converts one half at a time; shifting their bits, a piece that the processor's cache holds, gives the same numbers several
    times as fast.

    >>> Comparing(np.array([[0.6, 0.8]], dtype=np.float32), rows=2).similarities(np.eye(2, dtype=np.float16)).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """

    def __init__(self, queries: Float32[Array, "queries descriptor"], *, rows: int) -> None:
        self.queries = queries
        self._rows = rows
        self._can_enlarge = bool(max(queries.max(initial=0), -queries.min(initial=0)) < ENLARGED_UP_TO)

    def similarities(self, piece: Float[Array, "rows descriptor"]) -> Float32[Array, "queries rows"]:
        """The inner products with some rows, at the most as many as there is memory for."""
        if piece.dtype != np.float16 or not self._can_enlarge or not _finite(piece):
            return self.queries @ np.asarray(piece, dtype=np.float32).T
        singles = self._singles[: len(piece)]
        bits = singles.view(np.int32)
        bits[...] = piece.view(np.int16)
        np.left_shift(bits, SHIFT, out=bits)
        np.bitwise_and(bits, KEPT_BITS, out=bits)
        found: Float32[Array, "queries rows"] = self._enlarged @ singles.T
        return found

    # Of single precision neither is needed, and of long descriptors each takes megabytes.
    @cached_property
    def _enlarged(self) -> Float32[Array, "queries descriptor"]:
        return self.queries * FROM_HALF

    @cached_property
    def _singles(self) -> Float32[Array, "rows descriptor"]:
        return np.empty((self._rows, self.queries.shape[1]), np.float32)


def _finite(halves: Float16[Array, "rows descriptor"]) -> bool:
    """Whether no half is infinite or no number: of both, all bits of the exponent are set."""
    positive, negative = halves.view(np.int16).max(initial=0), halves.view(np.uint16).max(initial=0)
    return bool(positive < 0x7C00 and negative < 0xFC00)


class Kept:
    """A small database in single precision, once many have asked: a query then takes half the time."""

    def __init__(self) -> None:
        self._asked, self._making = 0, Lock()
        self._made: tuple[Blocks, Blocks] | None = None

    def best(self, blocks: Blocks, queries: int) -> Blocks:
        """The blocks as so many further queries had better read them."""
        self._asked += queries
        fit = 4 * sum(block.size for block in blocks) <= KEPT_BYTES
        if self._made is None and self._asked > KEEP_AFTER and fit and self._making.acquire(blocking=False):  # others need not wait
            self._made = blocks, tuple(np.asarray(block, dtype=np.float32) for block in blocks)
        return self._made[1] if self._made is not None and self._made[0] is blocks else blocks
