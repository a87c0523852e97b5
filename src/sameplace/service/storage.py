"""The folder of added photos: each in a folder of its own, under a name of ours, with its position beside it.

`sameplace index UPLOADS --to ATLAS` reads it as any folder of photos. A photo is written under a hidden name, made durable and then
renamed, so that one that is there is whole.
"""

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from sameplace.atlas import disk
from sameplace.errors import AtlasError
from sameplace.images.table import TABLE_NAME

PHOTO = "photo.jpg"
LOCK = ".lock"
PART = ".part-"


class Storage:
    """One process' hold on the folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is missing, and drop what an earlier process left half-written."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK, timeout=0)
            self._lock.acquire()
            for shelf in folder.glob("[0-9a-f][0-9a-f]"):
                for part in shelf.glob(f"{PART}*"):
                    self.discard(part)
        except Timeout:
            raise AtlasError(f"Another service keeps photos in {folder}; give this one another folder.") from None
        except OSError as error:
            raise disk.told(error, folder) from error

    def keep(self, picture: bytes, row: Mapping[str, str]) -> Path:
        """Store a picture and what is known of it, durably; returns its folder."""
        name = uuid4().hex
        shelf = self.folder / name[:2]
        part, kept = shelf / f"{PART}{name}", shelf / name
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, ["file", *row])
        writer.writeheader()
        writer.writerow({"file": PHOTO, **row})
        try:
            if not shelf.is_dir():
                shelf.mkdir(exist_ok=True)
                disk.sync_folder(self.folder)
            disk.make_folder(part)
            for file, content in ((PHOTO, picture), (TABLE_NAME, table.getvalue().encode("utf-8"))):
                with disk.NewFile(part / file) as stream:
                    stream.write(content)
            disk.sync_folder(part)
            disk.replace(part, kept)
            disk.sync_folder(shelf)
        except OSError as error:
            self.discard(part)
            raise disk.told(error, self.folder) from error
        return kept

    def holds(self, photo: str) -> bool:
        """Whether a photo was stored here."""
        return Path(photo).is_relative_to(self.folder) and Path(photo).name == PHOTO

    def discard(self, kept: Path) -> None:
        """Remove a stored photo; what cannot be removed stays and does no harm."""
        with suppress(OSError):
            for file in kept.iterdir():
                disk.remove(file)
            disk.remove_folder(kept)
            disk.sync_folder(kept.parent)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.release()
