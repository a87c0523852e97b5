"""The known datasets: their protocols, their counts, and how they are loaded by name."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from sameplace.datasets.dataset import Dataset
from sameplace.datasets.folder import DATABASE, load_folder
from sameplace.datasets.gardens_point import OBTAIN, load_gardens_point
from sameplace.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class KnownDataset:
    """A benchmark that can be loaded by name."""

    name: str
    protocol: str
    database: int
    queries: int
    reference: str
    obtain: str


def _gardens_point_entry(name: str, queries: str) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=f"{queries} asks, day_right is the database; right within 2 frames",
        database=200,
        queries=200,
        reference="Glover, Day and Night with Lateral Pose Change Datasets, QUT 2014",
        obtain=OBTAIN,
    )


KNOWN = (
    _gardens_point_entry("gardens-point", "night_right"),
    _gardens_point_entry("gardens-point-day", "day_left"),
    KnownDataset(
        name="toytown",
        protocol="the second pass asks (night, rain, fog), the first is the database; right within 25 m",
        database=100,
        queries=100,
        reference="sameplace, a drawn town",
        obtain="nothing to get: it is drawn",
    ),
)


def known() -> tuple[KnownDataset, ...]:
    """Every dataset that can be loaded by name, with its protocol and counts."""
    return KNOWN


def load(
    name_or_folder: str | Path, *, root: str | Path | None = None, radius: float | None = None, burst: bool = False
) -> Dataset:
    """A known dataset that lies at `root`, or any folder of photos.

    `radius` (metres, 25 by default) and `burst` are for folders; a known dataset has a protocol of its own. Raises DatasetError
    where it is not there, or not whole.
    """
    name = str(name_or_folder)
    loader = LOADERS.get(name)
    if loader is None:
        if not Path(name).is_dir():
            near = get_close_matches(name, LOADERS, n=1)
            hint = f"did you mean {near[0]}?" if near else "`sameplace show datasets` lists the names."
            raise DatasetError(f"There is no dataset and no folder {name!r}: {hint}")
        return load_folder(name, radius=25.0 if radius is None else radius, burst=burst)
    if radius not in (None, 25.0) or burst:
        raise DatasetError(f"{name} has a protocol of its own, which radius and burst would change; leave them out.")
    dataset = loader(None if root is None else Path(root))
    wanted = next(entry for entry in KNOWN if entry.name == name)
    for what, expected, found in (
        ("database images", wanted.database, len(dataset.database)),
        ("queries", wanted.queries, len(dataset.queries)),
    ):
        if expected != found:
            raise DatasetError(f"{name}: expected {expected:,} {what}, found {found:,}; get {wanted.obtain}.")
    return dataset


def _gardens_point(name: str, queries: str) -> Callable[[Path | None], Dataset]:
    def loader(root: Path | None) -> Dataset:
        if root is None:
            raise DatasetError(f"{name} needs a root, the folder where it lies: {OBTAIN}.")
        return load_gardens_point(root, name, queries)

    return loader


def _toytown(root: Path | None) -> Dataset:
    """The town at the root, drawn there or in a temporary folder where it is missing."""
    temporary = None
    if root is None:
        temporary = tempfile.TemporaryDirectory(prefix="toytown-")
        root = Path(temporary.name)
    if not (root / DATABASE).is_dir():
        from sameplace.datasets import toytown

        toytown.draw(root)
    return replace(load_folder(root), name="toytown", keeps=temporary)


LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "gardens-point": _gardens_point("gardens-point", "night_right"),
    "gardens-point-day": _gardens_point("gardens-point-day", "day_left"),
    "toytown": _toytown,
}
