"""Descriptors of one bit a dimension, in lists around centroids: what an approximate search reads instead of the descriptors.

RaBitQ (J. Gao and C. Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest
Neighbor Search", SIGMOD 2024) as FAISS scans it. Its bound holds for a random rotation, without which one bit says little: the
rotation is our own, so that several files share it and a query is turned once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from sameplace.errors import MissingExtra
from sameplace.shapes import Array, Bool, Float, Float32, Int64
from sameplace.threads import usable_cores

SAMPLE_A_LIST = 64
"""Descriptors that each centroid is learnt from: with half as many, twice the lists must be probed for the same recall."""
SAMPLE = 16_384
"""The least sample, for an index of few lists."""
ROUNDS = 10
GROUPED_FROM = 1024
"""Lists; for so many the nearest to a descriptor is sought in the groups of them that are nearest, not among all."""
LISTS_A_GROUP, GROUPS_PROBED = 8, 16
"""97 of 100 descriptors then get the list that is nearest indeed, and the others one that is nearly so, in a sixth of the time."""
ONE_PLACE = 1e-3
"""Squared distance, of the descriptors' own mean square, within which groups are copies of each other: single precision resolves
1e-6, FAISS' k-means moves copies apart by up to 1e-4, and the groups of photos that differ are some tenths apart."""
ROWS_AT_ONCE = 16_384
QUERIES_FOR_THREADS = 32
BYTES_AT_ONCE = 1 << 20


def sample_size(lists: int) -> int:
    """How many descriptors so many lists are learnt from."""
    return max(SAMPLE, SAMPLE_A_LIST * lists)


def installed() -> bool:
    """Whether FAISS is there."""
    try:
        _faiss()
    except MissingExtra:
        return False
    return True


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """The codes of some descriptors, each under a number of its own."""

    rotation: Float32[Array, "descriptor descriptor"]
    index: Any
    """FAISS' IndexIVFRaBitQFastScan."""

    @classmethod
    def learn(
        cls,
        sample: Float[Array, "rows descriptor"],
        lists: int,
        *,
        rotation: Float32[Array, "descriptor descriptor"],
        seed: int = 0,
    ) -> "Codes":
        """No codes yet, and the centroids of the lists that will hold them, by k-means on a sample."""
        faiss = _faiss()
        faiss.omp_set_num_threads(usable_cores())
        if not len(sample):
            raise ValueError("An index learns from descriptors, and there are none; add photos first.")
        # Descriptors have unit length, so that the nearest is the most similar; lists by distance are more even than by similarity.
        lists = min(lists, len(sample))
        index = faiss.index_factory(sample.shape[1], f"IVF{lists},RaBitQfs", faiss.METRIC_L2)
        _asked_of(index.cp, lists, seed)
        turned = _turned(sample, rotation)
        if lists >= GROUPED_FROM:
            index.quantizer.add(_centroids(turned, lists, seed))
            turned = turned[:lists]  # nothing else is learnt from them
        index.train(turned)
        return cls(rotation=rotation, index=index)

    @classmethod
    def read(cls, read: Callable[[int], bytes], rotation: Float32[Array, "descriptor descriptor"]) -> "Codes":
        """The codes in a file, whose `read` gives the next so many bytes; ValueError where it holds something else.

        FAISS copies codes of this form even from a mapped file, so all are read: 80 bytes a descriptor.
        """
        faiss = _faiss()
        try:
            index = faiss.read_index(faiss.PyCallbackIOReader(read, BYTES_AT_ONCE))
        except RuntimeError as error:
            raise ValueError(f"The file holds no codes ({str(error).splitlines()[-1].strip()}).") from None
        if not isinstance(index, faiss.IndexIVFRaBitQFastScan) or index.d != len(rotation):
            raise ValueError(f"The file holds other codes than those of {len(rotation)} numbers.")
        return cls(rotation=rotation, index=index)

    def write(self, write: Callable[[bytes], int]) -> None:
        """Give the content of a file, piece by piece."""
        faiss = _faiss()
        faiss.write_index(self.index, faiss.PyCallbackIOWriter(write, BYTES_AT_ONCE))

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self.index.nlist)

    def add(self, descriptors: Float[Array, "rows descriptor"], numbers: Int64[Array, " rows"]) -> None:
        """Code descriptors under these numbers."""
        _faiss().omp_set_num_threads(usable_cores())
        every = self.index.quantizer
        if self.lists >= GROUPED_FROM and len(descriptors) >= GROUPED_FROM and self._grouped is not None:
            self.index.quantizer = self._grouped
        try:
            for start in range(0, len(descriptors), ROWS_AT_ONCE):
                part = _turned(descriptors[start : start + ROWS_AT_ONCE], self.rotation)
                self.index.add_with_ids(part, numbers[start : start + ROWS_AT_ONCE])
        finally:
            self.index.quantizer = every  # a query looks at all centroids, and so does the file

    @cached_property
    def _grouped(self) -> Any:
        """Finds the list of a descriptor among the centroids, which are grouped; None where they cannot be."""
        centroids = self.index.quantizer.reconstruct_n(0, self.lists)
        grouped = _groups(centroids, self.lists, 0)
        if _crowded(grouped, centroids):
            return None
        grouped.add(centroids)
        grouped.make_direct_map()  # coding asks for the centroid of a list
        return grouped

    def candidates(
        self, turned: Float32[Array, "queries descriptor"], count: int, probes: int, selector: Any = None
    ) -> tuple[Float32[Array, "queries candidates"], Int64[Array, "queries candidates"]]:
        """Estimated squared distances and numbers of the likeliest neighbours of rotated queries; -1 where there are too few."""
        faiss = _faiss()
        # Threads that share one query wait for each other longer than they work, the more so on a busy machine.
        faiss.omp_set_num_threads(1 if len(turned) < QUERIES_FOR_THREADS else usable_cores())
        parameters = faiss.SearchParametersIVF(nprobe=min(probes, self.lists), sel=selector)
        distances, numbers = self.index.search(turned, count, params=parameters)
        return distances, numbers

    def unexplained(self, descriptors: Float[Array, "rows descriptor"]) -> float:
        """The share of the descriptors' variance that their centroids do not tell, and the codes have to; more than at first means
        that the descriptors are no longer those that the centroids were learnt from.
        """
        turned = _turned(descriptors, self.rotation)
        _, lists = self.index.quantizer.search(turned, 1)
        left = turned - self.index.quantizer.reconstruct_batch(lists[:, 0])
        return float(np.square(left).sum() / np.square(turned - turned.mean(axis=0)).sum())


