"""The files of a dataset: which are missing, which are broken, how large their images are, and which are the same."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sameplace.errors import ImageError
from sameplace.images import View, read_image
from sameplace.images.header import upright_size
from sameplace.threads import usable_cores

GLANCE = (64, 64)
"""A photo is decoded to this size when all its pixels are to be read."""
AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look at a photo told."""

    size: tuple[int, int] | None
    """Height and width, upright; None where it cannot be read."""
    reason: str = ""
    """Why not."""
    missing: bool = False


def looks(paths: Sequence[Path], *, thorough: bool, progress: Callable[[int, int], None] | None) -> dict[Path, Looked]:
    """Look at each photo once: at its header, or with `thorough` at every pixel."""
    distinct = list(dict.fromkeys(paths))
    found: dict[Path, Looked] = {}
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="look") as pool:
        for first in range(0, len(distinct), AT_ONCE):
            some = distinct[first : first + AT_ONCE]
            found.update(zip(some, pool.map(partial(_look, thorough=thorough), some), strict=True))
            if progress is not None:
                progress(len(found), len(distinct))
    return found


def _look(path: Path, thorough: bool) -> Looked:
    if not path.is_file():
        return Looked(size=None, reason="There is no such file", missing=True)
    try:
        size = upright_size(path)
        if thorough:
            read_image(path, GLANCE)
    except ImageError as error:
        return Looked(size=None, reason=str(error).rstrip("."))
    return Looked(size=size)


def sizes(looked: Mapping[Path, Looked], paths: Sequence[Path]) -> dict[tuple[int, int], int]:
    """How many images there are of each height and width, the most frequent first."""
    return dict(Counter(size for path in paths if (size := looked[path].size) is not None).most_common())


def contents(paths: Sequence[Path]) -> dict[Path, str]:
    """A name for the content of each file: equal for equal files. Only files that have a twin in size are read."""
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    return dict(_named(by_size))


def _named(by_size: Mapping[int, Sequence[Path]]) -> Iterator[tuple[Path, str]]:
    for alike in by_size.values():
        for path in alike:
            yield path, str(path) if len(alike) == 1 else _content_hash(path)


def _content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def what_of(source: Path | View) -> tuple[Path, object]:
    """The file of a source and which part of it is meant: two views of one photo are no duplicates."""
    return (source.path, (source.box, source.turns % 4)) if isinstance(source, View) else (source, None)
