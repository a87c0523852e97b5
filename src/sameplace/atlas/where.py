"""Which photos of an atlas are asked at all: those around a rough position, looking one way, or taken at some time."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from math import inf, isfinite

import numpy as np

from sameplace.geo import EARTH, Position, Positions
from sameplace.shapes import Array, Bool, Float64

METRES_A_DEGREE = 110_000.0
"""Less than any degree of latitude has."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """What is known of a photo beforehand; photos of the atlas that do not fit are not looked at.

    >>> Where(heading=350.0, heading_width=60.0).told()
    'that look within 30 degrees of 350'
    """

    near: Position | None = None
    """A rough position of the photo, as from a cell tower; with `within`."""
    within: float | None = None
    """Metres that the rough position may be off."""
    heading: float | None = None
    """The direction that the camera looked in, in degrees clockwise from north; photos without a heading do not fit."""
    heading_width: float = 90.0
    """Degrees of the sector of headings that fit, half of them to either side."""
    since: date | None = None
    """The first moment that fits, or the first day (UTC); photos without a time do not fit."""
    until: date | None = None
    """The last moment that fits, or the last day (UTC)."""

    def __post_init__(self) -> None:
        if (self.near is None) != (self.within is None):
            raise ValueError("A rough position and its error in metres go together; give both near and within, or neither.")
        if self.within is not None and not (isfinite(self.within) and self.within > 0):
            raise ValueError(f"More than 0 metres around a position were wanted, got within={self.within}; give a distance.")
        if self.heading is not None and not isfinite(self.heading):
            raise ValueError(f"A heading in degrees was wanted, got {self.heading}; leave it out where it is not known.")
        if not 0 < self.heading_width <= 360:
            raise ValueError(f"A sector of up to 360 degrees was wanted, got heading_width={self.heading_width}; 90 is usual.")
        if self.since is not None and self.until is not None and _seconds(self.since, time.min) > _seconds(self.until, time.max):
            raise ValueError(f"Nothing was taken both since {self.since} and until {self.until}; swap the two.")

    def admits(
        self, positions: Positions, headings: Float64[Array, " rows"], times: Float64[Array, " rows"]
    ) -> Bool[Array, " rows"]:
        """Which of some photos fit."""
        fit = np.ones(len(positions), np.bool_)
        if self.since is not None or self.until is not None:
            first, last = self.span
            fit &= (times >= first) & (times <= last)
        if self.heading is not None:
            fit &= np.abs((headings - self.heading + 180) % 360 - 180) <= self.heading_width / 2
        fit &= self._around(positions)
        return fit

    @property
    def span(self) -> tuple[float, float]:
        """The first and the last moment that fit, in seconds since 1970; infinite where any does."""
        return (
            -inf if self.since is None else _seconds(self.since, time.min),
            inf if self.until is None else _seconds(self.until, time.max),
        )

    def _around(self, positions: Positions) -> Bool[Array, " rows"]:
        if self.near is None or self.within is None:
            return np.ones(len(positions), np.bool_)
        here = Positions.of([self.near])
        aside = np.abs(positions.coordinates[:, 0] - here.coordinates[0, 0])
        # Most of a large atlas is told by its latitude alone; an arc is at most half of pi times its chord.
        reach = 1.6 * self.within / METRES_A_DEGREE if positions.frame == EARTH else self.within
        near: Bool[Array, " rows"] = aside <= reach
        rows = np.flatnonzero(near)
        metric = Positions(positions.frame, positions.coordinates[rows]).metric()
        near[rows] = np.linalg.norm(metric - here.metric(), axis=1) <= self.within
        return near

    def told(self) -> str:
        """The filter in words, to say that nothing fits it."""
        words = []
        if self.near is not None:
            words.append(
                f"within {self.within:g} m of {', '.join(f'{number:g}' for number in Positions.of([self.near]).coordinates[0])}"
            )
        if self.heading is not None:
            words.append(f"that look within {self.heading_width / 2:g} degrees of {self.heading:g}")
        if self.since is not None:
            words.append(f"taken since {self.since}")
        if self.until is not None:
            words.append(f"taken until {self.until}")
        return " and ".join(words)


def _seconds(moment: date, otherwise: time) -> float:
    """Seconds since 1970 of a moment, or of the first or last one of a day; without a time zone it is taken for UTC."""
    whole = moment if isinstance(moment, datetime) else datetime.combine(moment, otherwise)
    return (whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp()
