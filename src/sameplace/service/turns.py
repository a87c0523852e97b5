"""A describer that several threads may use, one at a time: two batches at once would only wait for the same cores."""

import threading

from sameplace.describer import Describer
from sameplace.shapes import Array, Float32, UInt8


class Turns:
    """The same describer, in turns."""

    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        self.turn = threading.Lock()
        self.name = describer.name
        self.identity = describer.identity
        self.dim = describer.dim
        self.size = describer.size
        self.runtime = describer.runtime
        self.precision = describer.precision

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors, once it is this caller's turn."""
        with self.turn:
            return self._describer.describe(images)
