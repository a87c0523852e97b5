"""Photos as rows of a collection on Milvus: its columns, its areas, and what is known beforehand as a filter."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from math import floor

import numpy as np

from sameplace.atlas.segment import Entry, seconds
from sameplace.atlas.where import Where
from sameplace.geo import EARTH, Position, Positions
from sameplace.search.milvus import Column, Row, quoted
from sameplace.shapes import Array, Float64

AREA_M = 5000.0
"""Photos of one cube of this size are of one partition: from the earth's centre, no pole and no antimeridian is special."""
MOST_AREAS = 512
"""A filter that meets more of them leaves them to its box alone."""
SLACK = 1e-3
"""Filters on the server are this much wider, in metres, degrees and seconds, for numbers are rounded on the way; we look again."""
ABOUT_BYTES = 65_535

COLUMNS = (
    Column(name="id", kind="text", length=32, key="primary"),
    Column(name="area", kind="text", length=64, key="partition"),
    Column(name="path", kind="text", length=8192),
    Column(name="content", kind="text", length=32),
    Column(name="x_m", kind="number"),
    Column(name="y_m", kind="number"),
    Column(name="z_m", kind="number"),
    Column(name="lat", kind="number", optional=True),
    Column(name="lon", kind="number", optional=True),
    Column(name="heading_deg", kind="number", optional=True),
    Column(name="time_s", kind="number", optional=True),
    Column(name="panorama", kind="text", length=1024, optional=True),
    Column(name="runtime", kind="text", length=64),
    Column(name="about", kind="text", length=ABOUT_BYTES),
)
TOLD = ("id", "x_m", "y_m", "lat", "lon", "about")
"""What an answer is made of, besides the descriptor."""


def key(path: str) -> str:
    """The primary key of a photo: photos are known by their paths."""
    return hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def sendable(text: str) -> str:
    """A text that is UTF-8, as names of files need not be."""
    return text.encode("utf-8", "backslashreplace").decode()


def row(entry: Entry, position: Position, runtime: str) -> Row:
    """A photo as a row."""
    positions = Positions.of([position])
    metric = positions.metric()
    x_m, y_m, z_m = metric[0].tolist()
    lat, lon = positions.coordinates[0].tolist() if positions.frame == EARTH else (None, None)
    return {
        "id": key(entry.path),
        "area": areas(metric)[0],
        "path": sendable(entry.path),
        "content": entry.content,
        "x_m": x_m,
        "y_m": y_m,
        "z_m": z_m,
        "lat": lat,
        "lon": lon,
        "heading_deg": None if entry.heading_deg is None else entry.heading_deg % 360,
        "time_s": None if entry.time is None else seconds(entry.time),
        "panorama": None if entry.panorama is None else sendable(entry.panorama),
        "runtime": runtime,
        "about": json.dumps(asdict(entry), ensure_ascii=True),
    }


def entry_of(row: Row) -> Entry:
    """What is known of the photo of a row."""
    return Entry(**json.loads(row["about"]))


def positions_of(rows: Sequence[Row], frame: str) -> Positions:
    """Where the photos of rows were taken."""
    names = ("lat", "lon") if frame == EARTH else ("x_m", "y_m")
    return Positions(frame, np.array([[row[name] for name in names] for row in rows], np.float64).reshape(-1, 2))


def areas(metric: Float64[Array, "points 3"]) -> list[str]:
    """The area of each point.

    >>> areas(np.array([[-1.0, 0.0, 12000.0]]))
    ['-1,0,2']
    """
    return [",".join(map(str, cube)) for cube in np.floor(metric / AREA_M).astype(np.int64).tolist()]


def matching(where: Where | None) -> str:
    """What fits, as a filter of Milvus: a box instead of a circle, and everything a little wider.

    >>> matching(Where(heading=10.0, heading_width=40.0))
    '(heading_deg >= 349.999 or heading_deg <= 30.001)'
    """
    if where is None:
        return ""
    parts: list[str] = []
    if where.near is not None and where.within is not None:
        here, reach = Positions.of([where.near]).metric()[0].tolist(), where.within + SLACK
        if where.near.frame != EARTH:
            here = here[:2]
        met = [range(floor((at - reach) / AREA_M), floor((at + reach) / AREA_M) + 1) for at in here]
        if np.prod([len(cubes) for cubes in met]) <= MOST_AREAS:
            named = [",".join(map(str, cube)) for cube in product(*met, *([[0]] if len(met) < 3 else []))]
            parts.append(f"area in [{', '.join(map(quoted, named))}]")
        for axis, at in zip(("x_m", "y_m", "z_m"), here, strict=False):
            parts.append(f"{axis} >= {at - reach:.3f} and {axis} <= {at + reach:.3f}")
    first, last = where.span
    if where.since is not None:
        parts.append(f"time_s >= {first - SLACK:.3f}")
    if where.until is not None:
        parts.append(f"time_s <= {last + SLACK:.3f}")
    if where.heading is not None:
        parts.append(_sector(where.heading, where.heading_width))
    return " and ".join(parts)


def _sector(heading: float, width: float) -> str:
    if width >= 360 - 2 * SLACK:
        return "heading_deg >= 0.0"
    low, high = (heading - width / 2 - SLACK) % 360, (heading + width / 2 + SLACK) % 360
    return f"(heading_deg >= {low:.3f} {'and' if low <= high else 'or'} heading_deg <= {high:.3f})"
