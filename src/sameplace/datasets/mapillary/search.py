"""The images of an area: its boxes are asked for from the middle outwards, and divided where they hold more than is told."""

from bisect import insort
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Literal

from sameplace.datasets.mapillary.area import Area, Box
from sameplace.datasets.mapillary.client import MOST, Client, Crowded
from sameplace.datasets.mapillary.image import Size, StreetImage, understood
from sameplace.datasets.mapillary.journal import Finding, Journal
from sameplace.datasets.mapillary.patience import UnreachableError
from sameplace.errors import DatasetError
from sameplace.geo import distance
from sameplace.images import Problem

SIDE = 0.005
"""Degrees of the boxes to begin with; Mapillary allows less than 0.01, and larger boxes were seen to be answered in part."""
SMALLEST = 0.0001
"""Degrees, some 11 m, below which a box is not divided."""
FULL = MOST // 2
"""Images from which on an answer is taken for a part: it was seen to be thinned out before the maximum."""
MOST_BOXES = 100_000
HOPELESS = 8
"""Boxes in a row that fail before Mapillary itself is taken to be out of order."""
Panoramas = Literal["no", "yes", "only"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which images are wanted."""

    area: Area
    start: date | None = None
    """The first day, in UTC."""
    until: date | None = None
    """The last day, in UTC."""
    panoramas: Panoramas = "no"
    limit: int | None = None
    """At most so many images: those nearest to the middle of the area."""
    size: Size = "2048"
    """Pixels of the width, or the image as it was uploaded."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise DatasetError(f"A limit of at least one image was wanted, got {self.limit}; leave it out to fetch all.")
        if self.start is not None and self.until is not None and self.start > self.until:
            raise DatasetError(f"The first day, {self.start}, comes after the last one, {self.until}; swap them.")
        if (boxes := self.area.boxes_of(SIDE)) > MOST_BOXES:
            raise DatasetError(
                f"The area {self.area} would take {boxes:,} searches, of which {MOST_BOXES:,} are the most; "
                f"fetch smaller parts of it, and check that its west is west of its east."
            )

    def about(self) -> dict[str, Any]:
        """What its findings depend on, and the size in which they are fetched."""
        area = self.area
        return {
            "area": [area.south, area.west, area.north, area.east, area.radius],
            "filters": dict(self.filters()),
            "side": SIDE,
            "size": self.size,
        }

    def filters(self) -> Mapping[str, str]:
        """What Mapillary is asked to leave out."""
        filters = {}
        if self.start is not None:
            filters["start_captured_at"] = f"{self.start.isoformat()}T00:00:00Z"
        if self.until is not None:
            filters["end_captured_at"] = f"{(self.until + timedelta(days=1)).isoformat()}T00:00:00Z"
        if self.panoramas != "yes":
            filters["is_pano"] = str(self.panoramas == "only").lower()
        return filters

    def accepts(self, image: StreetImage) -> bool:
        """Whether an image is wanted, whatever the server made of the filters."""
        if self.panoramas != "yes" and image.is_panorama != (self.panoramas == "only"):
            return False
        if self.start is not None and (image.time is None or image.time < _midnight(self.start)):
            return False
        if self.until is not None and (image.time is None or image.time >= _midnight(self.until + timedelta(days=1))):
            return False
        return self.area.contains(image.position)


@dataclass(frozen=True)
class Found:
    """The images of an area."""

    images: tuple[StreetImage, ...]
    """Those nearest to its middle first."""
    problems: tuple[Problem, ...]
    """Places that hold more than could be found."""


class Search:
    """One search; it is over when `run` returns, and goes on from its journal otherwise."""

    def __init__(self, client: Client, query: Query, journal: Journal, connections: int) -> None:
        self._client, self._query, self._journal, self._connections = client, query, journal, connections
        boxes = query.area.cut(SIDE)
        self._open = list(zip(query.area.distances(boxes), boxes, strict=True))
        heapify(self._open)
        self._images: dict[str, tuple[float, StreetImage]] = {}
        self._metres: list[float] = []
        self._crowded: list[Box] = []
        self._failed_in_a_row = 0

    def run(self, progress: Callable[[int, int], None]) -> Found:
        """Ask for all boxes, or for as many as the limit takes; `progress` is told how many are done, of how many so far."""
        done, asked = 0, dict[Future[Finding], Box]()
        with ThreadPoolExecutor(self._connections) as threads:
            try:
                while asked or not self._is_over():
                    while len(asked) < self._connections and not self._is_over():
                        box = heappop(self._open)[1]
                        asked[threads.submit(self._finding, box)] = box
                    for future in wait(asked, return_when=FIRST_COMPLETED).done:
                        self._take(asked.pop(future), future.result())
                        done += 1
                    progress(done, done + len(asked) + len(self._open))
            except BaseException:
                self._client.stop()
                raise
        ordered = sorted(self._images.values(), key=lambda pair: (pair[0], int(pair[1].id)))
        images = tuple(image for _, image in ordered)[: self._query.limit]
        return Found(images, tuple(_crowd(box) for box in self._crowded))

    def _is_over(self) -> bool:
        """Whether no box is left that could hold an image which is nearer than those found."""
        limit = self._query.limit
        if not self._open:
            return True
        return limit is not None and len(self._metres) >= limit and self._metres[limit - 1] <= self._open[0][0]

    def _finding(self, box: Box) -> Finding:
        if (known := self._journal.known(box)) is not None:
            return known
        divisible = box.side > SMALLEST
        try:
            said, whole = self._client.images(box, self._query.filters(), attempts=3 if divisible else None)
        except Crowded:
            return Finding([], divided=divisible, crowded=not divisible)
        except UnreachableError:
            # Some crowded boxes are never answered, where their quarters are.
            self._failed_in_a_row += 1
            if not divisible or self._failed_in_a_row >= HOPELESS:
                raise
            return Finding([], divided=True)
        self._failed_in_a_row = 0
        full = not whole and len(said) >= FULL
        return Finding(said, divided=full and divisible, crowded=not divisible and not whole and len(said) >= MOST)

    def _take(self, box: Box, finding: Finding) -> None:
        if self._journal.known(box) is None:
            self._journal.record(box, finding)
        for said in finding.images:
            image = understood(said)
            if image is not None and image.id not in self._images and self._query.accepts(image):
                metres = distance(self._query.area.centre, image.position)
                self._images[image.id] = (metres, image)
                insort(self._metres, metres)
        if finding.crowded:
            self._crowded.append(box)
        if finding.divided:
            quarters = box.quarters()
            for metres, quarter in zip(self._query.area.distances(quarters), quarters, strict=True):
                if self._query.area.radius is None or metres <= self._query.area.radius:
                    heappush(self._open, (metres, quarter))


def _crowd(box: Box) -> Problem:
    at = f"{(box.south + box.north) / 2:.5f}, {(box.west + box.east) / 2:.5f}"
    return Problem(
        path=at, reason="More images were taken within these 11 m than Mapillary's search tells; ask by --from and --until."
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
