"""Photos compared by their local features, each of which is found once for as long as memory suffices."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final, TypeAlias

from sameplace.images import View, read_image
from sameplace.images.header import upright_size
from sameplace.verification.features import Features, LocalFeatures, RootSift
from sameplace.verification.geometry import Either, Ransac
from sameplace.verification.matching import NEAREST, RANSAC, Matched, Matcher, match

Source: TypeAlias = str | Path | View
Stamped: TypeAlias = tuple[Source, int, int]
"""A photo or a view of one state of its file: when that was written last, in ns, and its bytes."""
MEMORY: Final = 500_000_000
ROOT_SIFT: Final = RootSift()


class Verifier:
    """Tells whether two photos show the same thing; any number of threads may ask it.

    `least` pairs must agree: of two pictures of different places six do now and then, by chance. Features are kept within
    `memory_bytes`, those that were asked for last, and no longer than their file is as it was.
    """

    def __init__(
        self,
        features: LocalFeatures = ROOT_SIFT,
        *,
        matcher: Matcher = NEAREST,
        ransac: Ransac | Either = RANSAC,
        least: int = 8,
        memory_bytes: int = MEMORY,
    ) -> None:
        self.local_features = features
        self.matcher = matcher
        self.ransac = ransac
        self.least = least
        self.memory_bytes = memory_bytes
        self._kept: OrderedDict[Stamped, Features] = OrderedDict()
        self._turns: dict[Stamped, threading.Lock] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """Equal where the same pairs of the same photos agree, whatever is the least number of them."""
        return "; ".join([self.local_features.identity, self.matcher.identity, self.ransac.identity])

    def features(self, source: Source | bytes) -> Features:
        """The local features of a photo or a view, made smaller where it is large; ImageError where it cannot be read.

        Those of a photo that is no file are not kept.
        """
        stamped = None if isinstance(source, bytes) else _stamped(source)
        if stamped is None:
            return self._extracted(source)
        with self._lock:
            turn = self._turns.setdefault(stamped, threading.Lock())
        try:
            with turn:  # who asks for what another thread is just looking for waits for it
                known = self._known(stamped)
                return self._kept_now(stamped, self._extracted(source)) if known is None else known
        finally:
            with self._lock:
                self._turns.pop(stamped, None)

    def _known(self, stamped: Stamped) -> Features | None:
        with self._lock:
            if stamped in self._kept:
                self._kept.move_to_end(stamped)
            return self._kept.get(stamped)

    def _extracted(self, source: Source | bytes) -> Features:
        height, width = upright_size(source)
        scale = min(1.0, self.local_features.longest / max(height, width))
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        return self.local_features.extract(read_image(source, size))

    def _kept_now(self, stamped: Stamped, found: Features) -> Features:
        """The features, kept; those that were asked for longest ago have to go for them."""
        with self._lock:
            if stamped not in self._kept:
                self._kept[stamped] = found
                self._bytes += found.nbytes
            while self._bytes > self.memory_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found

    def match(self, first: Source, second: Source) -> Matched:
        """What two photos have in common."""
        return self.compare(self.features(first), self.features(second))

    def compare(self, first: Features, second: Features) -> Matched:
        """What two photos have in common, by features that it found in them."""
        return match(first, second, matcher=self.matcher, ransac=self.ransac)

    def agree(self, first: Source, second: Source) -> bool:
        """Whether enough pairs agree that both show the same thing."""
        return self.match(first, second).count >= self.least


def _stamped(source: Source) -> Stamped | None:
    """The state of the file that is to be read; None where there is none, which reading it tells better."""
    try:
        state = Path(source.path if isinstance(source, View) else source).stat()
    except (OSError, ValueError):  # ValueError: no file has such a name
        return None
    return source, state.st_mtime_ns, state.st_size
