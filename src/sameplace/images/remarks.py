"""Silence while Pillow reads: it remarks on odd metadata and large images by warnings, which say nothing that a user could cure."""

import re
import threading
import warnings
from types import TracebackType
from typing import Final, cast


class Silence:
    """Keeps Pillow's warnings from the user while any thread is inside, and leaves no filter behind.

    warnings.catch_warnings would not do: it restores what it found, which may be what another thread had set for a moment.
    """

    ENTRY: Final = ("ignore", None, Warning, re.compile(r"PIL\."), 0)  # as warnings.filters holds it

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self.ENTRY not in warnings.filters:
                warnings.filterwarnings("ignore", module=self.ENTRY[3].pattern)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self.ENTRY in warnings.filters:
                cast(list[object], warnings.filters).remove(self.ENTRY)


SILENCE = Silence()
"""One for all threads, since Python's warning filters are one for all threads."""
