"""Additions and removals: one thread writes, and what waits is committed together; who hears of success may rely on it."""

import asyncio
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from sameplace.atlas import Atlas
from sameplace.errors import AtlasError, ImageError
from sameplace.images import ImageSet
from sameplace.service.edition import Edition, Editions, Photo
from sameplace.service.problems import busy
from sameplace.service.storage import PHOTO, Storage

AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Addition:
    """A photo to add, without its metadata, and the row that tells its position."""

    picture: bytes
    row: dict[str, str]
    done: Future[tuple[Photo, Edition]] = field(default_factory=Future)


@dataclass(frozen=True, kw_only=True, eq=False)
class Removal:
    """A photo to forget, by its opaque name."""

    name: str
    done: Future[Photo | None] = field(default_factory=Future)


class Changes:
    """The line of changes, and the thread that makes them."""

    def __init__(self, editions: Editions, storage: Storage, *, waiting: int) -> None:
        self._editions = editions
        self._storage = storage
        self._line: queue.Queue[Addition | Removal | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="changes", daemon=True)
        self._thread.start()

    async def add(self, picture: bytes, row: dict[str, str]) -> tuple[Photo, Edition]:
        """Add a photo; returns when that survives whatever happens. ImageError where it cannot be used."""
        addition = Addition(picture=picture, row=row)
        self._put(addition)
        # Shielded: a client that goes away must not leave a photo that is half added.
        return await asyncio.shield(asyncio.wrap_future(addition.done))

    async def remove(self, name: str) -> Photo | None:
        """Forget a photo, and its file where we stored it; None where there is none of this name."""
        removal = Removal(name=name)
        self._put(removal)
        return await asyncio.shield(asyncio.wrap_future(removal.done))

    def close(self) -> None:
        """Make the changes that wait, and stop."""
        self._line.put(None)
        self._thread.join()
        self._storage.close()

    def _put(self, change: Addition | Removal) -> None:
        try:
            self._line.put_nowait(change)
        except queue.Full:
            raise busy("Too many photos wait to be added or removed; send this one again in a few seconds.") from None

    def _work(self) -> None:
        going = True
        while going:
            taken = [self._line.get()]
            while len(taken) < AT_ONCE and isinstance(taken[-1], Addition):
                try:
                    taken.append(self._line.get_nowait())
                except queue.Empty:
                    break
            going = taken[-1] is not None
            if additions := [one for one in taken if isinstance(one, Addition)]:
                try:
                    self._add(additions)
                except BaseException as error:  # this thread must outlive whatever happens to one of them
                    for one in additions:
                        if not one.done.done():
                            one.done.set_exception(error)
            if isinstance(removal := taken[-1], Removal):
                self._remove(removal)

    def _add(self, additions: Sequence[Addition]) -> None:
        kept: list[Path] = []
        skipped: dict[str, str] = {}
        failure: BaseException | None = None
        try:
            for one in additions:
                kept.append(self._storage.keep(one.picture, one.row))
            atlas = Atlas.open(self._editions.path, self._editions.describer)
            skipped = {problem.path: problem.reason for problem in atlas.add(ImageSet.open(kept)).skipped}
        except BaseException as error:
            failure = self._unnamed(error)
        edition = self._editions.newest(now=True)
        for one, folder in zip_longest(additions, kept):
            # What the atlas holds was committed, even where something went wrong afterwards.
            photo = edition.at(str(folder / PHOTO)) if folder else None
            if photo is not None:
                one.done.set_result((photo, edition))
                continue
            if folder:
                self._storage.discard(folder)
            one.done.set_exception(failure or self._unusable(folder, skipped))

    def _remove(self, removal: Removal) -> None:
        try:
            photo = self._editions.newest(now=True).named(removal.name)
            if photo is not None:
                Atlas.open(self._editions.path, self._editions.describer).remove(photo.path)
                if self._storage.holds(photo.path):
                    self._storage.discard(Path(photo.path).parent)
                self._editions.newest(now=True)
            removal.done.set_result(photo)
        except BaseException as error:
            removal.done.set_exception(self._unnamed(error))

    def _unusable(self, folder: Path, skipped: Mapping[str, str]) -> ImageError:
        photo = str(folder / PHOTO)
        reason = skipped.get(photo, "the atlas has not taken it").replace(photo, "it").rstrip(".")
        return ImageError(f"This photo cannot be used: {reason}.")

    def _unnamed(self, error: BaseException) -> BaseException:
        """An error whose sentence tells no folder of this machine."""
        if not isinstance(error, AtlasError):
            return error
        return AtlasError(self._editions.told(error).replace(str(self._storage.folder), self._storage.folder.name))
