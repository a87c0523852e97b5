"""Any folder of photos as a dataset: `database/` and `queries/`, or one set in which each photo asks for the others."""

from pathlib import Path

from sameplace.datasets.dataset import Dataset
from sameplace.datasets.truth import LeaveOut, WithinMetres
from sameplace.errors import DatasetError
from sameplace.images import ImageRecord, ImageSet
from sameplace.images.table import TABLE_NAME

DATABASE, QUERIES = "database", "queries"


def load_folder(folder: str | Path, *, radius: float = 25.0, burst: bool = False) -> Dataset:
    """A folder with `database/` and `queries/`, or any set of photos, of which each in turn asks and does without itself.

    Positions come from positions.csv, file names or EXIF. A query never finds its own panorama or its own file again; with `burst`
    neither what was taken within 1 m or 60 s of it. `radius` is in metres.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder}; give a folder of photos, or a name from `sameplace show datasets`.")
    left_out = LeaveOut(content=True, panorama=True, burst=burst)
    if (folder / QUERIES).is_dir():
        if not (folder / DATABASE).is_dir():
            raise DatasetError(
                f"{folder} has a folder {QUERIES} but no folder {DATABASE} beside it; put the geotagged photos there."
            )
        database, unplaced, tables = _placed(folder / DATABASE)
        queries, unplaced_queries, query_tables = _placed(folder / QUERIES)
        unplaced += unplaced_queries
        tables += query_tables
    else:
        database, unplaced, tables = _placed(folder)
        queries = database
        if len(database) < 2:
            raise DatasetError(f"{folder} holds one photo with a position; leave-one-out needs two or more.")
    return Dataset(
        name=folder.resolve().name,
        database=database,
        queries=queries,
        truth=WithinMetres(radius),
        left_out=left_out,
        remark=_remark(leave_out=queries is database, unplaced=unplaced, tables=tables),
    )


def _remark(leave_out: bool, unplaced: int, tables: list[str]) -> str:
    parts = ["each photo asks for the others"] if leave_out else []
    parts += [f"{unplaced} photos without a position or unreadable were left out"] if unplaced else []
    parts += [table.rstrip(".") for table in tables[:1]]
    return "; ".join(parts)


def _placed(folder: Path) -> tuple[tuple[ImageRecord, ...], int, list[str]]:
    """The photos below a folder whose position is known, how many others there are, and what is wrong with a positions.csv."""
    images = ImageSet.open(folder)
    records = images.records()
    placed = tuple(record for record in records if record.position is not None)
    if not placed:
        reasons = [problem.reason for problem in images.problems] + [record.why_unplaced for record in records]
        why = reasons[0] if reasons else "There is no photo at all."
        raise DatasetError(f"No photo below {folder} has a known position. {why}")
    tables = [problem.reason for problem in images.problems if Path(problem.path).name.lower() == TABLE_NAME]
    return placed, len(images.files) - len(placed), tables
