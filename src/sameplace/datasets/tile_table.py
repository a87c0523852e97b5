"""The table of a folder of tiles: a row for each, which says where and when it was taken and where it looks."""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from sameplace.datasets.tile_layout import Layout
from sameplace.errors import PositionError
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageRecord
from sameplace.images.positions import WHY_UNPLACED
from sameplace.images.table import TABLE_NAME, read_table

FIRST = (
    *("file", "lat", "lon", "x_m", "y_m", "heading_deg", "pitch", "field_of_view", "time"),
    *("panorama", "tile", "place", "camera"),
)
"""The columns that come first; what else a panorama's row says follows."""
NOT_OF_TILES = (WHY_UNPLACED, "camera_type", "size", "pitch", "roll", "tile")
"""What was true of the panorama alone."""


class TileTable:
    """The rows of all tiles in a folder; rows of tiles that have gone are dropped, those of others stay."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / TABLE_NAME
        self._rows: dict[str, dict[str, str]] = {}
        for row in read_table(self.path) if self.path.exists() else ():
            if row.broken:
                raise PositionError(f"Line {row.line} of {self.path} is broken, {row.broken}; mend it, or cut into another folder.")
            if (folder / row.file).exists():
                self._rows[row.file] = json.loads(row.cells) if row.cells else {}

    def add(self, panorama: ImageRecord, files: Sequence[str], layout: Layout) -> None:
        """Give the tiles of a panorama their rows, or others than before."""
        rest = {column: cell for column, cell in panorama.extra.items() if column not in NOT_OF_TILES}
        said = {
            **rest,
            **_where(panorama),
            "field_of_view": f"{layout.lens.field_of_view:g}",
            "time": panorama.time.isoformat() if panorama.time else rest.get("time", ""),
            "panorama": panorama.panorama or "",
            "place": panorama.place or "",
            "camera": panorama.camera or "",
        }
        for file, tile in zip(files, layout.tiles, strict=True):
            heading = "" if panorama.heading_deg is None else f"{(panorama.heading_deg + tile.yaw_deg) % 360:.2f}"
            row = {**said, "heading_deg": heading, "pitch": f"{tile.pitch_deg:g}", "tile": tile.name}
            self._rows[file] = {column: cell for column, cell in row.items() if cell}

    def save(self) -> None:
        """Write the table anew, at once."""
        if not self._rows and not self.path.exists():
            return
        others = sorted({column for row in self._rows.values() for column in row} - {*FIRST})
        text = io.StringIO()
        writer = csv.DictWriter(text, [*FIRST, *others], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "file": file} for file, row in sorted(self._rows.items()))
        place(self.path, lambda file: file.write(text.getvalue().encode()))


def place(path: Path, write: Callable[[BinaryIO], Any], mtime_ns: int | None = None) -> None:
    """Write a file beside its place, make it durable, let it be as old as asked for, and rename it: it is whole, or not there."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    if mtime_ns is not None:
        os.utime(part, ns=(mtime_ns, mtime_ns))
    part.replace(path)


def _where(image: ImageRecord) -> dict[str, str]:
    if isinstance(image.position, LatLon):
        return {"lat": f"{image.position.lat:.8f}", "lon": f"{image.position.lon:.8f}"}
    if isinstance(image.position, LocalPoint):
        return {"x_m": f"{image.position.x_m:.4f}", "y_m": f"{image.position.y_m:.4f}"}
    return {}