def _centroids(turned: Float32[Array, "rows descriptor"], lists: int, seed: int) -> Any:
    """The centroids of many lists by k-means, in which grouped centroids are looked through in every round, where they can be."""
    faiss = _faiss()
    parameters = faiss.ClusteringParameters()
    _asked_of(parameters, lists, seed)
    clustering = faiss.Clustering(turned.shape[1], lists, parameters)
    groups = _groups(turned, lists, seed)
    clustering.train(turned, faiss.IndexFlatL2(turned.shape[1]) if _crowded(groups, turned) else groups)
    return faiss.vector_to_array(clustering.centroids).reshape(lists, turned.shape[1])


def _groups(learnt_from: Float32[Array, "rows descriptor"], lists: int, seed: int) -> Any:
    """Where the centroids of so many lists will be sought: no centroids yet, and what groups them."""
    faiss = _faiss()
    groups = lists // LISTS_A_GROUP
    index = faiss.index_factory(learnt_from.shape[1], f"IVF{groups},Flat", faiss.METRIC_L2)
    _asked_of(index.cp, groups, seed)
    index.nprobe = GROUPS_PROBED
    index.train(learnt_from)
    return index


def _crowded(groups: Any, learnt_from: Float32[Array, "rows descriptor"]) -> bool:
    """Whether as many groups as are probed lie in one place, as where most photos are copies of one.

    All that are probed may then be empty: a descriptor gets no list, over which FAISS' k-means ends the process.
    """
    distances, _ = groups.quantizer.search(groups.quantizer.reconstruct_n(0, groups.nlist), min(groups.nprobe, groups.nlist))
    mean_square = np.vdot(learnt_from, learnt_from) / len(learnt_from)
    return bool(distances[:, -1].min() <= ONE_PLACE * mean_square)


def _asked_of(parameters: Any, lists: int, seed: int) -> None:
    """Tell FAISS' k-means how to go about it."""
    parameters.niter, parameters.seed, parameters.min_points_per_centroid = ROUNDS, seed, 1
    parameters.max_points_per_centroid = -(-sample_size(lists) // lists)


def selector(chosen: Bool[Array, " numbers"]) -> Any:
    """What lets a search find these numbers and no others."""
    return _faiss().IDSelectorBitmap(np.packbits(chosen, bitorder="little"))


def random_rotation(dim: int, seed: int = 0) -> Float32[Array, "dim dim"]:
    """A rotation (or reflection) drawn evenly from all there are."""
    drawn, corner = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    turned: Float32[Array, "dim dim"] = (drawn * np.sign(np.diag(corner))).astype(np.float32)
    return turned


def turn(queries: Float32[Array, "queries descriptor"], rotation: Float32[Array, "descriptor descriptor"]) -> Any:
    """Queries as the codes see them."""
    return np.ascontiguousarray(queries @ rotation)


def _turned(descriptors: Float[Array, "rows descriptor"], rotation: Float32[Array, "descriptor descriptor"]) -> Any:
    """Descriptors as the codes see them, turned piece by piece: a sample of half a gigabyte is not held twice."""
    turned = np.empty(descriptors.shape, np.float32)
    for first in range(0, len(descriptors), ROWS_AT_ONCE):
        part = np.asarray(descriptors[first : first + ROWS_AT_ONCE], dtype=np.float32)
        if not np.isfinite(part).all():
            raise ValueError("The database holds descriptors that are not finite; describe its photos again.")
        turned[first : first + ROWS_AT_ONCE] = part @ rotation
    return turned


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError:
        raise MissingExtra("Approximate search", "large") from None
