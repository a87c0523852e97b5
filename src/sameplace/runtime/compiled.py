"""Compiled networks kept on disk, so that a second start costs no compiling; whatever happens to them costs time and no result."""

import hashlib
import os
import platform
import sys
import zlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sameplace.errors import SameplaceError
from sameplace.runtime.ranges import ROUNDING, ranges_file

ENVIRONMENT = "SAMEPLACE_CACHE"
LIMIT_BYTES = 1_000_000_000
CHECKSUM_BYTES = 4


def cache_folder() -> Path:
    """Where sameplace keeps what it can make again: where SAMEPLACE_CACHE says, else in the system's place for caches."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named).absolute()
    try:
        home = Path.home()
    except RuntimeError as homeless:
        raise SameplaceError(f"There is no home folder to keep descriptors in; let {ENVIRONMENT} name a folder.") from homeless
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "sameplace" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "sameplace"
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else home / ".cache") / "sameplace"


class Compiled:
    """The compiled parts of one graph for this machine and this release of OpenVINO, in a folder."""

    def __init__(self, graph: Path, precision: str, folder: Path) -> None:
        self.folder = folder / "compiled"
        files = [file.stat() for file in (graph, ranges_file(graph)) if file.exists()]
        made_from = [(status.st_size, status.st_mtime_ns) for status in files]
        depends_on = (graph.absolute(), made_from, precision, ROUNDING, _release(), _machine())
        self._key = hashlib.blake2b(repr(depends_on).encode(), digest_size=16).hexdigest()

    def kept(self) -> bool:
        """Whether this network was compiled before, as far as the folder tells."""
        return self._path(0).is_file()

    def read(self, part: int) -> bytes | None:
        """A compiled part, or None where it is not kept or no longer whole."""
        try:
            content = self._path(part).read_bytes()
        except OSError:
            return None
        # OpenVINO takes a network with a flipped bit as it is, and answers something else.
        checksum, network = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
        return network if checksum == _checksum(network) else None

    def write(self, part: int, network: bytes) -> None:
        """Keep a compiled part, where the disk lets us, and drop what was made longest ago where that is too much."""
        path = self._path(part)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(_checksum(network) + network)
            unfinished.replace(path)
            self._make_room()
        except OSError:  # a full or read-only disk: the next start compiles again
            with suppress(OSError):
                unfinished.unlink()

    def _path(self, part: int) -> Path:
        return self.folder / f"{self._key}-{part}.network"

    def _make_room(self) -> None:
        kept = sorted(self.folder.glob("*.network"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        total = 0
        for path in kept:
            total += path.stat().st_size
            if total > LIMIT_BYTES:
                path.unlink(missing_ok=True)


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")


def _release() -> str:
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def _machine() -> str:
    """What a compiled network depends on: the instructions of the processor, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    instructions = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {platform.processor()} {instructions}"
