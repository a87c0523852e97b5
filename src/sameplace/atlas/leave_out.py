"""Locating photos of an atlas among its others, as if they came from somewhere else: what it can tell of itself without labels.

Each photo of a sample is located twice. As an *answerable* query: without itself and its burst, if another photo then still shows
the place. As an *impostor*: without everything near it, so that whatever is found is wrong.
"""

from dataclasses import dataclass

import numpy as np

from sameplace.atlas.calibration import Calibration
from sameplace.atlas.consensus import DEPTH, coded
from sameplace.atlas.impostors import sample
from sameplace.atlas.located import LOOKED, located
from sameplace.atlas.passes import ANSWERABLE_M, PHOTOS_AT_ONCE, Columns, Passes
from sameplace.atlas.snapshot import Snapshot
from sameplace.shapes import Array, Bool, Float32, Float64, Int64

SAMPLE = 1000
SMALLEST_SAMPLE = 200
PAIRS = 100_000_000
"""Photos compared with each other, about: larger atlases are asked fewer questions, down to the smallest sample."""
NEAR_DUPLICATE = 0.98
"""Descriptors more similar than this are those of copies."""
FEWEST_PLACES = 20
"""Examples from fewer places than this, squares of ANSWERABLE_M, say little of others, however many they are."""
PART_LEFT = 0.5
"""An impostor must find at least this part of the atlas left, or it says little of the whole."""
SPARE = 24
"""Tiles of the photo's own panorama that may be among the first matches, and are left out of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """Photos of an atlas that were located among its others."""

    photos: Int64[Array, " photos"]
    """Which they are, as places in `Columns`."""
    points: Float64[Array, "photos 3"]
    """Where they were located, in the metres of `Columns`."""
    errors: Float64[Array, " photos"]
    likeness: Float64[Array, " photos"]
    shares: Float64[Array, " photos"]
    best: Int64[Array, " photos"]
    """The most similar photo that was left, as a place in `Columns`."""

    def scores(self, scale: float) -> Float64[Array, " photos"]:
        """As those of `Located`."""
        scores: Float64[Array, " photos"] = self.likeness / scale + self.shares
        return scores

    def kept(self, which: Bool[Array, " photos"]) -> "Asked":
        """Some of them."""
        return Asked(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """The two experiments."""

    answerable: Asked
    impostors: Asked
    several_passes: bool | None
    centre: Float32[Array, " dim"]
    """The mean descriptor of the photos that asked, which stands for that of the atlas."""


def calibrate(snapshot: Snapshot) -> Calibration:
    """What an atlas tells of itself; the same for the same atlas."""
    found = leave_out(snapshot)
    answerable = found.answerable.kept(np.full(len(found.answerable.photos), _places(snapshot, found.answerable) >= FEWEST_PLACES))
    both = np.concatenate([answerable.likeness, found.impostors.likeness])
    scale = float(both.std()) if len(both) else 0.0
    scale = scale if scale > 0 else 1.0
    return Calibration(
        scale=scale,
        scores=answerable.scores(scale),
        errors=answerable.errors,
        impostors=np.sort(found.impostors.scores(scale)),
        several_passes=found.several_passes,
        centre=found.centre,
    )


def leave_out(snapshot: Snapshot, photos: int | None = None) -> LeftOut:
    """Locate a sample of the photos, of a size that keeps the work in bounds unless it is given."""
    columns = Columns.of(snapshot)
    size = min(max(PAIRS // max(len(columns.rows), 1), SMALLEST_SAMPLE), SAMPLE) if photos is None else photos
    asking = sample(np.arange(len(columns.rows)), size)
    passes = Passes(columns, asking)
    burst, place = _searched(snapshot, columns, asking, passes)
    centre = _centre(snapshot, columns, asking)
    answerable = _asked(snapshot, columns, asking, burst, centre)
    impostors = _asked(snapshot, columns, asking, place, centre)
    enough = max(PART_LEFT * len(columns.rows), DEPTH + 1)
    return LeftOut(
        answerable=answerable.kept(passes.answerable & (answerable.best >= 0)),
        impostors=impostors.kept((place.left >= enough) & (impostors.best >= 0)),
        several_passes=passes.several,
        centre=centre,
    )


@dataclass(kw_only=True, eq=False)
class Lists:
    """The most similar photos that were left for each that asks, best first."""

    similarities: Float32[Array, "photos found"]
    places: Int64[Array, "photos found"]
    """As places in `Columns`; -1 where nothing was left."""
    left: Int64[Array, " photos"]
    """How many photos were left to find."""

    @classmethod
    def empty(cls, photos: int) -> "Lists":
        """Nothing found yet."""
        found = LOOKED + 1 + SPARE
        return cls(
            similarities=np.full((photos, found), -np.inf, np.float32),
            places=np.full((photos, found), -1, np.int64),
            left=np.zeros(photos, np.int64),
        )

    def keep(self, similarities: Float32[Array, "photos chunk"], first: int) -> None:
        """Take in a chunk of candidates, -inf where they are left out."""
        found = self.places.shape[1]
        self.left += np.isfinite(similarities).sum(axis=1)
        numbers = np.broadcast_to(np.arange(first, first + similarities.shape[1]), similarities.shape)
        if similarities.shape[1] > 4 * found:
            best = np.sort(np.argpartition(-similarities, found, axis=1)[:, :found], axis=1)
            similarities, numbers = np.take_along_axis(similarities, best, 1), np.take_along_axis(numbers, best, 1)
        every = np.hstack([self.similarities, similarities])
        best = np.argsort(-every, axis=1, kind="stable")[:, :found]
        self.similarities = np.take_along_axis(every, best, axis=1)
        self.places = np.take_along_axis(np.hstack([self.places, numbers]), best, axis=1)
        self.places[~np.isfinite(self.similarities)] = -1

    def drop(self, which: Bool[Array, "photos found"]) -> None:
        """Drop some matches, and all beyond those that are looked at."""
        self.similarities[which], self.places[which] = -np.inf, -1
        order = np.argsort(-self.similarities, axis=1, kind="stable")[:, : LOOKED + 1]
        self.similarities = np.take_along_axis(self.similarities, order, axis=1)
        self.places = np.take_along_axis(self.places, order, axis=1)


def _places(snapshot: Snapshot, asked: Asked) -> int:
    """At how many places photos were taken that were asked."""
    points = snapshot.positions(snapshot.rows()[asked.photos]).metric()
    return len(np.unique(np.floor(points / ANSWERABLE_M), axis=0))


def _searched(snapshot: Snapshot, columns: Columns, asking: Int64[Array, " photos"], passes: Passes) -> tuple[Lists, Lists]:
    """The matches of each photo without its burst, and without its place; every pair of descriptors is compared once."""
    queries = snapshot.descriptors(columns.rows[asking]).astype(np.float32)
    burst, place = Lists.empty(len(asking)), Lists.empty(len(asking))
    for where in columns.chunks():
        similarities = queries @ snapshot.descriptors(columns.rows[where]).astype(np.float32).T
        similarities[similarities > NEAR_DUPLICATE] = -np.inf
        elsewhere = similarities.copy()
        for first in range(0, len(asking), PHOTOS_AT_ONCE):
            part = slice(first, first + PHOTOS_AT_ONCE)
            similarities[part][passes.together(asking[part], where)] = -np.inf
            elsewhere[part][passes.place(asking[part], where)] = -np.inf
        burst.keep(similarities, where.start)
        place.keep(elsewhere, where.start)
    return burst, place


def _centre(snapshot: Snapshot, columns: Columns, asking: Int64[Array, " photos"]) -> Float32[Array, " dim"]:
    total = snapshot.descriptors(columns.rows[asking]).sum(axis=0, dtype=np.float32)
    centre: Float32[Array, " dim"] = total / np.float32(max(len(asking), 1))
    return centre


def _asked(
    snapshot: Snapshot, columns: Columns, asking: Int64[Array, " photos"], lists: Lists, centre: Float32[Array, " dim"]
) -> Asked:
    """Where each photo is located by the matches that were left to it; those with none are not among the answers."""
    mentioned = np.unique(np.concatenate([asking, lists.places[lists.places >= 0]]))
    names = coded([snapshot.entry_at(row).panorama for row in columns.rows[mentioned].tolist()])
    own = names[np.searchsorted(mentioned, asking)][:, None]
    lists.drop((names[np.searchsorted(mentioned, np.maximum(lists.places, 0))] == own) & (own >= 0))
    parts = []
    for first in range(0, len(asking), PHOTOS_AT_ONCE):
        part = slice(first, first + PHOTOS_AT_ONCE)
        # A list that is not full names its first match again, with a similarity that nobody hears.
        places = np.where(lists.places[part] >= 0, lists.places[part], np.maximum(lists.places[part, :1], 0))
        descriptors = snapshot.descriptors(columns.rows[places.ravel()]).astype(np.float32)
        parts.append(
            located(
                snapshot.descriptors(columns.rows[asking[part]]).astype(np.float32),
                lists.similarities[part],
                columns.points[places],
                names[np.searchsorted(mentioned, places)],
                descriptors.reshape(*places.shape, -1),
                centre,
            )
        )
    points = np.concatenate([np.empty((0, 3)), *(part.points for part in parts)])
    return Asked(
        photos=asking,
        points=points,
        errors=np.linalg.norm(points - columns.points[asking], axis=1),
        likeness=np.concatenate([np.empty(0), *(part.likeness for part in parts)]),
        shares=np.concatenate([np.empty(0), *(part.shares for part in parts)]),
        best=lists.places[:, 0],
    )
