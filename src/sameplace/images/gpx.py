"""Where a receiver was and when, as a GPX file tells: https://www.topografix.com/GPX/1/1/."""

from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Final
from xml.parsers import expat

import numpy as np

from sameplace.errors import PositionError
from sameplace.geo import LatLon, Positions
from sameplace.images.positions import parsed_time
from sameplace.shapes import Array, Float64

MOST_BYTES: Final = 200_000_000
MOST_FIXES: Final = 1_000_000
"""Eleven days at one a second."""
CHUNK: Final = 1 << 16
LONGEST_TIME: Final = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Fixes:
    """Positions of a receiver, by time."""

    times: Float64[Array, " fixes"]
    """Seconds since 1970, each later than the one before."""
    positions: Positions


def read_gpx(path: str | Path) -> Fixes:
    """The track points of a GPX file that have a time, in order of time; PositionError where there are none.

    Times without a zone are UTC, as the format wants it. Points at 0, 0, which receivers write before they know where they are, are
    passed over; of several at one time the first one counts.
    """
    name = Path(path).name
    try:
        size = Path(path).stat().st_size
        if size > MOST_BYTES:
            raise PositionError(
                f"{name} has {size:,} bytes, but at most {MOST_BYTES:,} are read of a GPX file; cut out the part of this walk."
            )
        points = _parsed(Path(path))
    except OSError as error:
        raise PositionError(f"The track {path} cannot be read ({error.strerror}); check the path and its permissions.") from error
    if not points.times:
        what = f"none of its {points.untimed:,} track points has a time" if points.untimed else "it holds no track points"
        raise PositionError(
            f"{name} does not tell where somebody was when: {what}; export the track itself, with its times, as GPX."
        )
    times, first = np.unique(np.array(points.times), return_index=True)
    return Fixes(times=times, positions=Positions("earth", np.array(points.coordinates)[first]))


@dataclass(kw_only=True)
class _Points:
    """What has been read so far, and where the parser is."""

    name: str
    parser: expat.XMLParserType
    times: list[float] = field(default_factory=list)
    coordinates: list[tuple[float, float]] = field(default_factory=list)
    untimed: int = 0
    root: str = ""
    here: LatLon | None = None
    time: str | None = None
    """The text of the time that is being read."""
    said: str = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        kind = tag.rsplit(":", 1)[-1]
        if not self.root:
            self.root = kind
            if kind != "gpx":
                raise PositionError(f"{self.name} was expected as GPX, but is {kind} instead; export the track as GPX.")
        if kind == "trkpt":
            self.here, self.said = self._position(attributes), ""
        elif kind == "time" and self.here is not None:
            self.time = ""

    def text(self, data: str) -> None:
        if self.time is not None and len(self.time) < LONGEST_TIME:
            self.time += data

    def end(self, tag: str) -> None:
        kind = tag.rsplit(":", 1)[-1]
        if kind == "time" and self.time is not None:
            self.said, self.time = self.said or self.time.strip(), None
        elif kind == "trkpt" and self.here is not None:
            self._keep(self.here)
            self.here = None

    def doctype(self, *_said: object) -> None:
        raise PositionError(f"{self.name} has a DOCTYPE, which no GPX file needs and which is not read; export the track again.")

    def _keep(self, here: LatLon) -> None:
        moment = parsed_time(self.said)
        if moment is None:
            self.untimed += 1
        elif here != LatLon(0.0, 0.0):
            self.times.append((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
            self.coordinates.append((here.lat, here.lon))
        if len(self.times) + self.untimed > MOST_FIXES:
            raise PositionError(f"{self.name} has more than {MOST_FIXES:,} track points; cut out the part of this walk.")

    def _position(self, attributes: dict[str, str]) -> LatLon:
        try:
            return LatLon(float(attributes["lat"]), float(attributes["lon"]))
        except (KeyError, ValueError) as error:
            raise PositionError(
                f"The track point at line {self.parser.CurrentLineNumber} of {self.name} has no position that can be understood "
                f"(lat {attributes.get('lat', '')[:20]!r}, lon {attributes.get('lon', '')[:20]!r}); correct or delete it."
            ) from error


def _parsed(path: Path) -> _Points:
    parser = expat.ParserCreate()
    points = _Points(name=path.name, parser=parser)
    parser.StartDoctypeDeclHandler = points.doctype
    parser.StartElementHandler, parser.EndElementHandler = points.start, points.end
    parser.CharacterDataHandler = points.text
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                parser.Parse(chunk)
            parser.Parse(b"", True)
    except PositionError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two of an encoding that is unknown, or not read
        reason = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
        raise PositionError(
            f"{path.name} is no GPX file, or is cut off ({reason} at line {parser.ErrorLineNumber}); export it again."
        ) from error
    return points
