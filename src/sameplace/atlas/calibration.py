"""How far answers were off when photos of an atlas were located among the others: what a radius and `known` may promise.

Quantiles with a correction for small samples (split conformal prediction: A. Angelopoulos and S. Bates, "A gentle introduction to
conformal prediction", section 1): they hold for any model and any distribution, for queries like those that they were learnt from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np

from sameplace.shapes import Array, Float32, Float64

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The parts of all answers whose radii an estimate knows."""
FALSE_ACCEPT = 0.05
"""How many of 100 photos of places outside the atlas may be called known, unless somebody chooses."""
FEWEST = 30
"""With fewer examples no quantile that matters means anything."""
IN_A_BAND = 50
"""Examples whose errors make one quantile, at least: five of them lie beyond the 90th percentile."""
MOST_BANDS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What was learnt from an atlas without labels; see `leave_out`."""

    scale: float
    """One standard deviation of `likeness` in this atlas: what makes scores of different models alike."""
    scores: Float64[Array, " answerable"]
    errors: Float64[Array, " answerable"]
    """Metres between where photos were located among the others and where they were taken."""
    impostors: Float64[Array, " impostors"]
    """The scores of photos whose place was left out, ascending."""
    several_passes: bool | None
    """Whether the errors are those of photos taken at another time than their matches; None where no times are known."""
    centre: Float32[Array, " dim"] | None = None
    """The mean descriptor, which likeness leaves out of account; None in atlases of before, which did not."""

    def radius(self, score: float, level: float) -> float | None:
        """Metres within which this part of the answers of such a score lay; None where too few examples promise that much."""
        radii = self._radii(level)
        return None if radii is None else float(radii[np.searchsorted(self._edges, score, side="right")])

    def known(self, score: float, false_accept: float) -> bool | None:
        """Whether a place counts as known, if no more than this part of the photos from elsewhere may; None where that is untold.

        A rate below `least_false_accept` cannot be promised; then the score must beat every photo from elsewhere.
        """
        least = self.least_false_accept
        if least is None:
            return None
        rank = conformal_rank(len(self.impostors), 1 - max(false_accept, least))
        return bool(score > self.impostors[min(rank, len(self.impostors)) - 1])

    def radii(self, score: float) -> tuple[tuple[float, float], ...]:
        """The LEVELS that can be promised, and their radii for a score."""
        told = ((level, self.radius(score, level)) for level in LEVELS)
        return tuple((level, radius) for level, radius in told if radius is not None)

    @property
    def usual_radii(self) -> tuple[tuple[float, float], ...]:
        """Those of the score in the middle."""
        return self.radii(float(np.median(self.scores))) if self.tells_radii else ()

    @property
    def least_false_accept(self) -> float | None:
        """The smallest rate of false accepts that so many examples can promise; None where they are too few to tell anything."""
        return 1 / (len(self.impostors) + 1) if len(self.impostors) >= FEWEST else None

    @property
    def tells_radii(self) -> bool:
        """Whether there are enough examples for radii."""
        return len(self.scores) >= FEWEST

    @cached_property
    def _bands(self) -> list[Float64[Array, " _band"]]:
        """The errors in bands of equally many examples, those of the lowest scores first, each ascending."""
        order = np.argsort(self.scores, kind="stable")
        count = min(max(len(order) // IN_A_BAND, 1), MOST_BANDS)
        bands: list[Float64[Array, " _band"]] = [np.sort(self.errors[band]) for band in np.array_split(order, count)]
        return bands

    @cached_property
    def _edges(self) -> Float64[Array, " _edges"]:
        """The scores at which the next band begins."""
        ends = np.cumsum([len(band) for band in self._bands])[:-1]
        edges: Float64[Array, " _edges"] = np.sort(self.scores)[ends]
        return edges

    def _radii(self, level: float) -> Float64[Array, " bands"] | None:
        if not self.tells_radii or any(conformal_rank(len(band), level) > len(band) for band in self._bands):
            return None
        radii = np.array([band[conformal_rank(len(band), level) - 1] for band in self._bands])
        # A better score never gets the larger radius: where chance says so, both get it.
        steady: Float64[Array, " bands"] = np.maximum.accumulate(radii[::-1])[::-1]
        return steady

    def to_bytes(self) -> bytes:
        """The content of its file."""
        return (
            json.dumps(
                {
                    "scale": self.scale,
                    "several_passes": self.several_passes,
                    "scores": np.round(self.scores, 4).tolist(),
                    "errors_m": np.round(self.errors, 3).tolist(),
                    "impostors": np.round(self.impostors, 4).tolist(),
                    "centre": None if self.centre is None else [round(number, 5) for number in self.centre.tolist()],
                }
            )
            + "\n"
        ).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Calibration":
        """What `to_bytes` wrote; KeyError, TypeError or ValueError for anything else."""
        known: Mapping[str, Any] = json.loads(content)
        columns = {name: np.array(known[name], np.float64) for name in ("scores", "errors_m", "impostors")}
        if any(column.ndim != 1 for column in columns.values()) or len(columns["scores"]) != len(columns["errors_m"]):
            raise ValueError("three columns were wanted, two of them of one length")
        centre = known.get("centre")
        return cls(
            scale=float(known["scale"]),
            scores=columns["scores"],
            errors=columns["errors_m"],
            impostors=columns["impostors"],
            several_passes=None if known["several_passes"] is None else bool(known["several_passes"]),
            centre=None if centre is None else np.array(centre, np.float32).reshape(len(centre)),
        )


def doubt(calibration: Calibration | None, false_accept: float) -> str | None:
    """What radii and `known` cannot promise, and the cure, in one sentence; None where they hold.

    >>> print(doubt(None, 0.05))
    The radius is a first guess (the spread of the matches), as too few places of this atlas show in several photos; add more.
    """
    if calibration is None or not calibration.tells_radii:
        one_pass = calibration is not None and calibration.several_passes is False
        few = (
            "all photos of this atlas were taken on one pass" if one_pass else "too few places of this atlas show in several photos"
        )
        return f"The radius is a first guess (the spread of the matches), as {few}; add more{' from another day' * one_pass}."
    least = calibration.least_false_accept
    if least is None:
        return "Whether a place is known is a first guess, as too few photos of this atlas show different places; add more."
    if false_accept < least:
        return f"This atlas can promise no fewer false accepts than {least:.2%}; add photos, or ask for --false-accept {least:.2g}."
    if calibration.several_passes is False:
        return "All photos of this atlas were taken on one pass: in another light radii may be too small; add some of another day."
    return None


def conformal_rank(examples: int, level: float) -> int:
    """Which of so many ascending examples a further one stays below or at with this probability; more than all where none can tell.

    >>> conformal_rank(99, 0.9), conformal_rank(9, 0.9), conformal_rank(8, 0.9)
    (90, 9, 9)
    """
    return max(ceil((examples + 1) * level - 1e-9), 1)
