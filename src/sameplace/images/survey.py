"""The walk over folders and tables that finds photos, and which row speaks of each; no photo is opened.

Paths are strings here: pathlib would take longer than the disk for folders of many thousand photos.
"""
# ruff: noqa: PTH100, PTH109, PTH112, PTH113, PTH116, PTH118, PTH120, PTH122

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sameplace.errors import PositionError
from sameplace.images.reading import SUFFIXES
from sameplace.images.table import TABLE_NAME, read_table


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A file as the folder shows it, not opened: equal files need not be looked at again."""

    path: str
    """Absolute."""
    size: int
    """Bytes."""
    mtime_ns: int
    row: str = ""
    """What a positions.csv says of it, in a form that is equal for equal rows."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A photo, or another file, that could not be used, and why."""

    path: str
    reason: str


class Survey:
    """What has been found so far."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.origins: dict[str, str] = {}
        """Where the row of a photo stands, for messages."""
        self._found: dict[str, tuple[int, int]] = {}
        self._rows: dict[str, str] = {}

    def files(self) -> list[ImageFile]:
        """The photos found, each with its row."""
        return [
            ImageFile(path=path, size=size, mtime_ns=mtime_ns, row=self._rows.get(path, ""))
            for path, (size, mtime_ns) in self._found.items()
        ]

    def include(self, sources: Sequence[str], *, ask_tables: bool = True) -> None:
        """Add photos, folders and CSVs, given by absolute paths; the more a source says on purpose, the later it speaks.

        Unless `ask_tables`, a table that just lies there is not read.
        """
        folders = [path for path in sources if os.path.isdir(path)]
        tables = [path for path in sources if path.lower().endswith(".csv") and os.path.isfile(path)]
        others = {*folders, *tables}
        photos = [path for path in sources if path not in others]
        for path in photos:
            self._add(path)
        for folder in sorted({os.path.dirname(path) for path in photos}) if ask_tables else ():
            if os.path.isfile(table := os.path.join(folder, TABLE_NAME)):
                self.place(table, (folder,), named=False, known_only=True, complain=False)
        for folder in folders:
            lying = self._walk(folder)
            for table in lying if ask_tables else ():
                self.place(table, (os.path.dirname(table),), named=False)
        for table in tables:
            self.place(table, (os.path.dirname(table),))

    def place(
        self, table: str, folders: Sequence[str], *, named: bool = True, known_only: bool = False, complain: bool = True
    ) -> None:
        """Let a table speak of its photos, whose paths start at one of the folders; it adds photos unless `known_only`.

        One that is no table raises PositionError where the user named it, and is a problem where it just lay there.
        """
        lines: dict[str, int] = {}
        try:
            rows = list(read_table(Path(table)))
        except PositionError as error:
            if named:
                raise
            self.problems.append(Problem(path=table, reason=str(error)))
            return
        for row in rows:
            origin = f"Line {row.line} of {table}"
            if row.broken:
                self.problems.append(Problem(path=table, reason=f"{origin} is not used: {row.broken}."))
                continue
            places = [os.path.normpath(os.path.join(folder, row.file)) for folder in folders]
            path = next((place for place in places if place in self._found), None) or next(filter(os.path.isfile, places), None)
            if path is None:
                if complain:
                    self.problems.append(Problem(path=places[0], reason=f"{origin} names it, but there is no such file."))
            elif path in lines:
                self.problems.append(Problem(path=path, reason=f"{origin} is not used: line {lines[path]} names the same file."))
            elif path in self._found or (not known_only and self._add(path)):
                lines[path] = row.line
                self._rows[path] = row.cells
                self.origins[path] = origin

    def _walk(self, root: str) -> list[str]:
        """Add the photos of a folder; returns its tables, from the outermost in, so that the nearest one has the last word."""
        folders, links, tables, visited = [root], list[str](), list[str](), set[tuple[int, int]]()
        while folders or links:
            # Links last: a folder that is reached in two ways keeps its own name, and a loop of links ends.
            folder = folders.pop() if folders else links.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in visited:
                    continue
                visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError as error:
                self.problems.append(
                    Problem(path=folder, reason=f"The folder cannot be read ({error.strerror}); check its permissions.")
                )
                continue
            for entry in visible:
                if os.path.splitext(entry.name)[1].lower() in SUFFIXES and not _is_folder(entry):
                    self._add(entry.path)
                elif entry.name.lower() == TABLE_NAME:
                    tables.append(entry.path)
                elif _is_folder(entry):
                    (links if entry.is_symlink() else folders).append(entry.path)
        return tables

    def _add(self, path: str) -> bool:
        try:
            status = os.stat(path)
        except OSError as error:
            self.problems.append(Problem(path=path, reason=f"The file cannot be read ({error.strerror}); check the path."))
            return False
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            self.problems.append(Problem(path=path, reason="It is no file; give photos, folders or CSVs."))
            return False
        self._found[path] = status.st_size, status.st_mtime_ns
        return True


def absolute(path: str | Path) -> str:
    """A path that holds wherever the program goes; links stay, for people know their photos by these names."""
    return os.path.abspath(path)


def common_folder(sources: Sequence[str]) -> str:
    """The folder that all sources lie in, or are."""
    folders = [source if os.path.isdir(source) else os.path.dirname(source) for source in sources]
    return os.path.commonpath(folders) if folders else os.getcwd()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False
