"""An edition: one generation of an atlas, as clients see it: photos by opaque names, in pages and by squares of the map."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sameplace.atlas import Atlas
from sameplace.atlas.manifest import MANIFEST
from sameplace.atlas.segment import Entry, Segment
from sameplace.atlas.snapshot import ROWS_AT_ONCE, Snapshot
from sameplace.describer import Describer
from sameplace.errors import AtlasError
from sameplace.geo import Position
from sameplace.service.squares import Squares, world
from sameplace.shapes import Array, Int64

SECONDS_BETWEEN_LOOKS = 0.5
Keys = dict[str, tuple[Int64[Array, " rows"], Int64[Array, " rows"]]]
"""For each segment the keys of its photos' paths and of their names; segments never change."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo of the atlas; clients see everything but the path."""

    name: str
    """Opaque: it says nothing about the path, stays as long as photo and path do, and cannot be guessed without the photo."""
    path: str
    position: Position
    heading_deg: float | None
    time: str | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Edition:
    """One generation."""

    snapshot: Snapshot
    atlas: Atlas
    keys: Keys
    """Shared by all editions, so that a segment is looked through once."""

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def generation(self) -> int:
        """How often the atlas was changed before this edition."""
        return self.snapshot.manifest.generation

    @cached_property
    def rows(self) -> Int64[Array, " rows"]:
        """The rows of its photos."""
        return self.snapshot.rows()

    @cached_property
    def squares(self) -> Squares:
        """Its photos on the map, numbered as `rows` are."""
        return Squares(points=world(self.snapshot.positions(self.rows)))

    def photos(self, numbers: Int64[Array, " photos"]) -> list[Photo]:
        """Some of the photos, by their numbers in `rows`."""
        rows = self.rows[numbers]
        positions = self.snapshot.positions(rows)
        return [self._photo(self.snapshot.entry_at(row), positions[place]) for place, row in enumerate(rows.tolist())]

    def named(self, name: str) -> Photo | None:
        """The photo of this name."""
        return next((photo for photo in self._with(_key(name), which=1) if photo.name == name), None)

    def at(self, path: str) -> Photo | None:
        """The photo of this path."""
        return next((photo for photo in self._with(_key(_digest(path)), which=0) if photo.path == path), None)

    def _with(self, key: int, which: int) -> Iterable[Photo]:
        start = 0
        for segment in self.snapshot.segments:
            for inside in np.flatnonzero(self._keys(segment)[which] == key).tolist():
                row = start + inside
                if self.snapshot.present is None or self.snapshot.present[row]:
                    position = self.snapshot.positions(np.array([row], np.int64))[0]
                    yield self._photo(segment.entries(inside, inside + 1)[0], position)
            start += segment.entry.rows

    def _keys(self, segment: Segment) -> tuple[Int64[Array, " rows"], Int64[Array, " rows"]]:
        known = self.keys.get(segment.entry.name)
        if known is None or len(known[0]) != segment.entry.rows:
            paths, names = [], []
            for first in range(0, segment.entry.rows, ROWS_AT_ONCE):
                for entry in segment.entries(first, min(first + ROWS_AT_ONCE, segment.entry.rows)):
                    paths.append(_key(_digest(entry.path)))
                    names.append(_key(_name(entry)))
            known = self.keys[segment.entry.name] = np.array(paths, np.int64), np.array(names, np.int64)
        return known

    def _photo(self, entry: Entry, position: Position) -> Photo:
        return Photo(name=_name(entry), path=entry.path, position=position, heading_deg=entry.heading_deg, time=entry.time)


class Editions:
    """The newest edition, whoever wrote it."""

    def __init__(self, path: Path, describer: Describer) -> None:
        self.path = path
        self.describer = describer
        self._lock = threading.Lock()
        self._keys: Keys = {}
        self._seen = self._look()
        self._edition = self._load()
        self._looked = time.monotonic()

    def newest(self, *, now: bool = False) -> Edition:
        """The edition to answer from; looks for a newer one now and then, or now. One that cannot be read is passed over."""
        if not now and time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return self._edition
        with self._lock:
            try:
                if (seen := self._look()) != self._seen:
                    self._edition, self._seen = self._load(), seen
            except (AtlasError, OSError) as error:
                logging.getLogger(__name__).warning("The atlas of before is served on: %s", error)
            self._looked = time.monotonic()
            return self._edition

    def told(self, error: AtlasError) -> str:
        """An error's sentence, with the folder of the atlas by its name alone."""
        return str(error).replace(str(self.path), self.path.name)

    def _look(self) -> tuple[int, int]:
        status = os.stat(self.path / MANIFEST)  # noqa: PTH116
        return status.st_mtime_ns, status.st_ino

    def _load(self) -> Edition:
        snapshot = Snapshot.load(self.path)
        there = {segment.name for segment in snapshot.manifest.segments}
        for gone in self._keys.keys() - there:
            del self._keys[gone]
        return Edition(snapshot=snapshot, atlas=Atlas(snapshot, self.describer), keys=self._keys)


def _digest(path: str, content: str = "") -> str:
    return hashlib.blake2b(os.fsencode(path) + b"\0" + content.encode("ascii"), digest_size=16).hexdigest()


def _name(entry: Entry) -> str:
    return _digest(entry.path, entry.content)


def _key(digest: str) -> int:
    return int(digest[:15], 16)  # 60 bits, a positive int64
