"""What an atlas answers: where a photo was taken, how sure that is, and which photos say so."""

from dataclasses import asdict, dataclass
from typing import Any

from sameplace.geo import LatLon, LocalPoint, Position


@dataclass(frozen=True, kw_only=True)
class Match:
    """A photo of the atlas that resembles the query."""

    path: str
    similarity: float
    """The cosine of the two descriptors, at most 1; higher is nearer."""
    position: Position
    inliers: int | None = None
    """Pairs of local features that agree on one geometry; None where it was not compared. See `Verification.least`."""
    turned: float | None = None
    """Degrees that the query looks farther to the right than this photo, told of the best match if it is proved; see docs."""
    towards: float | None = None
    """Degrees to the right of where this photo looks, in which the query's camera stood; None where that cannot be told."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {
            "path": self.path,
            "similarity": self.similarity,
            **coordinates(self.position),
            "inliers": self.inliers,
            "turned_deg": self.turned,
            "towards_deg": self.towards,
        }


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was done to prove the matches of an estimate."""

    by: str
    """Which local features were compared, and how."""
    least: int
    """A match with so many inliers counts as proved."""
    wanted: int
    """Matches that were to be compared."""
    compared: int
    """Fewer where the time was over, or a photo has gone."""
    stopped: bool
    """Whether the time was over before all were compared."""
    seconds: float
    budget: float
    """Seconds that it was to take at most."""

    @property
    def in_time(self) -> bool:
        """Whether the time sufficed, and was kept."""
        return not self.stopped and self.seconds <= self.budget

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
        return {**asdict(self), "in_time": self.in_time}


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
    """Metres: of calibrated answers, `level` lie within; of others, this is the spread of the matches that agree."""
    known: bool | None
    """Whether the place is in the atlas at all; None where the atlas is too small to tell."""
    matches: tuple[Match, ...]
    """Best first."""
    calibrated: bool = False
    """Whether `radius` was learnt from the atlas, and `level` of such answers lie within it."""
    level: float = 0.9
    """The part of such answers that lie within `radius`, where it is calibrated."""
    radii: tuple[tuple[float, float], ...] = ()
    """Pairs of a level and its radius in metres; none where they are not calibrated. See `radius_at`."""
    false_accept: float | None = None
    """Of photos of places outside the atlas, the part that is called known nevertheless; None where that was not learnt."""
    several_passes: bool | None = None
    """Whether all this was learnt from photos taken at different times; None where the atlas cannot tell. Where it is not True, a
    photo taken in another light may be farther off than the radius says."""
    score: float | None = None
    """What radius and `known` are read from, higher is surer; comparable within one atlas only."""

    verification: Verification | None = None
    """How the matches were verified; None where they were not."""

    @property
    def proved(self) -> bool | None:
        """Whether enough local features of the best match agree with the photo's; None where that was not looked at."""
        inliers = self.matches[0].inliers
        return None if self.verification is None or inliers is None else inliers >= self.verification.least

    def radius_at(self, level: float) -> float:
        """Metres within which this part of such answers lie, one of those in `radii`; ValueError for any other.

        >>> match = Match(path="gate.jpg", similarity=0.7, position=LatLon(52.5, 13.4))
        >>> known = {"photo": "a.jpg", "position": LatLon(52.5, 13.4), "known": True, "matches": (match,)}
        >>> Estimate(radius=12.0, radii=((0.5, 4.0), (0.9, 12.0)), calibrated=True, **known).radius_at(0.5)
        4.0
        """
        for known, radius in self.radii:
            if abs(known - level) < 1e-9:
                return radius
        there = ", ".join(f"{known:g}" for known, _ in self.radii) or "none, as it is not calibrated"
        raise ValueError(f"A level that this estimate has a radius for was wanted, got {level:g}; it has {there}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts; None where the frame has no such coordinate."""
        return {
            "photo": self.photo,
            "known": self.known,
            **coordinates(self.position),
            "radius_m": self.radius,
            "matches": [match.to_json() for match in self.matches],
            "calibrated": self.calibrated,
            "level": self.level if self.calibrated else None,
            "radii_m": {f"{level:g}": radius for level, radius in self.radii},
            "false_accept": self.false_accept,
            "several_passes": self.several_passes,
            "verification": None if self.verification is None else self.verification.to_json(),
        }

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        from sameplace.atlas.showing import estimate_card
        from sameplace.pages import shown

        return shown(lambda: estimate_card(self))


def coordinates(position: Position) -> dict[str, float | None]:
    """A position as plain values; None where its frame has no such coordinate."""
    earth = position if isinstance(position, LatLon) else None
    local = position if isinstance(position, LocalPoint) else None
    return {
        "lat": earth.lat if earth else None,
        "lon": earth.lon if earth else None,
        "x_m": local.x_m if local else None,
        "y_m": local.y_m if local else None,
    }
