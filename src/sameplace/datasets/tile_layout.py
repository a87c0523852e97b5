"""Layouts of tiles: in which directions panoramas are cut, and what each tile sees; those of the published sets have names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sameplace.images.panorama import Lens


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How each panorama is cut.

    >>> [tile.name for tile in Layout(yaws=2, pitches=(0.0,)).tiles]
    ['pitch1_yaw1', 'pitch1_yaw2']
    """

    yaws: int = 12
    """Directions around, evenly apart, the first straight ahead."""
    pitches: tuple[float, ...] = (4.0, 26.5)
    """Degrees up of each round."""
    lens: Lens = field(default_factory=Lens)

    def __post_init__(self) -> None:
        if self.yaws < 1 or not self.pitches or not all(-90 <= pitch <= 90 for pitch in self.pitches):
            raise ValueError(
                f"At least one yaw, and pitches of -90 to 90 degrees, were wanted, got {self.yaws} yaws and pitches "
                f"{', '.join(f'{pitch:g}' for pitch in self.pitches) or 'none'}; Pittsburgh has 12 yaws and pitches 4 and 26.5."
            )
        if len(set(self.pitches)) < len(self.pitches):
            raise ValueError(f"Pitches that differ were wanted, got {', '.join(f'{pitch:g}' for pitch in self.pitches)}.")

    @property
    def tiles(self) -> tuple["Tile", ...]:
        """All tiles of a panorama, round by round."""
        return tuple(
            Tile(name=f"pitch{round_ + 1}_yaw{turn + 1}", yaw_deg=360 * turn / self.yaws, pitch_deg=float(pitch))
            for round_, pitch in enumerate(self.pitches)
            for turn in range(self.yaws)
        )

    def __str__(self) -> str:
        lens, pitches = self.lens, " and ".join(f"{pitch:g}" for pitch in self.pitches)
        return f"{self.yaws} yaws at {pitches} degrees, {lens.width} x {lens.height} pixels, {lens.field_of_view:g} degrees wide"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One direction of a layout."""

    name: str
    yaw_deg: float
    """To the right of the panorama's middle."""
    pitch_deg: float


LAYOUTS: Mapping[str, Layout] = MappingProxyType({"pittsburgh": Layout(), "tokyo": Layout(pitches=(12.0,))})
"""The names of Tokyo's published tiles say 012 between panorama and yaw, which is taken for the pitch: nobody has said so."""
