"""The folder that images are fetched into: pictures, positions.csv and ATTRIBUTION.md, each whole at any moment.

A picture is written beside its place, made durable and then renamed; a killed process leaves whole pictures, or none.
"""

import csv
import io
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sameplace.datasets.mapillary.attribution import HEADING, attribution
from sameplace.datasets.mapillary.image import COLUMNS, SITE, Size, StreetImage
from sameplace.errors import DatasetError, PositionError
from sameplace.images.table import TABLE_NAME, read_table

IMAGES, ATTRIBUTION = "images", "ATTRIBUTION.md"
HIDDEN, JOURNAL, LOCK = ".mapillary", "search.jsonl", "lock"


class Album:
    """A folder of images from Mapillary, and whatever else the user keeps there."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder = folder
        self._size = size
        self._lock = threading.Lock()
        self.present = self._sizes()
        """Bytes of each picture that is there, by the image's number."""
        self._rows = self._read_rows()
        self.unsaved = 0
        """Pictures that positions.csv does not name yet."""

    @property
    def journal(self) -> Path:
        """Where a search is recorded."""
        return self.folder / HIDDEN / JOURNAL

    def adopt(self, image: StreetImage, size: Size) -> None:
        """Give a picture that is there its row, where an earlier run was killed before it could."""
        if image.id in self.present and image.file not in self._rows:
            self._rows[image.file] = image.row(size)
            self.unsaved += 1

    def check(self) -> None:
        """DatasetError where pictures of another size are there."""
        for row in self._rows.values():
            if _is_ours(row) and row.get("size") not in (self._size, None):
                raise DatasetError(
                    f"{self.folder} holds images of size {row['size']}, but size {self._size} was asked for; "
                    f"fetch with --size {row['size']}, or into another folder."
                )

    def add(self, image: StreetImage, picture: bytes) -> None:
        """Keep a picture; whole and durable on return, whichever thread asks."""
        _replace(self.folder / image.file, self._part(image.id), picture)
        with self._lock:
            self.present[image.id] = len(picture)
            self._rows[image.file] = image.row(self._size)
            self.unsaved += 1

    def save(self) -> None:
        """Write positions.csv and ATTRIBUTION.md anew."""
        with self._lock:
            rows = dict(sorted(self._rows.items()))
            _sync(self.folder / IMAGES)  # a row is durable only after its picture's name
            _replace(self.folder / TABLE_NAME, self._part(TABLE_NAME), _table(rows))
            text = attribution([row for row in rows.values() if _is_ours(row)])
            _replace(self.folder / ATTRIBUTION, self._part(ATTRIBUTION), text.encode())
            _sync(self.folder)
            self.unsaved = 0

    def contributors(self) -> int:
        """How many people took the images that are there."""
        return len({row["creator"] for row in self._rows.values() if _is_ours(row) and row.get("creator")})

    def _part(self, name: str) -> Path:
        return self.folder / HIDDEN / f"{name}.part"

    def _sizes(self) -> dict[str, int]:
        with os.scandir(self.folder / IMAGES) as entries:
            named = [entry for entry in entries if entry.name.endswith(".jpg") and entry.name[:-4].isdigit()]
            sizes = {entry.name[:-4]: entry.stat().st_size for entry in named}
        return {name: size for name, size in sizes.items() if size}  # an empty one is what a power cut leaves

    def _read_rows(self) -> dict[str, dict[str, str]]:
        """What positions.csv says, whoever wrote it, without rows of our own whose picture has gone."""
        table = self.folder / TABLE_NAME
        rows: dict[str, dict[str, str]] = {}
        for row in read_table(table) if table.exists() else ():
            if row.broken:
                raise PositionError(f"Line {row.line} of {table} is broken, {row.broken}; mend it, or fetch into another folder.")
            rows[row.file] = {"file": row.file, **(json.loads(row.cells) if row.cells else {})}
        return {file: row for file, row in rows.items() if not _is_ours(row) or Path(file).stem in self.present}


@contextmanager
def opened(folder: Path, size: Size) -> Iterator[Album]:
    """Be the one who fetches into a folder, which is made if it is missing; DatasetError where someone else is."""
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"A folder to fetch into was wanted, but {folder} is a file; name another one.")
    notice = folder / ATTRIBUTION
    if notice.exists() and not notice.read_bytes().startswith(HEADING.encode()):
        raise DatasetError(f"{notice} was not written by sameplace, and would be lost; fetch into another folder.")
    is_new = not folder.exists()
    for part in (IMAGES, HIDDEN):
        (folder / part).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / HIDDEN / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DatasetError(f"Another sameplace fetches into {folder}; wait until it has finished.") from None
    try:
        for leftover in (folder / HIDDEN).glob("*.part"):
            leftover.unlink()
        yield Album(folder, size)
    finally:
        if is_new:
            _tidy(folder)
        lock.release()


def _tidy(folder: Path) -> None:
    """Leave no empty folders behind where nothing was found."""
    if (folder / HIDDEN / JOURNAL).exists():
        return
    with suppress(OSError):
        (folder / IMAGES).rmdir()  # fails where there is anything in it, and then all of it stays
        (folder / HIDDEN / LOCK).unlink(missing_ok=True)
        (folder / HIDDEN).rmdir()
        folder.rmdir()


def _is_ours(row: Mapping[str, str]) -> bool:
    return row.get("link", "").startswith(SITE)


def _table(rows: Mapping[str, Mapping[str, str]]) -> bytes:
    others = sorted({column for row in rows.values() for column in row} - set(COLUMNS))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*COLUMNS, *others], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue().encode()


def _replace(path: Path, part: Path, content: bytes) -> None:
    """Put a whole file in the place of what is there, in one step."""
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Make durable which names a folder holds."""
    if os.name == "nt":  # Windows syncs no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
