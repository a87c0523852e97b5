"""Where and when a photo was taken, as told by a row of a positions.csv or by a file name; and the record that holds it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path

from sameplace.errors import PositionError
from sameplace.geo import LatLon, LocalPoint, Position, from_utm

NAME_FIELDS = (
    "east",
    "north",
    "zone",
    "letter",
    "lat",
    "lon",
    "panorama",
    "tile",
    "heading_deg",
    "pitch",
    "roll",
    "height",
    "time",
    "note",
)
"""What stands between the signs of `@east@north@...@.jpg`; any of them after the second may be empty."""

POSITION_COLUMNS = frozenset({"lat", "lon", "east", "north", "zone", "x_m", "y_m"})
WHY_UNPLACED = "why_unplaced"
NO_FIX = "Its position is 0, 0, which devices write when they do not know where they are"


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """A photo and what is known about how it was taken."""

    path: Path
    position: Position | None = None
    heading_deg: float | None = None
    """Where the camera looked: clockwise from north, or from the y axis of a local frame, in [0, 360)."""
    time: datetime | None = None
    """With its time zone where that is known, else without; `seconds_between` compares two of them."""
    panorama: str | None = None
    """Photos of one panorama were cut from the same picture."""
    place: str | None = None
    camera: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Whatever else was said, as it was written, headings and times that could not be understood among it."""

    @property
    def why_unplaced(self) -> str:
        """One sentence for a photo without a position."""
        reason = self.extra.get(WHY_UNPLACED, "There is no position in its EXIF data, its name or a row of a positions.csv")
        return f"{reason}; give it one in a positions.csv."

    def completed(self, other: "ImageRecord") -> "ImageRecord":
        """The same record with what it leaves open as the other has it."""
        names = ("position", "heading_deg", "time", "panorama", "place", "camera")
        missing = {name: getattr(other, name) for name in names if getattr(self, name) is None}
        return replace(self, extra={**other.extra, **self.extra}, **missing)


def seconds_between(first: datetime, second: datetime) -> float | None:
    """Seconds from one time to another, or None where only one of them says its time zone."""
    if (first.tzinfo is None) != (second.tzinfo is None):
        return None
    return abs((second - first).total_seconds())


def from_name(path: Path) -> ImageRecord | None:
    """What a name like `@east@north@zone@letter@lat@lon@panorama@tile@heading@...@.jpg` says, or None for any other name.

    Without a zone, east and north are metres in a local frame.

    >>> from_name(Path("@0391545.0@5818254.0@33@U@@@pano7@@90@@@@@@.jpg")).heading_deg
    90.0
    """
    before, *cells = path.stem.split("@")
    said = {name: cell.strip() for name, cell in zip(NAME_FIELDS, cells, strict=False) if cell.strip()}
    on_grid, on_earth = (all(_is_number(said.get(name, "")) for name in names) for names in (("east", "north"), ("lat", "lon")))
    if before or not (on_grid or on_earth):
        return None
    rest = {name: cell for name, cell in said.items() if name not in POSITION_COLUMNS | {"letter"}}
    if on_grid and "zone" in said:  # to the centimetre, where the latitude and longitude of such names are rounded to a metre
        position = _from_utm(said["east"], said["north"], said["zone"] + said.get("letter", ""), said.get("lat", ""))
        return replace(from_row(path, rest), position=position)
    if on_earth:
        return from_row(path, {**rest, "lat": said["lat"], "lon": said["lon"]})
    return from_row(path, {**rest, "x_m": said["east"], "y_m": said["north"]})


def from_row(path: Path, row: Mapping[str, str]) -> ImageRecord:
    """What a row of a positions.csv says; PositionError where its position cannot be understood."""
    said = {column: cell for column, cell in row.items() if cell and column not in POSITION_COLUMNS and column != "file"}
    position = _position(row)
    if isinstance(position, LatLon) and position.lat == position.lon == 0:
        position, said[WHY_UNPLACED] = None, NO_FIX
    heading, time = parsed_heading(said.get("heading_deg", "")), parsed_time(said.get("time", ""))
    for column, value in (("heading_deg", heading), ("time", time)):
        if value is not None:
            del said[column]
    return ImageRecord(
        path=path,
        position=position,
        heading_deg=heading,
        time=time,
        panorama=said.pop("panorama", None),
        place=said.pop("place", None),
        camera=said.pop("camera", None),
        extra=said,
    )


def parsed_heading(text: str) -> float | None:
    """Degrees in [0, 360), or None where there is no number."""
    degrees = float(text.replace(",", ".")) if _is_number(text.replace(",", ".")) else inf
    return degrees % 360 % 360 if isfinite(degrees) else None  # a hair below 0 rounds up to 360


def parsed_time(text: str) -> datetime | None:
    """A time as ISO 8601, as EXIF writes it, or as seconds since 1970; None where it is neither.

    >>> parsed_time("2023:06:10 16:44:17")
    datetime.datetime(2023, 6, 10, 16, 44, 17)
    """
    text = text.strip()
    if re.fullmatch(r"\d{9,10}(\.\d*)?", text):  # from 1973 on: a shorter number is a date or a counter
        return datetime.fromtimestamp(float(text), UTC)
    try:
        return datetime.fromisoformat(re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text))
    except ValueError:
        return None


def _position(row: Mapping[str, str]) -> Position | None:
    for names in (("lat", "lon"), ("east", "north", "zone"), ("x_m", "y_m")):
        cells = [row.get(name, "").strip() for name in names]
        if not any(cells):
            continue
        if not all(cells):
            raise PositionError(
                f"The columns {', '.join(names)} belong together, got {', '.join(repr(cell) for cell in cells)}; fill all of them "
                f"or none (coordinates of a grid that has no UTM zone go to x_m, y_m)."
            )
        if names[0] == "lat":
            return LatLon(_number("lat", cells[0]), _number("lon", cells[1]))
        if names[0] == "east":
            return _from_utm(*cells)
        return LocalPoint(_number("x_m", cells[0]), _number("y_m", cells[1]))
    return None


def _from_utm(east: str, north: str, zone: str, lat: str = "") -> LatLon:
    """`zone` as 33, 33N or 33U. S is the band from 32 to 40 degrees north where the northing fits it, else it means south."""
    found = re.fullmatch(r"(\d{1,2})(?:\.0)?\s*([C-HJ-NP-X]?)", zone.strip().upper())
    if not found:
        raise PositionError(f"A UTM zone like 33, 33N or 33U was wanted, got {zone!r}; coordinates of another grid go to x_m, y_m.")
    number, letter = found.groups()
    metres_north = _number("north", north)
    northern = 3_500_000 <= metres_north <= 4_450_000 if letter == "S" else letter >= "N" or not letter
    if _is_number(lat):  # a file name may say it in so many words
        northern = float(lat) >= 0
    return from_utm(_number("east", east), metres_north, int(number), northern)


def _number(name: str, text: str) -> float:
    # Spreadsheets of half the world write decimal commas.
    if not _is_number(text.replace(",", ".")):
        raise PositionError(f"A number was wanted as {name}, got {text!r}; write it like 52.5163.")
    return float(text.replace(",", "."))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) is not None
