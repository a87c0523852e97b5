"""Images whose places are given on the UTM grid, and what is right there: within 25 m, the rule of NetVLAD and its followers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.truth import NOTHING, LeaveOut, WithinMetresOf
from sameplace.errors import PositionError
from sameplace.geo import from_utm
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Float64

RADIUS_M = 25.0


@dataclass(frozen=True, eq=False)
class WithinMetresOnGrid(WithinMetresOf):
    """Right is what was taken at most so many metres away on the UTM grid, where the field measures.

    On the grid 25 m are up to 2.5 cm more or less than on the ground, and for some images that decides.
    """

    def __str__(self) -> str:
        return f"right within {self.radius:g} m on the UTM grid"


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Images and where each was taken on the grid."""

    records: tuple[ImageRecord, ...]
    points: Float64[Array, "images 3"]
    """East and north in metres, and along a third axis as far as sets two zones apart, where there are two."""

    def chosen(self, rows: Sequence[int]) -> "Placed":
        """Some of the images."""
        return Placed(records=tuple(self.records[row] for row in rows), points=self.points[np.array(rows, np.int64)])


def placed_images(
    archive: Archive, paths: Sequence[Path], at: Float64[Array, "images 2"], panoramas: Sequence[str | None], zone: int
) -> Placed:
    """Images of the northern half of a zone, each with where it was taken and the panorama it was cut from."""
    records = []
    for path, (east, north), panorama in zip(paths, at.tolist(), panoramas, strict=True):
        try:
            position = from_utm(east, north, zone, northern=True)
        except PositionError as error:
            raise archive.error(f"UTM coordinates in zone {zone} for {path.name}", f"{east} east and {north} north") from error
        records.append(ImageRecord(path=path, position=position, panorama=panorama))
    return Placed(records=tuple(records), points=np.column_stack([at, np.zeros(len(at))]))


def within_metres(
    name: str,
    database: Placed,
    queries: Placed,
    *,
    remark: str,
    left_out: LeaveOut = NOTHING,
    one_per_panorama: bool = False,
) -> Dataset:
    """A dataset in which right is what was taken within 25 m on the grid, the radius itself included."""
    return Dataset(
        name=name,
        database=database.records,
        queries=queries.records,
        truth=WithinMetresOnGrid(RADIUS_M, queries.points, database.points),
        left_out=left_out,
        one_per_panorama=one_per_panorama,
        remark=remark,
    )
