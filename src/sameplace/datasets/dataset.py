"""A dataset: a database, queries, and the protocol that says what is right."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sameplace.datasets.truth import NOTHING, LeaveOut, Relevant, Rows, Truth
from sameplace.images import ImageRecord, View


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Database images, queries, and which of the former are right for which of the latter.

    `protocol` says in words what counts as right, what is left out and how it was made: no figure is printed without it.
    """

    name: str
    database: tuple[ImageRecord, ...]
    queries: tuple[ImageRecord, ...]
    truth: Truth
    left_out: LeaveOut = NOTHING
    remark: str = ""
    """What else one must know to compare figures."""
    one_per_panorama: bool = False
    """Only the best image of each panorama counts among those retrieved."""
    database_views: tuple[View, ...] | None = None
    """What of each database image is described, where that is not all of it."""
    query_views: tuple[View, ...] | None = None
    """What of each query is described, where that is not all of it."""
    licence: str = ""
    """What its authors allow, where they say."""
    keeps: object = field(default=None, repr=False)
    """Whatever must live as long as the dataset, such as a temporary folder."""

    def __post_init__(self) -> None:
        for what, images, views in (
            ("database images", self.database, self.database_views),
            ("queries", self.queries, self.query_views),
        ):
            if views is not None and len(views) != len(images):
                raise ValueError(f"One view for each of {len(images)} {what} was wanted, got {len(views)}; give all or None.")

    @property
    def protocol(self) -> str:
        """What counts as right, in words."""
        parts = [str(self.truth), str(self.left_out)]
        parts += ["the best image of each panorama counts"] if self.one_per_panorama else []
        return "; ".join([*parts, self.remark] if self.remark else parts)

    @property
    def database_sources(self) -> Sequence[Path | View]:
        """What of the database is described: whole photos, or views of them."""
        return [image.path for image in self.database] if self.database_views is None else self.database_views

    @property
    def query_sources(self) -> Sequence[Path | View]:
        """What of the queries is described: whole photos, or views of them."""
        return [image.path for image in self.queries] if self.query_views is None else self.query_views

    def positives(self) -> Rows:
        """The right rows of the database for each query; those that it must do without may be among them."""
        return self.truth.positives(self.queries, self.database)

    def excluded(self) -> Rows:
        """The rows of the database that each query must do without."""
        return self.left_out.rows(self.queries, self.database)

    def junk(self) -> Rows:
        """The rows of the database that are neither right nor wrong for each query: a ranking is scored without them."""
        if isinstance(self.truth, Relevant):
            return self.truth.junk
        return tuple(np.empty(0, np.int64) for _ in self.queries)
