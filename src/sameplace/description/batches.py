"""Photos go through a describer batch by batch: threads decode ahead of the network, and the network works ahead of who asks."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sameplace.describer import Describer
from sameplace.errors import ImageError
from sameplace.images import Problem, View, read_image
from sameplace.shapes import Array, Float32, Int64
from sameplace.threads import stay_on_a_node, usable_cores


@dataclass(frozen=True, kw_only=True, eq=False)
class Described:
    """The descriptors of a batch of photos, in order."""

    rows: Int64[Array, " batch"]
    """Which of the sources they are."""
    descriptors: Float32[Array, "batch dim"]
    failures: tuple[Problem, ...]
    """Photos of this batch that could not be described."""


def describe(
    sources: Sequence[str | Path | bytes | View],
    describer: Describer,
    *,
    batch: int = 16,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Described]:
    """Describe photos, or views of photos, in order; one that cannot be read becomes a failure and costs nothing else.

    `workers` threads decode (Pillow lets them run side by side; as many as there are cores), at most two batches ahead of the
    network, which is one batch ahead of whoever takes the descriptors: what they do with them costs no time. `progress` is called
    after each batch with the photos done and their total.
    """
    if batch < 1:
        raise ValueError(f"A batch of at least one photo was wanted, got batch={batch}; use 1 or more.")
    turns = count()  # a decoder's buffers stay on its memory node; OpenVINO sees to the network's own
    decoders = ThreadPoolExecutor(workers or usable_cores(), "decode", initializer=lambda: stay_on_a_node(next(turns)))
    network = ThreadPoolExecutor(1, thread_name_prefix="describe")
    left = Left()
    try:
        images = _decoded_ahead(decoders, sources, describer.size, 2 * batch, left)

        def work(first: int) -> Described:
            names = [called(source, row) for row, source in enumerate(sources[first : first + batch], first)]
            return _described(names, [next(images) for _ in names], first, describer)

        running: deque[Future[Described]] = deque()
        for first in range(0, len(sources), batch):
            running.append(network.submit(work, first))
            if len(running) > 1:
                yield running.popleft().result()
                if progress is not None:
                    progress(first, len(sources))
        for last in running:
            yield last.result()
            if progress is not None:
                progress(len(sources), len(sources))
    finally:
        # Python's collector of garbage may get here in any thread: in one that the network waits for, so that nothing is waited
        # for; or in the network's own while it hands out a photo and holds the decoders' lock, so that they are only told.
        left.now = True
        network.shutdown(wait=False, cancel_futures=True)


@dataclass
class Left:
    """Whether nobody wants more photos; without a lock."""

    now: bool = False


def _decoded_ahead(
    pool: ThreadPoolExecutor, sources: Sequence[str | Path | bytes | View], size: tuple[int, int], ahead: int, left: Left
) -> Iterator[NDArray[np.uint8] | ImageError]:
    """The photos in order, while the pool already works on the next ones; the pool's threads end with it."""
    waiting: deque[Future[NDArray[np.uint8] | ImageError]] = deque()
    for source in sources:
        if left.now:
            return
        waiting.append(pool.submit(_decoded, source, size, left))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decoded(source: str | Path | bytes | View, size: tuple[int, int], left: Left) -> NDArray[np.uint8] | ImageError:
    if left.now:
        return ImageError("Nobody wants it any more.")
    try:
        return read_image(source, size)
    except ImageError as error:
        return error


def _described(
    names: Sequence[str], images: Sequence[NDArray[np.uint8] | ImageError], first: int, describer: Describer
) -> Described:
    """One batch through the network, without what could not be read and without descriptors that cannot be compared."""
    failures = {row: str(image) for row, image in enumerate(images) if isinstance(image, ImageError)}
    rows = [row for row in range(len(images)) if row not in failures]
    descriptors = np.empty((0, describer.dim), np.float32)
    if rows:
        descriptors = describer.describe(np.stack([image for image in images if not isinstance(image, ImageError)]))
        lengths = np.linalg.norm(descriptors, axis=1)
        comparable = np.abs(lengths - 1) < 0.01  # false for what is not a number, too
        for row, length in zip(np.array(rows)[~comparable].tolist(), lengths[~comparable].tolist(), strict=True):
            failures[row] = (
                f"{describer.name} gives it a descriptor of length {length:.3g}, not 1; leave it out, or use another model."
            )
        descriptors = descriptors[comparable]
    return Described(
        rows=np.array([first + row for row in rows if row not in failures], np.int64),
        descriptors=descriptors,
        failures=tuple(Problem(path=names[row], reason=failures[row]) for row in sorted(failures)),
    )


def called(source: str | Path | bytes | View, row: int) -> str:
    """What a source is called in a problem: its path, or its number."""
    return f"image {row}" if isinstance(source, bytes) else str(source)
