"""Descriptors on disk, in one SQLite file that several processes may share; whatever happens to it costs time and never a result.

The file `descriptors-2.sqlite` holds four tables. `models`: what a descriptor depends on besides the image, as JSON. `entries`:
which image content was described by which model, and when that was last asked for (seconds since 1970). `descriptors`: the numbers
as little-endian float32, with the CRC-32 of model, content and numbers. `files`: the content hash of files by path, size and times.
"""

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from sameplace.shapes import Array, Bool, Float32

FILE = "descriptors-2.sqlite"
FORMAT_VERSION = 2
SCHEMA = """
CREATE TABLE models (model INTEGER PRIMARY KEY, said TEXT UNIQUE NOT NULL);
CREATE TABLE descriptors (descriptor INTEGER PRIMARY KEY, numbers BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE entries (model INTEGER NOT NULL, content BLOB NOT NULL, descriptor INTEGER NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (model, content)) WITHOUT ROWID;
CREATE INDEX entries_used ON entries (used);
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    content BLOB NOT NULL, checksum INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
"""
PAGE_BYTES = 16_384
ASKED_AT_ONCE = 500
EVICTED_AT_ONCE = 256
KEPT_AFTER_EVICTION = 0.9
SECONDS_TO_WAIT = 30.0
USE_IS_NEWS_AFTER = 3600  # seconds; a note of every use would make a write of every read
# A file that was changed a moment ago may change again within the same tick of its clock (2 s on FAT).
SETTLED_AFTER_NS = 2_000_000_000
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a folder says of a file: while it stays, the content is taken to stay."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    """When the file itself was last changed, which no program can set back (on Windows: when it was made)."""


class Store:
    """An open file of descriptors, for one thread at a time. `tell` hears, in a sentence, why nothing can be kept."""

    def __init__(self, folder: Path, limit_bytes: int, tell: Callable[[str], None]) -> None:
        self.path = folder / FILE
        self.limit_bytes = limit_bytes
        self.tell = tell
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._readable = self._writable = True
        self._replaced = False

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read(
        self, model: str, contents: Sequence[bytes], dim: int
    ) -> tuple[Float32[Array, "contents dim"], Bool[Array, " contents"]]:
        """The descriptors of some contents, and which of them are known; the rows of the others are zero."""
        descriptors, known = np.zeros((len(contents), dim), np.float32), np.zeros(len(contents), bool)
        places: dict[bytes, list[int]] = {}
        for row, content in enumerate(contents):
            places.setdefault(content, []).append(row)

        def work(connection: sqlite3.Connection) -> None:
            spoilt, stale = [], []
            wanted = "SELECT content, descriptor, numbers, checksum, used FROM entries JOIN descriptors USING (descriptor)"
            for part, marks in _parts(list(places)):
                where = f"WHERE model = (SELECT model FROM models WHERE said = ?) AND content IN ({marks})"
                for content, descriptor, numbers, checksum, used in connection.execute(f"{wanted} {where}", (model, *part)):
                    if checksum != _checksum(model.encode(), content, numbers) or len(numbers) != 4 * dim:
                        spoilt.append((descriptor,))
                        continue
                    descriptors[places[content]] = np.frombuffer(numbers, "<f4")
                    known[places[content]] = True
                    if used < time.time() - USE_IS_NEWS_AFTER:
                        stale.append((int(time.time()), model, content))
            if spoilt or stale:
                self._write(lambda connection: self._tidy(connection, spoilt, stale))

        self._attempt(work, None)
        return descriptors, known

    def write(self, model: str, described: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep descriptors, each as its content's hash and its bytes; the least recently used ones make room for them."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR IGNORE INTO models (said) VALUES (?)", (model,))
            (number,) = connection.execute("SELECT model FROM models WHERE said = ?", (model,)).fetchone()
            for content, numbers in described:
                if connection.execute("SELECT 1 FROM entries WHERE model = ? AND content = ?", (number, content)).fetchone():
                    continue  # another process was quicker
                row = (numbers, _checksum(model.encode(), content, numbers))
                descriptor = connection.execute("INSERT INTO descriptors (numbers, checksum) VALUES (?, ?)", row).lastrowid
                connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", (number, content, descriptor, int(time.time())))

        if described:
            self._write(work)

    def contents(self, stamps: Sequence[Stamp]) -> dict[str, bytes]:
        """The content hashes, by path, of files that are as they were when these were taken."""
        found: dict[str, bytes] = {}
        wanted = {stamp.path: stamp for stamp in stamps}

        def work(connection: sqlite3.Connection) -> None:
            stale = []
            for part, marks in _parts(list(wanted)):
                rows = connection.execute(
                    f"SELECT path, size, mtime_ns, ctime_ns, content, checksum, used FROM files WHERE path IN ({marks})", part
                )
                for path, size, mtime_ns, ctime_ns, content, checksum, used in rows:
                    stamp = Stamp(path=path, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)
                    if stamp == wanted[path] and checksum == _checksum(repr(stamp).encode(), content):
                        found[path] = content
                        if used < time.time() - USE_IS_NEWS_AFTER:
                            stale.append((int(time.time()), path))
            if stale:
                self._write(lambda connection: connection.executemany("UPDATE files SET used = ? WHERE path = ?", stale))

        self._attempt(work, None)
        return found

    def remember(self, contents: Sequence[tuple[Stamp, bytes]]) -> None:
        """Keep the content hashes of files, but of those that may still be changing."""
        now = int(time.time())
        rows = [
            (stamp.path, stamp.size, stamp.mtime_ns, stamp.ctime_ns, content, _checksum(repr(stamp).encode(), content), now)
            for stamp, content in contents
            if stamp.mtime_ns < time.time_ns() - SETTLED_AFTER_NS
        ]
        if rows:
            self._write(
                lambda connection: connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            )

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """One transaction, and room for it; where the disk refuses, nothing is written from then on."""

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                work(connection)
            if _bytes_in_use(connection) > self.limit_bytes:
                with _transaction(connection):
                    self._evict(connection)
                connection.execute("PRAGMA incremental_vacuum").fetchall()

        if self._writable:
            self._attempt(write, None, writes=True)

    def _tidy(self, connection: sqlite3.Connection, spoilt: Sequence[tuple[int]], used: Sequence[tuple[int, str, bytes]]) -> None:
        connection.executemany("DELETE FROM entries WHERE descriptor = ?", spoilt)
        connection.executemany("DELETE FROM descriptors WHERE descriptor = ?", spoilt)
        which = "model = (SELECT model FROM models WHERE said = ?) AND content = ?"
        connection.executemany(f"UPDATE entries SET used = ? WHERE {which}", used)

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Drop what was not used for longest, until there is room again."""
        while _bytes_in_use(connection) > KEPT_AFTER_EVICTION * self.limit_bytes:
            oldest = connection.execute("SELECT model, content, descriptor FROM entries ORDER BY used LIMIT ?", (EVICTED_AT_ONCE,))
            rows = oldest.fetchall()
            if not rows:
                connection.execute("DELETE FROM files")
                return
            connection.executemany("DELETE FROM entries WHERE model = ? AND content = ?", [row[:2] for row in rows])
            connection.executemany("DELETE FROM descriptors WHERE descriptor = ?", [row[2:] for row in rows])
        connection.execute("DELETE FROM files WHERE used < (SELECT min(used) FROM entries)")

    def _attempt(self, work: Callable[[sqlite3.Connection], T], otherwise: T, *, writes: bool = False) -> T:
        """What the work gives; a broken file is replaced once by an empty one, any other trouble is told once."""
        if not self._readable:
            return otherwise
        try:
            return work(self._open())
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in BROKEN and not self._replaced and self._replace():
                return self._attempt(work, otherwise, writes=writes)
            self._writable = False
            self._readable = writes and self._connection is not None
            self.tell(
                f"Descriptors cannot be kept in {self.path.parent} ({error}), so they are computed anew next time; "
                f"free some space there, or let SAMEPLACE_CACHE name another folder."
            )
            return otherwise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch()
            self._inode = self.path.stat().st_ino
            # No write-ahead log: it needs memory that all processes share, which network file systems do not give.
            connection = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _replace(self) -> bool:
        """Put the broken file away, unless another process has done so; False where it cannot be."""
        self.close()
        self._replaced = True
        try:
            if self.path.stat().st_ino == self._inode:
                self.path.with_name(f"{FILE}-journal").unlink(missing_ok=True)
                self.path.unlink()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file."""
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,):
        return
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with _transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,):
            return  # another process was quicker
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    (pages,), (free,) = (connection.execute(f"PRAGMA {count}").fetchone() for count in ("page_count", "freelist_count"))
    return int(pages - free) * PAGE_BYTES


def _parts(values: Sequence[T]) -> Iterator[tuple[list[T], str]]:
    """The values in parts that one question can hold, each with its question marks."""
    rest = iter(values)
    while part := list(islice(rest, ASKED_AT_ONCE)):
        yield part, ", ".join("?" * len(part))


def _checksum(*parts: bytes) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum
