"""The time machine: from dated, placed images the tuples "same place, another time", with the errors of receivers in mind.

It goes beyond `Reach.another_time`. Dates may be known to the month, or by stamps that only differ. What shifts a whole pass
against the others is estimated and taken off. Where an image says how exact its position is, and that is worse than usual, its
potential positives are sought in a smaller circle and its definite negatives outside of a larger one. And what another pass shows
from the very same spot is not trivial, unless a reach says so: light, season and traffic differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from sameplace.datasets.truth import Rows, near
from sameplace.errors import DatasetError
from sameplace.geo import Positions
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64, Int64
from sameplace.training.offsets import shifts
from sameplace.training.passes import Moments, moments, passes
from sameplace.training.reach import Reach
from sameplace.training.streets import Streets

ACCURACIES = ("accuracy_m", "accuracy", "gps_accuracy", "gps_accuracy_m", "horizontal_accuracy", "position_accuracy")
"""Columns that say within how many metres a position holds."""
USUAL_M = 5.0
"""The accuracy that the reaches of the paper are made for: a position that says nothing of itself is this exact."""
SURELY = 2.0
"""Definite negatives lie this many standard deviations beyond their reach."""
BATCH = 1024
ANOTHER_TIME = Reach(another_time=True, trivial=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Passes:
    """What is known about placed images before any is compared with another."""

    images: tuple[ImageRecord, ...]
    points: Float64[Array, "images 3"]
    """Where each was taken, in metres, without what shifts its pass."""
    shifts: Float64[Array, "images 3"]
    """What was added to what its position says."""
    numbers: Int64[Array, " images"]
    """The pass that each was taken on; -1 where that cannot be told."""
    moments: Moments
    accuracies: Float64[Array, " images"]
    """Standard deviations in metres."""
    headings: Float64[Array, " images"]
    """Degrees; NaN where not known."""
    panoramas: Int64[Array, " images"]
    """Equal for tiles of one panorama, and for nothing else."""

    @classmethod
    def of(cls, images: Sequence[ImageRecord], *, same_pass: float = 600.0, align: bool = True) -> "Passes":
        """Sort placed images into passes, and take off what shifts these against each other unless `align` is off."""
        positions = Positions.of([image.position for image in images if image.position is not None])
        if len(positions) < len(images):
            raise DatasetError("Only images with a position can be sorted into passes; leave out those without one.")
        known = moments(images)
        numbers = passes(images, known, same_pass)
        moved = shifts(positions, numbers) if align else np.zeros((len(images), 3))
        names: dict[str | int, int] = {}
        return cls(
            images=tuple(images),
            points=positions.metric() + moved,
            shifts=moved,
            numbers=numbers,
            moments=known,
            accuracies=np.array([_accuracy(image) for image in images], np.float64),
            headings=np.array([np.nan if image.heading_deg is None else image.heading_deg for image in images], np.float64),
            panoramas=np.array(
                [
                    names.setdefault(row if image.panorama is None else image.panorama, len(names))
                    for row, image in enumerate(images)
                ],
                np.int64,
            ),
        )


def time_machine(
    images: Sequence[ImageRecord], reach: Reach = ANOTHER_TIME, *, name: str = "street view over time", align: bool = True
) -> Streets:
    """Streets whose potential positives show the same place at another time; every placed image answers, undated ones, too.

    Images without a position, or with one that is worse than the reach of negatives, stand alone. All images must be of one frame:
    sites with local frames of their own are joined by `Streets.joined`. DatasetError where no image has a positive.
    """
    images = tuple(images)
    usable = [image.position is not None and _accuracy(image) <= reach.negative for image in images]
    placed = np.flatnonzero(usable).astype(np.int64)
    sorted_ = Passes.of([images[row] for row in placed.tolist()], same_pass=reach.same_pass, align=align)
    queries, positives, around = _labels(sorted_, replace(reach, another_time=True))
    if not len(queries):
        raise DatasetError(_nothing_found(images, sorted_, reach))
    return Streets(
        name=name,
        images=images,
        queries=placed[queries],
        database=placed,
        positives=positives,
        near=around,
        alone=np.flatnonzero(~np.array(usable, bool)).astype(np.int64),
    )


def _labels(known: Passes, reach: Reach) -> tuple[Int64[Array, " queries"], Rows, Rows]:
    """The rows that have a potential positive, their positives and all that is no definite negative of theirs."""
    queries: list[int] = []
    positives: list[Int64[Array, " _rows"]] = []
    around: list[Int64[Array, " _rows"]] = []
    for row, taught, close in _looked_around(known, reach):
        if len(taught):
            queries.append(row)
            positives.append(taught)
            around.append(close)
    return np.array(queries, np.int64), tuple(positives), tuple(around)


def _looked_around(known: Passes, reach: Reach) -> Iterator[tuple[int, Int64[Array, " _taught"], Int64[Array, " _close"]]]:
    """Of each row, those that teach it and those near it."""
    widest = reach.negative + SURELY * _excess(known.accuracies, known.accuracies).max(initial=0.0)
    for start in range(0, len(known.points), BATCH):
        asking = np.arange(start, min(start + BATCH, len(known.points)))
        found = near(known.points[asking], known.points, widest)
        counts = np.array([len(rows) for rows in found], np.int64)
        first, second = np.repeat(asking, counts), np.concatenate(found)
        squared = ((known.points[first] - known.points[second]) ** 2).sum(axis=1)
        excess = _excess(known.accuracies[first], known.accuracies[second])
        close = squared <= (reach.negative + SURELY * excess) ** 2
        taught = close & (squared <= np.maximum(reach.positive - excess, 0) ** 2)
        if reach.trivial > 0:
            taught &= squared > reach.trivial**2
        taught &= known.panoramas[first] != known.panoramas[second]
        taught &= known.moments.differ(first, second, reach.same_pass)
        if reach.heading is not None:
            turned = np.abs((known.headings[first] - known.headings[second] + 180) % 360 - 180)
            taught &= turned <= reach.heading
        ends = np.cumsum(counts)[:-1]
        parts = (np.split(second, ends), np.split(taught, ends), np.split(close, ends))
        for row, rows, teaches, lies_near in zip(asking.tolist(), *parts, strict=True):
            yield row, rows[teaches], rows[lies_near]


def _excess(first: Float64[Array, " pairs"], second: Float64[Array, " pairs"]) -> Float64[Array, " pairs"]:
    """By how many metres the distance of two images is less exact than usual."""
    excess: Float64[Array, " pairs"] = np.maximum(np.hypot(first, second) - sqrt(2) * USUAL_M, 0.0)
    return excess


def _accuracy(image: ImageRecord) -> float:
    """What an image says of its position's accuracy, in metres; the usual one where it says nothing that is a number."""
    for name in ACCURACIES:
        try:
            said = float(image.extra.get(name, "").replace(",", "."))
        except ValueError:
            continue
        if said > 0:
            return said
    return USUAL_M


def _nothing_found(images: Sequence[ImageRecord], known: Passes, reach: Reach) -> str:
    """Why there is no tuple, and what to do."""
    dated = int((~np.isnan(known.moments.earliest) | (known.moments.stamps >= 0)).sum())
    if not dated:
        missing = "a time" if len(known.images) else "a position"
        return (
            f"Images with a position and a time were wanted, but none of {len(images):,} has {missing}; "
            f"give them in a positions.csv."
        )
    return (
        f"The same places at another time were wanted, but none of {dated:,} dated images has another within {reach.positive:g} m "
        f"and more than {reach.same_pass:g} s apart; add a second pass, widen the reach, or train without another_time."
    )
