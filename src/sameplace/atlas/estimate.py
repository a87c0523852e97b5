"""What an atlas answers: where a photo was taken, how sure that is, and which photos say so."""

from dataclasses import dataclass
from typing import Any

from sameplace.geo import LatLon, LocalPoint, Position


@dataclass(frozen=True, kw_only=True)
class Match:
    """A photo of the atlas that resembles the query."""

    path: str
    similarity: float
    """The cosine of the two descriptors, at most 1; higher is nearer."""
    position: Position

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {"path": self.path, "similarity": self.similarity, **_coordinates(self.position)}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Where a photo was taken.

    >>> match = Match(path="/photos/gate.jpg", similarity=0.71, position=LatLon(52.5163, 13.3777))
    >>> estimate = Estimate(photo="mystery.jpg", position=LatLon(52.5163, 13.3777), radius=5.0, known=True, matches=(match,))
    >>> estimate.to_json()["lat"], estimate.to_json()["x_m"]
    (52.5163, None)
    """

    photo: str
    position: Position
    """The best guess, even where `known` is False."""
    radius: float
    """Metres: the spread of the matches that agree on the position."""
    known: bool | None
    """Whether the place is in the atlas at all; None where the atlas is too small to tell."""
    matches: tuple[Match, ...]
    """Best first."""
    calibrated: bool = False
    """Whether `radius` and `known` come from measured probabilities."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts; None where the frame has no such coordinate."""
        return {
            "photo": self.photo,
            "known": self.known,
            **_coordinates(self.position),
            "radius_m": self.radius,
            "matches": [match.to_json() for match in self.matches],
            "calibrated": self.calibrated,
        }


def _coordinates(position: Position) -> dict[str, float | None]:
    earth = position if isinstance(position, LatLon) else None
    local = position if isinstance(position, LocalPoint) else None
    return {
        "lat": earth.lat if earth else None,
        "lon": earth.lon if earth else None,
        "x_m": local.x_m if local else None,
        "y_m": local.y_m if local else None,
    }
