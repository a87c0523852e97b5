"""Where a benchmark's images lie, when it lists them by name or when whoever packed it chose the folders."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from sameplace.datasets.archive import Archive
from sameplace.errors import DatasetError
from sameplace.images import SUFFIXES

LISTS = ("", "datasets", "raw", "raw_data", "raw_data/datasets")
"""Where the .mat files of NetVLAD's splits lie, for the public repositories that read them."""


def homes(root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The root itself, then the folders in it that carry one of a dataset's names, however it is spelt."""
    wanted = {_spelling(name) for name in names}
    return (root, *sorted(path for path in root.iterdir() if _spelling(path.name) in wanted and path.is_dir()))


def beside_images(archive: Archive, file: str, names: Sequence[str], split: str) -> tuple[Archive, Path]:
    """The .mat file of a split, and the archive where it and the images lie; DatasetError where there is none."""
    for home in homes(archive.root, names):
        for folder in LISTS:
            if (home / folder / file).is_file():
                return Archive(archive.name, home, archive.obtain), home / folder / file
    raise archive.error(f"a file {file} beside the images, or a folder images/{split}/database", "neither")


def images_below(folder: Path) -> tuple[Path, ...]:
    """Every image in a folder and its sub-folders, in order of their paths; hidden ones are passed over."""
    return tuple(sorted(_images(folder)))


def listed_images(
    archive: Archive, folders: Sequence[str], names: Sequence[str], what: str, suffixes: Sequence[str] = ()
) -> tuple[Path, ...]:
    """The images that a list names, below the first of some folders that holds any of them; otherwise as `resolve`."""
    if not names:
        raise archive.error(f"a list of {what}", "an empty one")
    base = next((archive.root / folder for folder in folders if _holds_some(archive.root / folder, names)), None)
    if base is None:
        places = " or ".join(folder or "the folder itself" for folder in folders[:2])
        raise archive.error(f"{len(names):,} {what} in {places}, such as {names[0]}", "none")
    return resolve(base, names, what=f"{what} of {archive.name}", obtain=archive.obtain, suffixes=suffixes)


def resolve(base: Path, names: Sequence[str], *, what: str, obtain: str, suffixes: Sequence[str] = ()) -> tuple[Path, ...]:
    """The paths of images that a benchmark names, in its order, each folder looked into once.

    `suffixes` are those that a file may have instead of the one that is named. DatasetError where an image is missing.
    """
    there: dict[str, frozenset[str]] = {}
    found: list[Path] = []
    missing: list[str] = []
    for name in names:
        parent, _, file = name.rpartition("/")
        if parent not in there:
            there[parent] = _files(base / parent)
        stem = file.rpartition(".")[0]
        present = [other for other in (file, *(stem + suffix for suffix in suffixes)) if other in there[parent]]
        if present:
            found.append(base / parent / present[0])
        else:
            missing.append(name)
    if missing:
        raise DatasetError(f"{base}: expected {len(names):,} {what}, found {len(found):,} ({missing[0]} is missing); get {obtain}.")
    return tuple(found)


def _holds_some(base: Path, names: Sequence[str]) -> bool:
    tops = {PurePosixPath(name).parts[0] for name in names}
    return any((base / top).exists() for top in tops)


def _images(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if f".{name.rpartition('.')[2].lower()}" in SUFFIXES and not name.startswith("."):
                yield Path(parent, name)


def _files(folder: Path) -> frozenset[str]:
    """The names of what is in a folder; nothing where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def _spelling(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
