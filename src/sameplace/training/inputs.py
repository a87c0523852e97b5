"""What the learning part of a network takes, image by image: pixels, altered or not, through the frozen layers."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from sameplace.errors import ImageError
from sameplace.images import Problem, View, read_image
from sameplace.shapes import Array, Float, Int64, UInt8
from sameplace.threads import usable_cores
from sameplace.training.augmentation import NONE, Augmentation, augmented
from sameplace.training.learner import Learner, Precision, arithmetic

Source: TypeAlias = str | Path | View
LARGER = 1.25
"""An image that is altered is decoded so many times as high and wide, so that crops of it stay sharp."""


@runtime_checkable
class Inputs(Protocol):
    """Gives what a `Learner` takes, for rows of a list of images, on the learner's device."""

    def __len__(self) -> int:
        """Images."""
        ...

    def load(self, rows: Int64[Array, " batch"], seeds: Int64[Array, " batch"] | None = None) -> Float[Tensor, "batch ..."]:
        """The images as they are, or an altered variant of each: the same row and seed give the same variant.

        An image whose seed is negative stays as it is.

        Raises ImageError for an image that cannot be read.
        """
        ...

    def unreadable(self) -> Mapping[int, Problem]:
        """The rows that cannot be loaded, and why; it may take as long as reading every image once."""
        ...


class Pixels:
    """Inputs from image files, decoded in threads each time; decoded ones are kept in memory as long as `keep_bytes` suffice.

    Without an augmentation an altered variant is the image as it is.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        learner: Learner,
        *,
        augmentation: Augmentation = NONE,
        precision: Precision = "float32",
        workers: int | None = None,
        keep_bytes: int = 0,
    ) -> None:
        self.sources = tuple(sources)
        self.learner = learner
        self.augmentation = augmentation
        self.precision: Precision = precision
        self._pool = ThreadPoolExecutor(workers or usable_cores(), thread_name_prefix="decode")
        self._kept: dict[tuple[int, tuple[int, int]], UInt8[Array, "height width 3"]] = {}
        self._room = keep_bytes
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.sources)

    def load(self, rows: Int64[Array, " batch"], seeds: Int64[Array, " batch"] | None = None) -> Float[Tensor, "batch ..."]:
        """What the frozen layers make of the images, or of an altered variant of each."""
        return self.through(self.pixels(rows, seeds))

    def pixels(
        self, rows: Int64[Array, " batch"], seeds: Int64[Array, " batch"] | None = None
    ) -> UInt8[Array, "batch height width 3"]:
        """The images, or altered variants of them, at the learner's size."""
        altered = [None] * len(rows) if seeds is None else seeds.tolist()
        return np.stack(list(self._pool.map(self._image, rows.tolist(), altered)))

    def through(self, images: UInt8[Array, "batch height width 3"]) -> Float[Tensor, "batch ..."]:
        """What the frozen layers make of images."""
        batch = torch.from_numpy(images).to(self.learner.device).permute(0, 3, 1, 2)
        with arithmetic(self.precision, self.learner.device):
            return self.learner.below(batch)

    def unreadable(self) -> Mapping[int, Problem]:
        """The rows whose files cannot be read, and why; reads every one."""
        tried = self._pool.map(self._problem, range(len(self)))
        return {row: problem for row, problem in enumerate(tried) if problem is not None}

    def variants(self, rows: Sequence[int], seeds: Sequence[int]) -> Iterator[UInt8[Array, "variants height width 3"] | ImageError]:
        """For each of these rows the image as it is and a variant for each seed; or why it cannot be read."""
        return self._pool.map(self._variants, rows, repeat(seeds))

    def _variants(self, row: int, seeds: Sequence[int]) -> UInt8[Array, "variants height width 3"] | ImageError:
        try:
            larger = self._decoded(row, self._larger) if seeds else None
            altered = [self._altered(larger, row, seed) for seed in seeds if larger is not None]
            return np.stack([self._image(row, None), *altered])
        except ImageError as error:
            return error

    def _image(self, row: int, seed: int | None) -> UInt8[Array, "height width 3"]:
        if seed is None or seed < 0 or self.augmentation == NONE:
            return self._decoded(row, self.learner.size)
        return self._altered(self._decoded(row, self._larger), row, seed)

    def _altered(self, larger: UInt8[Array, "_height _width 3"], row: int, seed: int) -> UInt8[Array, "height width 3"]:
        return augmented(larger, self.augmentation, self.learner.size, np.random.default_rng([seed, row]))

    @property
    def _larger(self) -> tuple[int, int]:
        height, width = self.learner.size
        return round(LARGER * height), round(LARGER * width)

    def _decoded(self, row: int, size: tuple[int, int]) -> UInt8[Array, "height width 3"]:
        kept = self._kept.get((row, size))
        if kept is not None:
            return kept
        image = read_image(self.sources[row], size)
        with self._lock:
            # What came first stays: an epoch goes through all images, so that the least recently used would be wanted next.
            if image.nbytes <= self._room and (row, size) not in self._kept:
                self._kept[row, size] = image
                self._room -= image.nbytes
        return image

    def _problem(self, row: int) -> Problem | None:
        try:
            self._decoded(row, self.learner.size)
        except ImageError as error:
            return Problem(path=str(self.sources[row]), reason=str(error))
        return None


def ahead(inputs: Inputs, wanted: Iterable[tuple[Int64[Array, " _batch"], Int64[Array, " _batch"] | None]]) -> Iterator[Tensor]:
    """Load batches of rows and seeds in order, the next one while the last is being used."""
    with helper("inputs") as loader:
        waiting = None
        for rows, seeds in wanted:
            following = loader.submit(inputs.load, rows, seeds)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


@contextmanager
def helper(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread that works ahead for a generator; who leaves the generator half way does not wait for it.

    A generator that nobody holds any more is ended by Python's collector of garbage in whichever thread that happens to run: it may
    be the very thread that the helper waits for, or hold a lock that the helper needs, and waiting for the helper would never end.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield thread
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
