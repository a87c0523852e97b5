"""A segment: an immutable folder with some rows of an atlas, in plain numpy and JSON files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import nan
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sameplace.atlas import disk
from sameplace.atlas.manifest import SegmentEntry
from sameplace.errors import AtlasError
from sameplace.images import ImageFile, ImageRecord
from sameplace.shapes import Array, Float16, Float64, Int64

IMAGES = "images.jsonl"
COLUMNS: Mapping[str, str] = {
    "descriptors": "<f2",
    "positions": "<f8",
    "headings": "<f8",
    "times": "<f8",
    "contents": "<i8",
    "offsets": "<i8",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What an atlas knows of one image besides its numbers: one line of images.jsonl."""

    path: str
    size: int
    mtime_ns: int
    content: str
    row: str
    heading_deg: float | None
    time: str | None
    panorama: str | None
    place: str | None
    camera: str | None
    extra: Mapping[str, str]

    @classmethod
    def of(cls, file: ImageFile, content: str, record: ImageRecord) -> "Entry":
        """Gather what is known of a file whose content has this hash."""
        return cls(
            path=file.path,
            size=file.size,
            mtime_ns=file.mtime_ns,
            content=content,
            row=file.row,
            heading_deg=record.heading_deg,
            time=record.time.isoformat() if record.time else None,
            panorama=record.panorama,
            place=record.place,
            camera=record.camera,
            extra=dict(record.extra),
        )

    def is_still(self, file: ImageFile) -> bool:
        """Whether nothing about the file suggests a change."""
        return (self.size, self.mtime_ns, self.row) == (file.size, file.mtime_ns, file.row)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Some rows of a segment, in memory."""

    descriptors: Float16[Array, "rows dim"]
    positions: Float64[Array, "rows 2"]
    headings: Float64[Array, " rows"]
    times: Float64[Array, " rows"]
    contents: Int64[Array, " rows"]
    lines: Sequence[bytes]

    @classmethod
    def of(cls, entries: Sequence[Entry], positions: Float64[Array, "rows 2"], descriptors: Float16[Array, "rows dim"]) -> "Rows":
        """New rows, to be written."""
        return cls(
            descriptors=descriptors,
            positions=positions,
            headings=np.array([nan if entry.heading_deg is None else entry.heading_deg for entry in entries]),
            times=np.array([seconds(entry.time) for entry in entries]),
            contents=np.array([content_key(entry.content) for entry in entries], np.int64),
            lines=[json.dumps(asdict(entry), ensure_ascii=True).encode() + b"\n" for entry in entries],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A segment on disk, mapped: nothing is read before it is looked at, and it stays readable even when its files are removed."""

    folder: Path
    entry: SegmentEntry
    descriptors: Float16[Array, "rows dim"]
    positions: Float64[Array, "rows 2"]
    headings: Float64[Array, " rows"]
    times: Float64[Array, " rows"]
    contents: Int64[Array, " rows"]
    offsets: Int64[Array, " ends"]
    text: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path, entry: SegmentEntry, dim: int) -> "Segment":
        """Map a segment's files. FileNotFoundError where one is missing, AtlasError where one has not the size it must have."""
        wanted = {"descriptors": (entry.rows, dim), "positions": (entry.rows, 2), "offsets": (entry.rows + 1,)}
        columns: dict[str, NDArray[np.generic]] = {}
        for name, kind in COLUMNS.items():
            path = folder / f"{name}.npy"
            try:
                columns[name] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise _cut(path, str(error)) from None
            shape = wanted.get(name, (entry.rows,))
            if columns[name].shape != shape or columns[name].dtype != np.dtype(kind):
                raise _cut(path, f"{kind} {shape} was wanted, got {columns[name].dtype.str} {columns[name].shape}")
        text, size = folder / IMAGES, int(columns["offsets"][-1])
        if text.stat().st_size != size:
            raise _cut(text, f"{size} bytes were wanted, got {text.stat().st_size}")
        return cls(folder=folder, entry=entry, text=np.memmap(text, np.uint8, mode="r"), **columns)

    def entries(self, first: int, last: int) -> list[Entry]:
        """What is known of the images at the rows from first up to but without last; no other row is read."""
        lines = self.text[int(self.offsets[first]) : int(self.offsets[last])].tobytes().splitlines()
        try:
            return [Entry(**known) for known in json.loads(b"[" + b",".join(lines) + b"]")]
        except (ValueError, TypeError) as error:
            raise _cut(self.folder / IMAGES, str(error)) from None

    def take(self, rows: Int64[Array, " taken"]) -> Rows:
        """A copy of some rows."""
        return Rows(
            descriptors=self.descriptors[rows],
            positions=self.positions[rows],
            headings=self.headings[rows],
            times=self.times[rows],
            contents=self.contents[rows],
            lines=[self.text[self.offsets[row] : self.offsets[row + 1]].tobytes() for row in rows],
        )


def write_segment(folder: Path, rows: int, dim: int, parts: Iterable[Rows]) -> None:
    """Write a new segment of that many rows, part by part, and make it durable but for the folder's own name."""
    shapes: Mapping[str, tuple[int, ...]] = {"descriptors": (rows, dim), "positions": (rows, 2), "offsets": (rows + 1,)}
    disk.make_folder(folder)
    with ExitStack() as stack:
        files = {name: stack.enter_context(disk.NewFile(folder / f"{name}.npy")) for name in COLUMNS}
        text = stack.enter_context(disk.NewFile(folder / IMAGES))
        for name, file in files.items():
            npy.write_array_header_1_0(file, {"descr": COLUMNS[name], "fortran_order": False, "shape": shapes.get(name, (rows,))})
        files["offsets"].write(np.zeros(1, "<i8").tobytes())
        end = 0
        for part in parts:
            for name in ("descriptors", "positions", "headings", "times", "contents"):
                files[name].write(np.asarray(getattr(part, name), COLUMNS[name]).tobytes())
            ends = end + np.cumsum([len(line) for line in part.lines], dtype=np.int64)
            files["offsets"].write(ends.astype("<i8").tobytes())
            text.write(b"".join(part.lines))
            end = int(ends[-1])
    disk.sync_folder(folder)


def content_key(content: str) -> int:
    """The number by which a content hash is looked up; equal numbers are confirmed by the whole hash.

    >>> content_key("0000000000000ff" + 17 * "0")
    255
    """
    return int(content[:15], 16)  # 60 bits, a positive int64


def seconds(time: str | None) -> float:
    """Seconds since 1970; a camera's clock that does not tell its time zone is taken for UTC."""
    if time is None:
        return nan
    moment = datetime.fromisoformat(time)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cut(path: Path, why: str) -> AtlasError:
    return AtlasError(f"{path} is damaged ({why}); restore it from a copy, or index the photos again into a new atlas.")
