"""The coverage of the atlas, worked out for the first who asks and kept for the others: it may take half a minute."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sameplace.atlas.coverage import Part
from sameplace.service.edition import Edition

KEPT_SECONDS = 600.0
"""For so long the coverage of an earlier generation will do; else every added photo would cost half a minute."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Covered:
    """The parts of one edition, weak ones first."""

    edition: Edition
    parts: tuple[Part, ...]
    made: float


class Weakness:
    """One process' knowledge of where its atlas is weak."""

    def __init__(self, newest: Callable[[], Edition]) -> None:
        self._newest = newest
        self._covered: Covered | None = None
        self._lock = threading.Lock()

    def covered(self) -> Covered:
        """The coverage; whoever asks while it is worked out waits for the same."""
        with self._lock:
            edition, known = self._newest(), self._covered
            if known is not None and (
                known.edition.generation == edition.generation or time.monotonic() - known.made < KEPT_SECONDS
            ):
                return known
            self._covered = Covered(edition=edition, parts=edition.atlas.coverage(), made=time.monotonic())
            return self._covered
