"""A dataset: a database, queries, and the protocol that says what is right."""

from dataclasses import dataclass, field

from sameplace.datasets.truth import NOTHING, LeaveOut, Rows, Truth
from sameplace.images import ImageRecord


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
    keeps: object = field(default=None, repr=False)
    """Whatever must live as long as the dataset, such as a temporary folder."""

    @property
    def protocol(self) -> str:
        """What counts as right, in words."""
        parts = [str(self.truth), str(self.left_out)] + ([self.remark] if self.remark else [])
        return "; ".join(parts)

    def positives(self) -> Rows:
        """The right rows of the database for each query, less those that it must do without."""
        return self.truth.positives(self.queries, self.database)

    def excluded(self) -> Rows:
        """The rows of the database that each query must do without."""
        return self.left_out.rows(self.queries, self.database)
