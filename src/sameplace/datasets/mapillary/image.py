"""An image as Mapillary's search describes it: where and when it was taken, by whom, and its row of a positions.csv."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal
from urllib.parse import quote

from sameplace.errors import PositionError
from sameplace.geo import LatLon, distance

FIELDS = (
    "id",
    "computed_geometry",
    "geometry",
    "computed_compass_angle",
    "compass_angle",
    "captured_at",
    "camera_type",
    "is_pano",
    "make",
    "model",
    "sequence",
    "creator",
)
"""What is asked of Mapillary for each image; addresses of pictures, which expire, are asked for when they are needed."""

LICENCE = "CC BY-SA 4.0"
SITE = "https://www.mapillary.com/app/"
Size = Literal["1024", "2048", "original"]
ADDRESS: Mapping[Size, str] = {"1024": "thumb_1024_url", "2048": "thumb_2048_url", "original": "thumb_original_url"}
COLUMNS = (
    "file",
    "lat",
    "lon",
    "heading_deg",
    "time",
    "panorama",
    "camera",
    "camera_type",
    "sequence",
    "creator",
    "licence",
    "link",
    "position_from",
    "moved_m",
    "size",
)
"""The columns of a positions.csv, in their order."""


@dataclass(frozen=True, kw_only=True)
class StreetImage:
    """An image that Mapillary has, and what is known about it."""

    id: str
    position: LatLon
    """Computed from the pictures around it where Mapillary has done so, else as the device said."""
    heading_deg: float | None
    time: datetime | None
    is_panorama: bool
    camera: str
    camera_type: str
    sequence: str
    creator: str
    """The contributor's user name, or nothing where Mapillary does not tell."""
    position_from: Literal["computed", "device"]
    moved_m: float | None
    """How far computing has moved the position that the device told."""

    @property
    def file(self) -> str:
        """Where it lies in the folder of images."""
        return f"images/{self.id}.jpg"

    @property
    def link(self) -> str:
        """Its page."""
        return f"{SITE}?pKey={self.id}"

    def row(self, size: Size) -> dict[str, str]:
        """Its row of a positions.csv, by column."""
        cells = {
            "file": self.file,
            "lat": f"{self.position.lat:.7f}",
            "lon": f"{self.position.lon:.7f}",
            "heading_deg": "" if self.heading_deg is None else f"{self.heading_deg:.1f}",
            "time": "" if self.time is None else self.time.isoformat(timespec="milliseconds"),
            "panorama": self.id if self.is_panorama else "",
            "camera": self.camera,
            "camera_type": self.camera_type,
            "sequence": self.sequence,
            "creator": self.creator,
            "licence": LICENCE,
            "link": self.link,
            "position_from": self.position_from,
            "moved_m": "" if self.moved_m is None else f"{self.moved_m:.1f}",
            "size": size,
        }
        return {column: cells[column] for column in COLUMNS}


def understood(said: Mapping[str, Any]) -> StreetImage | None:
    """What Mapillary says of an image, or None where it has no usable number or place: nothing that a server says is trusted."""
    name = said.get("id")
    if not isinstance(name, str | int) or re.fullmatch(r"[0-9]{1,24}", str(name)) is None:  # it becomes a file name
        return None
    computed, device = _point(said.get("computed_geometry")), _point(said.get("geometry"))
    position = computed or device
    if position is None:
        return None
    heading = _heading(said.get("computed_compass_angle")) if computed else None
    kind = _text(said.get("camera_type")).lower()
    creator = said.get("creator")
    make, model = _text(said.get("make")), _text(said.get("model"))
    return StreetImage(
        id=str(name),
        position=position,
        heading_deg=heading if heading is not None else _heading(said.get("compass_angle")),
        time=_time(said.get("captured_at")),
        is_panorama=said.get("is_pano") is True or kind in ("equirectangular", "spherical"),
        camera=model if model.lower().startswith(make.lower()) else f"{make} {model}".strip(),
        camera_type="equirectangular" if kind == "spherical" else kind,
        sequence=_text(said.get("sequence")),
        creator=_text(creator.get("username")) if isinstance(creator, Mapping) else "",
        position_from="computed" if computed else "device",
        moved_m=distance(computed, device) if computed and device else None,
    )


def profile(creator: str) -> str:
    """The page of a contributor."""
    return f"{SITE}user/{quote(creator, safe='')}"


def _point(geometry: Any) -> LatLon | None:
    """A GeoJSON point, longitude first; 0, 0 is what devices say that do not know."""
    coordinates = geometry.get("coordinates") if isinstance(geometry, Mapping) else None
    if not isinstance(coordinates, list) or len(coordinates) < 2 or not all(_is_number(one) for one in coordinates[:2]):
        return None
    try:
        position = LatLon(float(coordinates[1]), float(coordinates[0]))
    except PositionError:
        return None
    return None if position.lat == position.lon == 0 else position


def _heading(angle: Any) -> float | None:
    return float(angle) % 360 % 360 if _is_number(angle) else None  # a hair below 0 rounds up to 360


def _time(milliseconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _text(value: Any) -> str:
    """Text of one line that steers neither a terminal nor a table."""
    return "".join(letter for letter in str(value) if letter.isprintable()).strip()[:200] if isinstance(value, str | int) else ""
