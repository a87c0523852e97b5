"""An unpacked archive: what the folder of a benchmark must hold, and one sentence for what is missing there."""

import csv
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import count
from pathlib import Path

from sameplace.errors import DatasetError
from sameplace.images import SUFFIXES, ImageRecord


@dataclass(frozen=True)
class Archive:
    """A benchmark where it was unpacked."""

    name: str
    root: Path
    obtain: str
    """Where it comes from, as it follows the word "get"."""

    def inside(self, holds: str, *names: str) -> "Archive":
        """The archive itself where it holds an entry called `holds`, or else a folder in it with one of those names which does.

        So a user may name the folder of the dataset, or the one above it.
        """
        spellings = {_spelling(name) for name in names}
        below = sorted(path for path in self.root.iterdir() if _spelling(path.name) in spellings)
        for root in (self.root, *below):
            if (root / holds).exists():
                return Archive(self.name, root, self.obtain)
        raise self.error(holds, f"none, nor in a folder {' or '.join(names)} there" if names else "none")

    def error(self, expected: str, found: str) -> DatasetError:
        """The sentence on what is missing."""
        return DatasetError(f"{self.name} at {self.root}: expected {expected}, found {found}; get {self.obtain}.")

    def file(self, name: str) -> Path:
        """A file that must be there."""
        if not (self.root / name).is_file():
            raise self.error(f"a file {name}", "none")
        return self.root / name

    def text(self, name: str) -> str:
        """What a text file says that must be there."""
        try:
            return self.file(name).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.error(f"text in {name}", f"a byte that is none, number {error.start:,} ({error.reason})") from None

    def table(self, name: str) -> list[dict[str, str | None]]:
        """The rows of a csv file that must be there; a cell is None where its row is cut short."""
        try:
            return list(csv.DictReader(StringIO(self.text(name))))
        except csv.Error as error:
            raise self.error(f"a table in {name}", f"a damaged one ({error})") from None

    def folder(self, name: str) -> Path:
        """A folder that must be there."""
        if not (self.root / name).is_dir():
            raise self.error(f"a folder {name}", "none")
        return self.root / name

    def images(self, folder: str) -> list[Path]:
        """The images right in a folder, in the natural order of their names: image2 before image10."""
        names = [entry.name for entry in os.scandir(self.folder(folder)) if Path(entry.name).suffix.lower() in SUFFIXES]
        names = [name for name in names if not name.startswith(".")]
        if not names:
            raise self.error(f"images in {folder}", "none")
        return [self.root / folder / name for name in sorted(names, key=natural)]

    def frames(self, folder: str, numbers: Sequence[int] | None = None) -> dict[int, Path]:
        """The images of a folder by the number at the end of their names, ascending; just those numbers, where they are given."""
        frames: dict[int, Path] = {}
        for path in self.images(folder):
            number = re.search(r"([0-9]+)$", path.stem)
            if number is None:
                raise self.error(f"images named by their numbers in {folder}", path.name)
            if int(number[1]) in frames:
                raise self.error(f"one image {int(number[1])} in {folder}", f"{frames[int(number[1])].name} and {path.name}")
            frames[int(number[1])] = path
        if numbers is not None and frames.keys() != set(numbers):
            what = f"{len(numbers):,} images in {folder}, {numbers[0]} to {numbers[-1]}"
            missing = [number for number in numbers if number not in frames]
            odd = sorted(frames.keys() - set(numbers))
            raise self.error(what, f"{len(frames):,} ({missing[0]} is missing)" if missing else f"an image {odd[0]} besides")
        return dict(sorted(frames.items()))

    def sequence(self, folder: str) -> list[Path]:
        """The images of a folder whose numbers count from 0 without a gap, in their order."""
        frames = self.frames(folder)
        first_gap = next(number for number in count() if number not in frames)
        if first_gap != len(frames):
            raise self.error(f"images numbered from 0 without a gap in {folder}", f"{len(frames):,} ({first_gap} is missing)")
        return list(frames.values())


def records(paths: Iterable[Path]) -> tuple[ImageRecord, ...]:
    """Images of which nothing is known but where they lie."""
    return tuple(ImageRecord(path=path) for path in paths)


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts names as people count.

    >>> sorted(["image10.jpg", "image9.jpg"], key=natural)
    ['image9.jpg', 'image10.jpg']
    """
    parts = re.split(r"([0-9]+)", name)  # every second part is a number, so that like is compared with like
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _spelling(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
