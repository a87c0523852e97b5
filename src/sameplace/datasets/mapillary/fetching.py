"""From an area to a folder of images with their positions: search, plan, fetch what is missing."""

import errno
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from sameplace.datasets.mapillary.album import Album, opened
from sameplace.datasets.mapillary.client import AT_ONCE, Client, Gone
from sameplace.datasets.mapillary.image import StreetImage, understood
from sameplace.datasets.mapillary.journal import Journal
from sameplace.datasets.mapillary.patience import UnreachableError
from sameplace.datasets.mapillary.search import Found, Query, Search
from sameplace.errors import DatasetError, ImageError
from sameplace.images import Problem, read_image

SAMPLE = 8
"""Pictures that are fetched before the plan, to measure how large they are."""
CONNECTIONS, MOST_CONNECTIONS = 4, 8
SAVE_EVERY = 500
HOPELESS = 20
"""Pictures in a row that fail before it is taken to be no fault of theirs."""
READINGS = 3
"""How often a broken picture is fetched again."""

Show = Callable[..., None]
Progress = Callable[[str, str], AbstractContextManager[Show]]
"""Given what is being done and what is counted, gives a function that is told how many are done, of how many, and safe."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is about to be fetched."""

    found: int
    here: int
    missing: int
    bytes_each: int | None
    """Of a picture, as measured on the first ones; None where none could be had."""
    free: int
    """Bytes on the disk."""

    @property
    def bytes(self) -> int:
        """What the missing pictures will take."""
        return self.missing * (self.bytes_each or 0)

    def __str__(self) -> str:
        said = f"{self.found:,} images found, {self.here:,} of them here, {self.missing:,} to fetch"
        if not self.missing:
            return f"{said}."
        disk = f"about {_told(self.bytes)} ({_told(self.bytes_each)} each)" if self.bytes_each else "of unknown size"
        return f"{said}, {disk}; {_told(self.free)} are free."


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What was fetched, and what the folder now holds."""

    found: int
    """Images that were wanted and exist."""
    here: int
    """Those that were in the folder before."""
    fetched: int
    failed: tuple[Problem, ...]
    images: int
    """All of Mapillary's images in the folder."""
    bytes: int
    contributors: int
    seconds: float


@contextmanager
def _silent(_doing: str, _unit: str) -> Iterator[Show]:
    yield lambda *_: None


def fetch(
    client: Client,
    query: Query,
    to: str | Path,
    *,
    connections: int = CONNECTIONS,
    announce: Callable[[Plan], None] | None = None,
    progress: Progress = _silent,
) -> Fetched:
    """Fetch the images that a query asks for into a folder, with positions.csv and ATTRIBUTION.md; run again, it fetches the rest.

    DatasetError where there are none, where the disk is too small, and where Mapillary does not answer or refuses the token;
    whatever was fetched before stays.
    """
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise DatasetError(
            f"Between 1 and {MOST_CONNECTIONS} connections are polite, got {connections}; leave it at {CONNECTIONS}."
        )
    started, folder = perf_counter(), Path(to)
    with _telling(folder), opened(folder, query.size) as album:
        journal = Journal(album.journal, query.about())
        try:
            for said in journal.images():
                if (image := understood(said)) is not None:
                    album.adopt(image, journal.recorded.get("size", query.size))
            album.check()
            journal.begin()
            with progress("search", "boxes") as show:
                found = Search(client, query, journal, connections).run(show)
            if not found.images:
                journal.remove()
                raise DatasetError(
                    f"Mapillary has no such images in {query.area}; take a larger area, other dates, or look at "
                    f"https://www.mapillary.com/app to see where there are any."
                )
            for image in found.images:
                album.adopt(image, query.size)
            here = sum(image.id in album.present for image in found.images)
            failed = _Fetching(client, query, album, connections).run(found, announce, progress)
            album.save()
            journal.remove()
        finally:
            journal.close()
            if album.unsaved:
                with suppress(OSError):  # on a full disk the pictures stay, and the next run gives them their rows
                    album.save()
        return Fetched(
            found=len(found.images),
            here=here,
            fetched=len(found.images) - here - len(failed),
            failed=(*failed, *found.problems),
            images=len(album.present),
            bytes=sum(album.present.values()),
            contributors=album.contributors(),
            seconds=perf_counter() - started,
        )


