"""Streets: images to learn from, which of them ask and which answer, and what position or place says about every query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from sameplace.datasets import Dataset
from sameplace.datasets.truth import Rows
from sameplace.errors import DatasetError
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Bool, Int64
from sameplace.training.reach import PAPERS, Reach
from sameplace.training.tuples import weak_labels

NONE = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Streets:
    """Images to learn from; which of them ask, which answer, and what is known to be near.

    An image may both ask and answer. Whatever of the database is not near a query is one of its definite negatives.
    """

    name: str
    images: tuple[ImageRecord, ...]
    queries: Int64[Array, " queries"]
    """Rows of the images that ask, ascending: those with a potential positive."""
    database: Int64[Array, " database"]
    """Rows of the images that answer, ascending."""
    positives: Rows
    """The potential positives of each query, as rows of the database: indexes into `database`, ascending."""
    near: Rows
    """All that is no definite negative of each query, in the same rows; a query that answers, too, is near itself."""
    alone: Int64[Array, " alone"] = field(default_factory=lambda: NONE)
    """Rows of the images that nothing is known about: for vocabulary, whitening and self-supervised pairs."""

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.positives) == len(self.near):
            raise ValueError(
                f"Potential positives and near images of each of {len(self.queries)} queries were wanted, got those of "
                f"{len(self.positives)} and {len(self.near)}; give one array of rows for each query."
            )

    @classmethod
    def of(cls, images: Sequence[ImageRecord], reach: Reach = PAPERS, *, name: str = "photos") -> "Streets":
        """Photos of one frame: each with a position answers, and asks if it has a potential positive; the others stand alone.

        Local frames of different sites cannot be told apart by their coordinates: make Streets of each, and join them.
        """
        images = tuple(images)
        placed = np.array([row for row, image in enumerate(images) if image.position is not None], np.int64)
        known = [images[row] for row in placed.tolist()]
        weak = weak_labels(known, known, reach)
        return cls(
            name=name,
            images=images,
            queries=placed[weak.queries],
            database=placed,
            positives=weak.positives,
            near=weak.near,
            alone=np.setdiff1d(np.arange(len(images), dtype=np.int64), placed),
        )

    @classmethod
    def from_dataset(cls, dataset: Dataset, reach: Reach = PAPERS) -> "Streets":
        """The training part of a benchmark: its queries ask, its database answers, positions say what is near.

        DatasetError where whole images with positions are not what it has.
        """
        if dataset.queries is dataset.database:
            return cls.of(dataset.database, reach, name=dataset.name)
        images = (*dataset.database, *dataset.queries)
        missing = sum(image.position is None for image in images)
        if missing or dataset.database_views is not None or dataset.query_views is not None:
            has = f"{missing} of its {len(images)} images have none" if missing else "it shows parts of images"
            raise DatasetError(
                f"Learning from {dataset.name} needs whole images with positions, but {has}; train on another dataset, or make "
                f"Streets of places: Streets.of_places(images)."
            )
        weak = weak_labels(dataset.queries, dataset.database, reach)
        return cls(
            name=dataset.name,
            images=images,
            queries=weak.queries + len(dataset.database),
            database=np.arange(len(dataset.database), dtype=np.int64),
            positives=weak.positives,
            near=weak.near,
        )

    @classmethod
    def of_places(cls, images: Sequence[ImageRecord], *, name: str = "places") -> "Streets":
        """Photos that say which place they show, and need no position: what shows the same place is near.

        Potential positives are of the same place and another panorama; photos that name no place stand alone.

        >>> from pathlib import Path
        >>> of = lambda place: ImageRecord(path=Path("photo.jpg"), place=place)
        >>> [rows.tolist() for rows in Streets.of_places([of("gate"), of("hall"), of("gate")]).positives]
        [[2], [0]]
        """
        images = tuple(images)
        database = np.array([row for row, image in enumerate(images) if image.place is not None], np.int64)
        rows: dict[str | None, list[int]] = {}
        for number, row in enumerate(database.tolist()):
            rows.setdefault(images[row].place, []).append(number)
        queries, positives, near = [], [], []
        for number, row in enumerate(database.tolist()):
            around = np.array(rows[images[row].place], np.int64)
            taught = [other for other in around.tolist() if _differs(number, other, images, database)]
            if taught:
                queries.append(row)
                positives.append(np.array(taught, np.int64))
                near.append(around)
        return cls(
            name=name,
            images=images,
            queries=np.array(queries, np.int64),
            database=database,
            positives=tuple(positives),
            near=tuple(near),
            alone=np.setdiff1d(np.arange(len(images), dtype=np.int64), database),
        )

    @classmethod
    def joined(cls, *streets: "Streets", name: str | None = None) -> "Streets":
        """Streets of several sites as one: images of different sites are definite negatives of each other."""
        first_image = np.cumsum([0, *(len(site.images) for site in streets)])
        first_row = np.cumsum([0, *(len(site.database) for site in streets)])
        sites = list(zip(streets, first_image.tolist(), first_row.tolist(), strict=False))
        return cls(
            name=name or " + ".join(site.name for site in streets),
            images=tuple(image for site in streets for image in site.images),
            queries=np.concatenate([NONE, *(site.queries + image for site, image, _ in sites)]),
            database=np.concatenate([NONE, *(site.database + image for site, image, _ in sites)]),
            positives=tuple(rows + row for site, _, row in sites for rows in site.positives),
            near=tuple(rows + row for site, _, row in sites for rows in site.near),
            alone=np.concatenate([NONE, *(site.alone + image for site, image, _ in sites)]),
        )

    def relations(
        self, anchors: Int64[Array, " anchors"], others: Int64[Array, " others"]
    ) -> tuple[Bool[Array, "anchors others"], Bool[Array, "anchors others"]]:
        """Which pairs of these rows of images are potential positives, and which are definite negatives.

        A pair of which nothing is known is neither: two queries that do not answer, or an image that stands alone.
        """
        positive = np.zeros((len(anchors), len(others)), bool)
        negative = np.zeros_like(positive)
        self._relate(anchors, others, positive, negative)
        self._relate(others, anchors, positive.T, negative.T)
        return positive, negative

    def _relate(
        self,
        askers: Int64[Array, " askers"],
        answerers: Int64[Array, " answerers"],
        positive: Bool[Array, "askers answerers"],
        negative: Bool[Array, "askers answerers"],
    ) -> None:
        """Mark what queries among the first know of database images among the second."""
        rows = np.searchsorted(self.database, answerers)
        answers = np.isin(answerers, self.database)
        numbers = np.searchsorted(self.queries, askers)
        for line in np.flatnonzero(np.isin(askers, self.queries)).tolist():
            positive[line] |= answers & np.isin(rows, self.positives[numbers[line]])
            negative[line] |= answers & ~np.isin(rows, self.near[numbers[line]])

    def facts(self) -> dict[str, Any]:
        """What can be told about them, as plain values."""
        return {
            "name": self.name,
            "images": len(self.images),
            "queries": len(self.queries),
            "database": len(self.database),
            "alone": len(self.alone),
            "positives_per_query": float(median(map(len, self.positives))) if self.positives else 0.0,
        }


def _differs(number: int, other: int, images: tuple[ImageRecord, ...], database: Int64[Array, " database"]) -> bool:
    """Whether two rows of the database are different images, and not of one panorama."""
    panorama = images[database[number]].panorama
    return number != other and (panorama is None or panorama != images[database[other]].panorama)
