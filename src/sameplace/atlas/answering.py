"""The answer to one photo: what was found becomes a position, a radius, a verdict and the matches that say so."""

from dataclasses import dataclass

import numpy as np

from sameplace.atlas.calibration import FALSE_ACCEPT, Calibration
from sameplace.atlas.consensus import coded
from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.located import LOOKED, Located, located
from sameplace.atlas.segment import Entry
from sameplace.atlas.snapshot import Snapshot
from sameplace.geo import Positions, point
from sameplace.shapes import Array, Float32, Int64

FOUND = LOOKED + 1
"""Matches that every answer hears of, however many are shown."""
LEVEL = 0.9


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody wants of an answer."""

    top: int = 10
    level: float = LEVEL
    false_accept: float = FALSE_ACCEPT
    filtered: bool = False
    """Whether only a part of the atlas was asked: what the whole tells of itself does not hold for it."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError(f"At least one match was wanted, got top={self.top}; ask for top=1 or more.")
        for name, value in (("level", self.level), ("false_accept", self.false_accept)):
            if not 0 < value < 1:
                raise ValueError(f"A {name} between 0 and 1 was wanted, got {value:g}; 1 % is 0.01.")


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundPhoto:
    """What the search found for one photo, best first."""

    photo: str
    descriptor: Float32[Array, " dim"]
    similarities: Float32[Array, " found"]
    rows: Int64[Array, " found"]


def estimate(snapshot: Snapshot, found: FoundPhoto, wanted: Wanted) -> Estimate:
    """The answer to one photo from what the search found; it is the same however many matches are shown."""
    similarities, rows = found.similarities, found.rows
    entries = [snapshot.entry_at(row) for row in rows.tolist()]
    positions = snapshot.positions(rows)
    heard = slice(FOUND)
    agreed = located(
        found.descriptor[None],
        similarities[None, heard],
        positions.metric()[None, heard],
        coded([entry.panorama for entry in entries[heard]])[None],
        snapshot.descriptors(rows[heard]).astype(np.float32)[None],
        None if snapshot.calibration is None else snapshot.calibration.centre,
    )
    shown = slice(wanted.top)
    matches = _matches(entries[shown], np.clip(similarities[shown], -1, 1), positions)
    answer = Estimate(
        photo=found.photo,
        position=point(positions.frame, agreed.points[0]),
        radius=float(agreed.radii[0]),
        known=_first_guess(snapshot, matches[0].similarity),
        matches=matches,
        level=wanted.level,
    )
    calibration = snapshot.calibration
    return answer if calibration is None or wanted.filtered else _calibrated(answer, agreed, calibration, wanted)


def _calibrated(answer: Estimate, agreed: Located, calibration: Calibration, wanted: Wanted) -> Estimate:
    """The answer with what was learnt from the atlas in place of the first guesses, as far as that reaches."""
    score = float(agreed.scores(calibration.scale)[0])
    radius, known = calibration.radius(score, wanted.level), calibration.known(score, wanted.false_accept)
    least = calibration.least_false_accept
    return Estimate(
        photo=answer.photo,
        position=answer.position,
        radius=answer.radius if radius is None else radius,
        known=answer.known if known is None else known,
        matches=answer.matches,
        calibrated=radius is not None,
        level=wanted.level,
        radii=calibration.radii(score),
        false_accept=None if least is None else max(wanted.false_accept, least),
        several_passes=calibration.several_passes,
        score=score,
    )


def _first_guess(snapshot: Snapshot, similarity: float) -> bool | None:
    """Whether the best match is more similar than photos of different places are to each other."""
    impostors = snapshot.manifest.impostors
    level = impostors.similarity if impostors else None
    return None if level is None else similarity > level


def _matches(entries: list[Entry], similarities: Float32[Array, " _shown"], positions: Positions) -> tuple[Match, ...]:
    return tuple(
        Match(path=entry.path, similarity=float(similarities[rank]), position=positions[rank]) for rank, entry in enumerate(entries)
    )
