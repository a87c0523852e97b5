"""Where a figure comes from: which code, which libraries, which machine, which files."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sameplace
from sameplace.datasets import Dataset
from sameplace.evaluation.retrieval import Rules
from sameplace.images import View
from sameplace.threads import usable_cores

LIBRARIES = {"numpy": "numpy", "PIL": "pillow", "onnxruntime": "onnxruntime", "torch": "torch", "cv2": "opencv-python-headless"}
"""Modules that may have computed a figure, and the distributions that tell their versions."""


def provenance() -> dict[str, Any]:
    """The version of this code, of the libraries that are loaded, and the machine."""
    names = [distribution for module, distribution in LIBRARIES.items() if module in sys.modules]
    return {
        "version": sameplace.__version__,
        "commit": _commit(Path(sameplace.__file__).parent),
        "libraries": {"python": platform.python_version(), **{name: found for name in names if (found := _version(name))}},
        "hardware": _hardware(),
    }


def fingerprint(dataset: Dataset, rules: Rules) -> str:
    """A hash of the names and sizes of all files, what is described of them, and the truth: equal where figures may be compared.

    Names count from the folder that holds all images; where that lies does not matter.
    """
    sources = [*dataset.database_sources, *dataset.query_sources]
    paths = [os.path.abspath(source.path if isinstance(source, View) else source) for source in sources]  # noqa: PTH100
    above = os.path.commonpath({os.path.dirname(path) for path in paths})  # noqa: PTH120
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{len(dataset.database)} {len(dataset.queries)} {dataset.one_per_panorama}\n".encode())
    for path, source in zip(paths, sources, strict=True):
        name = path.removeprefix(above).replace(os.sep, "/")
        part = f" {source.box} {source.turns % 4}" if isinstance(source, View) else ""
        digest.update(f"{name} {Path(path).stat().st_size}{part}\n".encode())
    for right, out in zip(rules.positives, rules.without, strict=True):
        digest.update(f"{right.tolist()} {out.tolist()}\n".encode())
    return digest.hexdigest()


def _commit(package: Path) -> str | None:
    """The commit of the checkout that the package runs from, with `-dirty` where files were changed; None where it is installed."""
    root = package.parent.parent
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    try:
        told = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _hardware() -> Mapping[str, Any]:
    return {
        "processor": _processor() or platform.processor() or platform.machine(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": usable_cores(),
    }


def _processor() -> str | None:
    """What Linux calls the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
