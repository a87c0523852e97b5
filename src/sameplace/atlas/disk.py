"""The one door to the disk: all that an atlas writes, makes durable, renames or removes goes through here.

A file is durable once it is synced; a name (of a new, renamed or removed file) is durable once the folder that holds it is synced.
Until then a power cut may undo it, in any order. Everything above reasons with these two rules alone, and the tests replay every
prefix of what passes here under them.
"""

import errno
import os
from pathlib import Path
from types import TracebackType

from sameplace.errors import AtlasError


class NewFile:
    """A file that did not exist, written from start to end; leaving the `with` block makes its content durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb")

    def write(self, data: bytes) -> int:
        """Append."""
        return self._file.write(data)

    def __enter__(self) -> "NewFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            self._file.close()


def make_folder(path: Path) -> None:
    """Make one folder, whose parent exists."""
    path.mkdir()


def sync_folder(path: Path) -> None:
    """Make durable which names the folder holds."""
    if os.name == "nt":  # Windows syncs no folders; NTFS journals names by itself
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def replace(old: Path, new: Path) -> None:
    """Rename, in one step, over what has the new name."""
    old.replace(new)


def remove(path: Path) -> None:
    """Remove one file."""
    path.unlink()


def remove_folder(path: Path) -> None:
    """Remove one empty folder."""
    path.rmdir()


def told(error: OSError, folder: Path) -> AtlasError:
    """What went wrong on the disk, in one sentence with its cure."""
    safe = "everything committed before is safe"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AtlasError(f"The disk of the atlas {folder} is full; {safe}: free some space and run it again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AtlasError(
            f"The atlas {folder} may not be written ({error.strerror}); {safe}: ask for the right to write, or write elsewhere."
        )
    return AtlasError(
        f"The atlas {folder} could not be written ({error.strerror or error}); {safe}: look after the disk and run it again."
    )
