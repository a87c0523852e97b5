"""The files of an approximate index, opened with the atlas and read when the first query comes."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sameplace.atlas.manifest import Index
from sameplace.errors import AtlasError
from sameplace.search import Approximate, Blocks, Codes, Effort
from sameplace.shapes import Array, Bool, Float32, Int64

INDEX = "index"
EXACT_UP_TO = 100_000
"""Photos up to which all are compared with a query; a larger atlas keeps an index."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexFiles:
    """The files, mapped: they stay readable even when a writer has replaced and removed them."""

    folder: Path
    index: Index
    rotation: NDArray[np.uint8]
    codes: tuple[NDArray[np.uint8], ...]
    dropped: NDArray[np.uint8] | None

    @classmethod
    def open(cls, atlas: Path, index: Index) -> "IndexFiles":
        """Map them. FileNotFoundError where one is missing, AtlasError where codes have not the size they must have."""
        folder = atlas / INDEX
        codes = tuple(_mapped(folder / part.file) for part in index.codes)
        for part, content in zip(index.codes, codes, strict=True):
            if len(content) != part.bytes:
                raise _damaged(folder / part.file, f"{part.bytes} bytes were wanted, got {len(content)}")
        return cls(
            folder=folder,
            index=index,
            rotation=_mapped(folder / index.rotation),
            codes=codes,
            dropped=_mapped(folder / index.dropped.file) if index.dropped else None,
        )

    def load(self, blocks: Blocks, present: Bool[Array, " rows"] | None) -> Approximate:
        """Read them, for searching in these descriptors."""
        return Approximate(
            blocks=blocks,
            codes=tuple(self.part(number) for number in range(len(self.codes))),
            numbered=self.index.numbered,
            dropped=self.numbers_dropped(),
            present=present,
            effort=Effort(probes=self.index.probes, depth=self.index.depth),
        )

    def part(self, number: int) -> Codes:
        """One of the files of codes."""
        path, known = self.folder / self.index.codes[number].file, self.index.codes[number].codes
        try:
            codes = Codes.read(_Reader(self.codes[number]).read, self.turned_by())
        except ValueError as error:
            raise _damaged(path, str(error)) from None
        if len(codes) != known:
            raise _damaged(path, f"{known} codes were wanted, got {len(codes)}")
        return codes

    def turned_by(self) -> Float32[Array, "dim dim"]:
        """The rotation."""
        rotation: Float32[Array, "dim dim"] = _array(self.rotation, self.folder / self.index.rotation, "<f4")
        return rotation

    def numbers_dropped(self) -> Int64[Array, " dropped"]:
        """The numbers of rows that are gone for good."""
        if self.dropped is None or self.index.dropped is None:
            return np.empty(0, np.int64)
        path, count = self.folder / self.index.dropped.file, self.index.dropped.rows
        numbers: Int64[Array, " dropped"] = _array(self.dropped, path, "<i8")
        if len(numbers) != count:
            raise _damaged(path, f"{count} numbers were wanted, got {len(numbers)}")
        return numbers


class _Reader:
    """Reads mapped bytes from start to end."""

    def __init__(self, content: NDArray[np.uint8]) -> None:
        self.content = content
        self.at = 0

    def read(self, count: int) -> bytes:
        """The next bytes."""
        self.at += count
        return self.content[self.at - count : self.at].tobytes()


def _mapped(path: Path) -> NDArray[np.uint8]:
    try:
        return np.memmap(path, np.uint8, mode="r")
    except ValueError as error:  # an empty file
        raise _damaged(path, str(error)) from None


def _array(content: NDArray[np.uint8], path: Path, kind: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(BytesIO(content.tobytes()), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from None
    if array.dtype != np.dtype(kind):
        raise _damaged(path, f"{kind} was wanted, got {array.dtype.str}")
    return array


def _damaged(path: Path, why: str) -> AtlasError:
    return AtlasError(
        f"{path} is damaged ({why}); it holds nothing that the atlas does not know otherwise: "
        f'write "index": null into its manifest.json, and the next `sameplace index` makes it anew.'
    )
