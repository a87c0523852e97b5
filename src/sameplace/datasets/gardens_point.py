"""Gardens Point Walking: one walk over a campus in Brisbane, filmed three times, by day on either side and by night."""

import re
from functools import partial
from pathlib import Path

from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import WithinFrames
from sameplace.errors import DatasetError
from sameplace.images import SUFFIXES, ImageRecord

FRAMES = 200
TOLERANCE = 2
OBTAIN = "day_left, day_right and night_right with 200 images each: search for 'Gardens Point Walking dataset' (A. Glover, QUT)"


def load_gardens_point(root: Path, name: str, queries: str) -> Dataset:
    """The walk on the right by day is the database; frame i of every walk shows the same place, give or take two.

    Queries night_right are the protocol of AnyLoc's table, day_left another; public code of TU Chemnitz counts the very frame, or 8
    either way. The layout is that of zenodo.org/record/4590133, which the public repository AnyLoc/AnyLoc reads
    (custom_datasets/gardens.py), there with a gardens_gt.npy that says the same. Source: Glover, Day and Night with Lateral Pose
    Change Datasets, 2014.
    """
    folder = _folder(root)
    return Dataset(
        name=name,
        database=_walk(folder / "day_right"),
        queries=_walk(folder / queries),
        truth=WithinFrames(TOLERANCE),
        remark=f"queries {queries}, database day_right",
    )


def _folder(root: Path) -> Path:
    """The root itself, or the folder in it that holds the three walks."""
    candidates = [root, *(sorted(root.iterdir()) if root.is_dir() else [])]
    for folder in candidates:
        if (folder / "day_right").is_dir():
            return folder
    raise DatasetError(f"Gardens Point was not found at {root}: no folder day_right there; get {OBTAIN}.")


def _walk(folder: Path) -> tuple[ImageRecord, ...]:
    """The frames of one walk, in the order of their numbers."""
    if not folder.is_dir():
        raise DatasetError(f"Gardens Point at {folder.parent} has no folder {folder.name}; get {OBTAIN}.")
    frames: dict[int, Path] = {}
    for path in folder.iterdir():
        number = re.search(r"(\d+)$", path.stem)
        if number and path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            frames[int(number[1])] = path
    if sorted(frames) != list(range(FRAMES)):
        missing = sorted(set(range(FRAMES)) - set(frames))
        what = f"frame {missing[0]} is missing" if missing else f"there are frames up to {max(frames)}"
        raise DatasetError(f"{folder}: expected {FRAMES} frames, 0 to {FRAMES - 1}, found {len(frames)} ({what}); get {OBTAIN}.")
    return tuple(ImageRecord(path=frames[number]) for number in range(FRAMES))


def _entry(name: str, queries: str) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=f"{queries} asks, day_right is the database; right within {TOLERANCE} frames",
        database=FRAMES,
        queries=FRAMES,
        reference="Glover, Day and Night with Lateral Pose Change Datasets, QUT 2014",
        obtain=OBTAIN,
        load=partial(load_gardens_point, name=name, queries=queries),
    )


ENTRIES = (_entry("gardens-point", "night_right"), _entry("gardens-point-day", "day_left"))