class _Fetching:
    """The pictures of one run, in batches whose addresses are asked for just before."""

    def __init__(self, client: Client, query: Query, album: Album, connections: int) -> None:
        self._client, self._query, self._album, self._connections = client, query, album, connections
        self._failed: list[Problem] = []
        self._failed_in_a_row = 0
        self._done = 0
        self._lock = Lock()

    def run(self, found: Found, announce: Callable[[Plan], None] | None, progress: Progress) -> tuple[Problem, ...]:
        """Fetch what is missing; returns what could not be had."""
        missing = [image for image in found.images if image.id not in self._album.present]
        self._batch(missing[:SAMPLE], lambda *_: None)
        plan = self._plan(found, missing)
        if announce is not None:
            announce(plan)
        if plan.bytes > plan.free:
            raise DatasetError(
                f"{plan.missing:,} images of about {_told(plan.bytes)} do not fit on the disk of {self._album.folder}, where "
                f"{_told(plan.free)} are free; take another folder, --limit, or a smaller --size."
            )
        if missing[SAMPLE:]:
            with progress("fetch", "images") as show:
                self._all(missing[SAMPLE:], len(missing), show)
        return tuple(self._failed)

    def _plan(self, found: Found, missing: Sequence[StreetImage]) -> Plan:
        sizes = list(self._album.present.values())
        return Plan(
            found=len(found.images),
            here=len(found.images) - len(missing),
            missing=len(missing),
            bytes_each=sum(sizes) // len(sizes) if sizes else None,
            free=shutil.disk_usage(self._album.folder).free,
        )

    def _all(self, missing: Sequence[StreetImage], total: int, show: Show) -> None:
        step = min(AT_ONCE, -(-len(missing) // self._connections))
        batches = [missing[start : start + step] for start in range(0, len(missing), step)]

        def shown() -> None:
            with self._lock:
                show(self._done, total, len(self._album.present))

        with ThreadPoolExecutor(self._connections) as threads:
            try:
                for future in as_completed([threads.submit(self._batch, batch, shown) for batch in batches]):
                    future.result()
                    if self._album.unsaved >= max(SAVE_EVERY, len(self._album.present) // 10):
                        self._album.save()
            except BaseException:
                self._client.stop()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _batch(self, images: Sequence[StreetImage], shown: Callable[[], None]) -> None:
        addresses = self._client.addresses([image.id for image in images], self._query.size) if images else {}
        for image in images:
            reason = self._one(image, addresses.get(image.id))
            with self._lock:
                self._done += 1
                self._failed_in_a_row = self._failed_in_a_row + 1 if reason else 0
                hopeless = self._failed_in_a_row >= HOPELESS
                if reason:
                    self._failed.append(Problem(path=image.link, reason=reason))
            if hopeless:
                raise DatasetError(
                    f"{HOPELESS} pictures in a row could not be fetched ({reason}); run the same command again later."
                )
            shown()

    def _one(self, image: StreetImage, address: str | None) -> str:
        """Fetch a picture; returns why it could not be had, or nothing."""
        reason = "Mapillary gives no picture for it any more; it may have been removed."
        renewed = False
        for _ in range(READINGS):
            if address is None:
                return reason
            try:
                picture = self._client.picture(address)
                read_image(picture, (8, 8))  # to its last byte, so that whatever lies in the folder can be read
                self._album.add(image, picture)
            except Gone:
                if renewed:
                    return reason
                address, renewed = self._client.addresses([image.id], self._query.size).get(image.id), True
            except (ImageError, UnreachableError) as error:
                reason = str(error)
                if isinstance(error, UnreachableError):
                    return reason
            else:
                return ""
        return reason


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Make one sentence of what the disk refuses."""
    try:
        yield
    except OSError as error:
        safe = "every picture that is there is whole"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DatasetError(f"The disk of {folder} is full; {safe}: make room and run the same command again.") from error
        why: Any = error.strerror or error
        raise DatasetError(
            f"{folder} cannot be written ({why}); {safe}: ask for the right to write, or name another folder."
        ) from error


def _told(size: int) -> str:
    """Bytes as people say them.

    >>> _told(512_300), _told(12_400_000_000)
    ('0.5 MB', '12.4 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
