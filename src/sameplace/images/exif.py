"""Where and when a photo was taken, as its EXIF data tell."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL.ExifTags import GPS, IFD, Base
from PIL.ImageFile import ImageFile as PillowFile
from PIL.PngImagePlugin import PngImageFile

from sameplace.geo import LatLon
from sameplace.images.positions import NO_FIX, WHY_UNPLACED, ImageRecord, parsed_time
from sameplace.images.reading import opened

Tags = Mapping[int, Any]
"""EXIF values by their number, of whatever type the file holds."""


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """When a photo was taken by each clock that its EXIF data may tell of; any two differ by up to hours."""

    satellites: datetime | None = None
    zoned: datetime | None = None
    """By the camera's clock, where the time zone is said, too."""
    shown: datetime | None = None
    """By the camera's clock, as it was shown, without a time zone."""


def from_exif(path: Path, content: bytes | None = None) -> ImageRecord:
    """What a photo's EXIF data say; no pixel is decoded. ImageError where the file, or the content if it is given, is no image."""
    main, photo, gps = _read(path if content is None else content)
    position, reason = _position(gps)
    extra = {WHY_UNPLACED: reason} if reason else {}
    if _text(gps.get(GPS.GPSImgDirectionRef)).upper() == "M":
        extra["heading_from"] = "magnetic north"
    return ImageRecord(
        path=path,
        position=position,
        heading_deg=_heading(gps),
        time=_gps_time(gps) or _zoned_time(photo) or _shown_time(photo),
        camera=_camera(main),
        extra=extra,
    )


def clocks(source: str | Path | bytes) -> Clocks:
    """What each clock of a photo's EXIF data says; ImageError where it is no image."""
    _, photo, gps = _read(Path(source) if isinstance(source, str) else source)
    return Clocks(satellites=_gps_time(gps), zoned=_zoned_time(photo), shown=_shown_time(photo))


def _read(source: Path | bytes) -> tuple[Tags, Tags, Tags]:
    with opened(source) as image:
        # Pillow would decode a whole PNG to look for EXIF behind the pixels, where nobody writes it.
        hidden = isinstance(image, PngImageFile) and not {"exif", "Raw profile type exif"} & image.info.keys()
        return ({}, {}, {}) if hidden else _directories(image)


def _directories(image: PillowFile) -> tuple[Tags, Tags, Tags]:
    """The tags of the image, of how it was photographed and of where, each as far as it can be read."""
    found: list[Tags] = [{}, {}, {}]
    # Pillow raises whatever broken EXIF makes it stumble on, and a photo without EXIF is still a photo.
    with suppress(Exception):
        exif = image.getexif()
        found[0] = dict(exif)
        for place, which in ((1, IFD.Exif), (2, IFD.GPSInfo)):
            with suppress(Exception):
                found[place] = dict(exif.get_ifd(which))
    return found[0], found[1], found[2]


def _position(gps: Tags) -> tuple[LatLon | None, str]:
    """A position, or why there is none although there are GPS data."""
    if GPS.GPSLatitude not in gps and GPS.GPSLongitude not in gps:
        return None, ""
    lat = _degrees(gps.get(GPS.GPSLatitude), _text(gps.get(GPS.GPSLatitudeRef)), {"N": 1, "S": -1})
    lon = _degrees(gps.get(GPS.GPSLongitude), _text(gps.get(GPS.GPSLongitudeRef)), {"E": 1, "W": -1})
    if lat is None or lon is None:
        return None, "The GPS position in its EXIF data is broken"
    if lat == lon == 0:
        return None, NO_FIX
    if abs(lat) > 90 or abs(lon) > 180:
        return None, f"The GPS position in its EXIF data is impossible ({lat:g}, {lon:g})"
    return LatLon(lat, lon), ""


def _degrees(value: Any, reference: str, signs: Mapping[str, int]) -> float | None:
    """Degrees, minutes and seconds; without a letter nobody knows which half of the earth is meant."""
    parts = _numbers(value)
    sign = signs.get(reference[:1].upper())
    if not parts or sign is None:
        return None
    return sign * sum(part / (1, 60, 3600)[place] for place, part in enumerate(parts[:3]))


def _heading(gps: Tags) -> float | None:
    parts = _numbers(gps.get(GPS.GPSImgDirection))
    return parts[0] % 360 if parts else None


def _gps_time(gps: Tags) -> datetime | None:
    day, clock = parsed_time(_text(gps.get(GPS.GPSDateStamp))), _numbers(gps.get(GPS.GPSTimeStamp))
    if day is None or len(clock) != 3:
        return None
    hours, minutes, seconds = clock
    with suppress(OverflowError):
        return day.replace(tzinfo=UTC) + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return None


def _zoned_time(photo: Tags) -> datetime | None:
    time = parsed_time(_text(photo.get(Base.DateTimeOriginal)) + _text(photo.get(Base.OffsetTimeOriginal)))
    return None if time is None or time.tzinfo is None else time


def _shown_time(photo: Tags) -> datetime | None:
    return parsed_time(_text(photo.get(Base.DateTimeOriginal)))


def _camera(main: Tags) -> str | None:
    make, model = _text(main.get(Base.Make)), _text(main.get(Base.Model))
    # "Canon", "Canon EOS 5D" is one name, "Apple", "iPhone 12" are two.
    return (model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()) or None


def _numbers(value: Any) -> list[float]:
    """One number or several; none at all where one is broken (a denominator of zero)."""
    parts = value if isinstance(value, tuple | list) else (value,)
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError, ZeroDivisionError):
        return []
    return numbers if all(abs(number) < 1e9 for number in numbers) else []


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    return value.split("\0")[0].strip() if isinstance(value, str) else ""
