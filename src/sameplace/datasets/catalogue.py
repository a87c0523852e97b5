"""The known datasets, gathered from their families, and how they are loaded by name."""

import tempfile
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from sameplace.datasets import (
    amstertime,
    anyloc,
    baidu,
    frames,
    gardens_point,
    heaputil,
    msls,
    nordland,
    patch_netvlad,
    pittsburgh,
    retrieval,
    tokyo,
    utm_sets,
    vpr_bench,
)
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.folder import load_folder
from sameplace.datasets.known import KnownDataset
from sameplace.errors import DatasetError


def _toytown(root: Path) -> Dataset:
    """The town that the root is, or the one below it, drawn there where it is missing."""
    from sameplace.datasets import toytown

    town = root if toytown.is_town(root) else root / "toytown"
    if not toytown.is_town(town):
        toytown.draw(town)
    return replace(load_folder(town), name="toytown")


TOYTOWN = KnownDataset(
    name="toytown",
    protocol="the second pass asks (night, rain, fog), the first is the database; right within 25 m",
    database=100,
    queries=100,
    reference="sameplace, a drawn town",
    obtain="nothing: it is drawn",
    load=_toytown,
    drawn=True,
)

FAMILIES: tuple[tuple[KnownDataset, ...], ...] = (
    amstertime.ENTRIES,
    anyloc.ENTRIES,
    baidu.ENTRIES,
    frames.ENTRIES,
    gardens_point.ENTRIES,
    heaputil.ENTRIES,
    msls.ENTRIES,
    nordland.ENTRIES,
    patch_netvlad.ENTRIES,
    pittsburgh.ENTRIES,
    retrieval.ENTRIES,
    tokyo.ENTRIES,
    utm_sets.ENTRIES,
    vpr_bench.ENTRIES,
    (TOYTOWN,),
)
KNOWN: tuple[KnownDataset, ...] = tuple(sorted((entry for family in FAMILIES for entry in family), key=lambda entry: entry.name))


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
    entries = {entry.name: entry for entry in KNOWN}
    if name not in entries:
        if not Path(name).is_dir():
            near = get_close_matches(name, entries, n=1)
            hint = f"did you mean {near[0]}?" if near else "`sameplace show datasets` lists the names."
            raise DatasetError(f"There is no dataset and no folder {name!r}: {hint}")
        return load_folder(name, radius=25.0 if radius is None else radius, burst=burst)
    if radius not in (None, 25.0) or burst:
        raise DatasetError(f"{name} has a protocol of its own, which radius and burst would change; leave them out.")
    return _load_known(entries[name], None if root is None else Path(root))


def _load_known(entry: KnownDataset, root: Path | None) -> Dataset:
    keeps = None
    if root is None:
        if not entry.drawn:
            raise DatasetError(f"{entry.name} needs a root, the folder where it lies; get {entry.obtain}.")
        keeps = tempfile.TemporaryDirectory(prefix=f"{entry.name}-")
        root = Path(keeps.name)
    elif not root.is_dir() and not entry.drawn:
        raise DatasetError(f"{entry.name} was expected at {root}, but there is no such folder; get {entry.obtain}.")
    dataset = entry.load(root)
    for what, expected, found in (
        ("database images", entry.database, len(dataset.database)),
        ("queries", entry.queries, len(dataset.queries)),
    ):
        if expected != found and not entry.counts_vary:
            raise DatasetError(f"{entry.name} at {root}: expected {expected:,} {what}, found {found:,}; get {entry.obtain}.")
    return dataset if keeps is None else replace(dataset, keeps=keeps)
