"""Approximate search: codes of one bit a dimension name candidates, and the descriptors on disk decide among them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.search.codes import Codes, random_rotation, sample_size, selector, turn
from sameplace.search.exact import check, exact
from sameplace.search.index import Blocks, Found
from sameplace.shapes import Array, Bool, Float, Float32, Int64

QUERIES_AT_ONCE = 256
EXACT_UP_TO = 2_000
"""Rows that are compared one by one rather than sought among many: a narrow filter is then exact, and no slower."""
FILTERED = 0.5
SIFTED = 20
"""Where fewer rows than this share may be found, so many codes of theirs are looked at for each candidate, at the least."""
ROTATION, CODES = "rotation.npy", "codes.faiss"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard an approximate search looks: more finds more, and takes longer."""

    probes: int = 64
    """Lists that are looked into, of those nearest to the query."""
    depth: int = 100
    """Candidates that are compared exactly, at the least four for each answer."""

    def __post_init__(self) -> None:
        if self.probes < 1 or self.depth < 1:
            raise ValueError(
                f"At least one list and one candidate were wanted, got probes={self.probes}, depth={self.depth}; use 1 or more."
            )


def lists_for(rows: int) -> int:
    """How many lists suit an index: one below a million rows, where scanning all codes is as quick, then 4,096, and twice as many
    for four times the rows.

    >>> [lists_for(rows) for rows in (999_999, 1_000_000, 4_000_000, 10_000_000)]
    [1, 4096, 8192, 8192]
    """
    return 1 if rows < 1_000_000 else 4096 << ((rows // 1_000_000).bit_length() - 1) // 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Approximate:
    """An `Index` that looks at codes first: at home from a hundred thousand photos on, at 80 bytes of memory for each.

    >>> index = Approximate.build([np.eye(8, dtype=np.float16)])
    >>> index.remove(np.array([1])).search(np.eye(8, dtype=np.float32)[:1], top=1).rows.tolist()
    [[0]]
    """

    blocks: Blocks
    codes: tuple[Codes, ...]
    """Codes of the first rows, whose rotation is the same; rows without codes are compared exactly."""
    numbered: int
    """Codes know a row by a number that it keeps; so many have been given out, in the order of the rows."""
    dropped: Int64[Array, " dropped"] = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers whose rows are no longer in the blocks, ascending."""
    present: Bool[Array, " rows"] | None = None
    """False for rows that must not be found (removed photos, or what a filter leaves out); None where all may be."""
    effort: Effort = Effort()

    @classmethod
    def build(cls, blocks: Blocks, *, lists: int | None = None, seed: int = 0, effort: Effort | None = None) -> "Approximate":
        """Learn from a sample of a database and code it all; `lists_for` its rows unless told how many lists."""
        rows = sum(len(block) for block in blocks)
        lists = lists_for(rows) if lists is None else lists
        sample = np.random.default_rng(seed).permutation(rows)[: sample_size(lists)]
        learnt = take(blocks, np.sort(sample))
        codes = Codes.learn(learnt, lists, rotation=random_rotation(learnt.shape[1], seed), seed=seed)
        index = cls(blocks=(), codes=(codes,), numbered=0, effort=effort or Effort())
        for block in blocks:
            index = index.add(block)
        return index

    @classmethod
    def open(cls, folder: str | Path, blocks: Blocks) -> "Approximate":
        """What `save` wrote, over the same blocks."""
        folder = Path(folder)
        with (folder / CODES).open("rb") as file:
            codes = Codes.read(file.read, np.load(folder / ROTATION, allow_pickle=False))
        if len(codes) != sum(len(block) for block in blocks):
            raise ValueError(f"{folder} holds {len(codes)} codes; give the blocks that it was saved with, or build it again.")
        return cls(blocks=tuple(blocks), codes=(codes,), numbered=len(codes))

    def save(self, folder: str | Path) -> None:
        """Write the codes to a new folder, not the descriptors; and not which rows were removed."""
        if len(self.codes) != 1 or len(self.dropped):
            raise ValueError("An index in one piece was wanted, got one from an atlas, which keeps it itself.")
        folder = Path(folder)
        folder.mkdir(parents=True)
        np.save(folder / ROTATION, self.codes[0].rotation)
        with (folder / CODES).open("xb") as file:
            self.codes[0].write(file.write)

    def add(self, block: Float[Array, "rows descriptor"]) -> "Approximate":
        """The index with more rows, under the numbers that follow; use it in place of this one, whose codes it takes over."""
        if self.rows != self._coded:
            raise ValueError(f"Only {self._coded} of {self.rows} rows have codes, and the next would follow them; code all first.")
        self.codes[-1].add(block, np.arange(self.numbered, self.numbered + len(block)))
        more = None if self.present is None else np.concatenate([self.present, np.ones(len(block), np.bool_)])
        return replace(self, blocks=(*self.blocks, block), numbered=self.numbered + len(block), present=more)

    def remove(self, rows: Int64[Array, " removed"]) -> "Approximate":
        """The index without some rows; the others keep their numbers."""
        kept = np.ones(self.rows, np.bool_) if self.present is None else self.present.copy()
        kept[rows] = False
        return replace(self, present=kept)

    def only(self, chosen: Bool[Array, " rows"]) -> "Approximate":
        """The index of the rows that a filter lets through."""
        return replace(self, present=chosen if self.present is None else chosen & self.present)

    @property
    def rows(self) -> int:
        """Rows of the blocks, whether they may be found or not."""
        return sum(len(block) for block in self.blocks)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return self.rows if self.present is None else int(self.present.sum())

    def search(self, queries: Float32[Array, "queries descriptor"], top: int) -> Found:
        """The `top` most similar rows for each query as far as the codes tell, in their exact order."""
        check(queries, self.blocks, top, self.rows, self.present)
        if len(self) <= EXACT_UP_TO:
            return exact(queries, self.blocks, top, present=self.present)
        columns = min(top, len(self))
        found = Found(similarities=np.empty((len(queries), columns), np.float32), rows=np.empty((len(queries), columns), np.int64))
        for first in range(0, len(queries), QUERIES_AT_ONCE):
            slab = slice(first, first + QUERIES_AT_ONCE)
            part = self._search(queries[slab], columns, self.effort.probes)
            found.similarities[slab], found.rows[slab] = part.similarities, part.rows
        return found

    def _search(self, queries: Float32[Array, "queries descriptor"], columns: int, probes: int) -> Found:
        """Answers of full length: where too few candidates are found, more lists are looked into."""
        late = exact(queries, self._late, columns, present=self._late_present)
        similarities = np.empty((len(queries), columns), np.float32)
        rows = np.empty((len(queries), columns), np.int64)
        short = []
        for query, candidates in enumerate(self._candidates(queries, columns, probes)):
            values = take(self.blocks, candidates).astype(np.float32) @ queries[query]
            values = np.concatenate([values, late.similarities[query]])
            both = np.concatenate([candidates, late.rows[query] + self._coded])
            if len(both) < columns:
                short.append(query)
                continue
            order = np.lexsort((both, -values))[:columns]
            similarities[query], rows[query] = values[order], both[order]
        if short:
            if probes >= max(codes.lists for codes in self.codes):
                raise ValueError("The database holds descriptors that are not finite; describe its photos again.")
            again = self._search(queries[short], columns, 8 * probes)
            similarities[short], rows[short] = again.similarities, again.rows
        return Found(similarities=similarities, rows=rows)

    def _candidates(
        self, queries: Float32[Array, "queries descriptor"], columns: int, probes: int
    ) -> Iterator[Int64[Array, " candidates"]]:
        """The likeliest rows for each query, ascending."""
        turned = turn(queries, self.codes[0].rotation)
        depth = max(self.effort.depth, 4 * columns)
        share = self._codable / max(1, self.numbered)
        # A filter's rows lie thinly in the lists: enough of these are looked into to meet as many as without it.
        least = SIFTED * depth / max(1, self._codable) if share < FILTERED else 0
        parts = [
            codes.candidates(turned, depth, max(probes, round(codes.lists * least)), self._chosen)
            for codes in self.codes
            if len(codes)
        ]
        distances = np.concatenate([distance for distance, _ in parts], axis=1)
        numbers = np.concatenate([number for _, number in parts], axis=1)
        for distance, number in zip(distances, numbers, strict=True):
            if len(parts) > 1:
                number = number[np.argpartition(distance, depth - 1)[:depth]]
            number = np.sort(number[number >= 0])
            yield number - np.searchsorted(self.dropped, number) if len(self.dropped) else number

    @cached_property
    def _coded(self) -> int:
        """Rows that have codes: the first ones."""
        return self.numbered - len(self.dropped)

    @cached_property
    def _codable(self) -> int:
        """Rows that have codes and may be found."""
        return self._coded if self.present is None else int(self.present[: self._coded].sum())

    @cached_property
    def _chosen(self) -> Any:
        """FAISS' selector of the numbers that may be found; None where all may be."""
        if self.present is None and not len(self.dropped):
            return None
        chosen = np.ones(self.numbered, np.bool_)
        chosen[self.dropped] = False
        if self.present is not None:
            chosen[chosen] = self.present[: self._coded]
        return selector(chosen)

    @cached_property
    def _late(self) -> Blocks:
        """The rows that have no codes yet."""
        late, start = [], 0
        for block in self.blocks:
            if start + len(block) > self._coded:
                late.append(block[max(0, self._coded - start) :])
            start += len(block)
        return late

    @cached_property
    def _late_present(self) -> Bool[Array, " rows"] | None:
        return None if self.present is None else self.present[self._coded :]


def take(blocks: Blocks, rows: Int64[Array, " taken"]) -> Float[Array, "taken descriptor"]:
    """The descriptors at some rows, which ascend."""
    parts, start = [], 0
    for block in blocks:
        first, last = np.searchsorted(rows, (start, start + len(block)))
        if first < last:
            parts.append(block[rows[first:last] - start])
        start += len(block)
    if not parts:
        return np.empty((0, blocks[0].shape[1] if len(blocks) else 0), np.float16)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]
