"""What a search has found so far, box by box, on disk: an interrupted one goes on where it was.

One JSON object a line, in a hidden file of the folder. The first line tells what is searched for; a last line that was cut off by
a crash is dropped.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any

from sameplace.datasets.mapillary.area import Box

VERSION = 1


@dataclass(frozen=True)
class Finding:
    """The answer for one box."""

    images: list[dict[str, Any]]
    """As Mapillary described them."""
    divided: bool
    """Whether its quarters are to be asked for, because it holds more than one answer tells."""
    crowded: bool = False
    """Whether it holds more, and is too small to be divided."""


class Journal:
    """The findings of one search; until `begin`, those of whatever search was recorded last, this one or another."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._about = {"version": VERSION, **about}
        self._findings: dict[str, Finding] = {}
        self._file: BufferedWriter | None = None
        lines = _lines(path)
        self.recorded = next(lines, {})
        """What the search was about that is recorded; nothing where there is none."""
        for line in lines:
            with suppress(KeyError, TypeError, ValueError):
                self._findings[str(line["box"])] = Finding(list(line["images"]), bool(line["divided"]), bool(line["crowded"]))

    def images(self) -> Iterator[dict[str, Any]]:
        """All images of all findings, some of them more than once."""
        for finding in self._findings.values():
            yield from finding.images

    def begin(self) -> None:
        """Go on with this search, or leave another one behind and start."""
        if self.recorded != self._about:
            self._findings = {}
            self.remove()
        whole = _whole(self.path)
        self._file = self.path.open("ab")
        self._file.truncate(whole)
        if not whole:
            self._write(self._about)

    def known(self, box: Box) -> Finding | None:
        """What is recorded of a box."""
        return self._findings.get(str(box))

    def record(self, box: Box, finding: Finding) -> None:
        """Keep a finding; on disk when this returns."""
        self._findings[str(box)] = finding
        self._write({"box": str(box), "divided": finding.divided, "crowded": finding.crowded, "images": finding.images})

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Forget the search, which is complete."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._file is None:
            raise RuntimeError("begin() comes before record()")
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                value = json.loads(line)
            except ValueError:
                return
            if isinstance(value, dict):
                yield value


def _whole(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0
