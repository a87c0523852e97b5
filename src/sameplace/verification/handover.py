"""Pairs and matches in the files that hloc and COLMAP read, to reconstruct or to find a pose from what was recognised."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from sameplace.images.header import upright_size
from sameplace.shapes import Array, Float64, Int64
from sameplace.verification.verifier import Verifier

Pair = tuple[str, str]
"""Names of two photos below one folder, with forward slashes."""
DESCRIPTOR: Final = 128
"""Numbers of a descriptor in COLMAP's text format."""


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> Path:
    """A line for each pair, as hloc's pairs.txt and COLMAP's `matches_importer --match_type pairs` want it."""
    target = Path(path)
    target.write_text("".join(f"{_word(first)} {_word(second)}\n" for first, second in pairs), encoding="utf-8")
    return target


def read_pairs(path: str | Path) -> list[Pair]:
    """The pairs in such a file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [(first, second) for first, second in (line.split() for line in lines if line.strip())]


def write_matches(folder: str | Path, verifier: Verifier, photos: str | Path, pairs: Sequence[Pair]) -> Path:
    """Compare pairs of photos of a folder, and write pairs.txt, matches.txt and features/NAME.txt of those that agree.

    For COLMAP: `feature_importer --import_path features`, then `matches_importer --match_list_path matches.txt --match_type raw`.
    Points are in pixels of the upright photo, the corner of the first pixel being (0, 0). The descriptors are zeros: whoever has
    the matches needs none. Nothing is written where a photo cannot be read.
    """
    target, root = Path(folder), Path(photos)
    found: dict[Pair, Int64[Array, "_pairs 2"]] = {}
    points: dict[str, Float64[Array, "_features 2"]] = {}
    for first, second in pairs:
        matched = verifier.match(root / first, root / second)
        if matched.count < verifier.least:
            continue
        found[_word(first), _word(second)] = matched.pairs[matched.inliers]
        for name in (first, second):
            points[name] = _full_size(verifier, root / name)
    for name, there in points.items():
        file = target / "features" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        rest = " 1 0" + " 0" * DESCRIPTOR + "\n"  # scale, orientation, descriptor
        file.write_text(f"{len(there)} {DESCRIPTOR}\n" + "".join(f"{x:.3f} {y:.3f}{rest}" for x, y in there.tolist()))
    target.mkdir(parents=True, exist_ok=True)
    blocks = (
        "".join([f"{first} {second}\n", *(f"{a} {b}\n" for a, b in rows.tolist())]) for (first, second), rows in found.items()
    )
    (target / "matches.txt").write_text("\n".join(blocks), encoding="utf-8")
    return write_pairs(target / "pairs.txt", found)


def read_matches(path: str | Path) -> dict[Pair, Int64[Array, "_pairs 2"]]:
    """The rows of features that belong together, pair by pair, in a file of COLMAP's raw matches."""
    found: dict[Pair, Int64[Array, "_pairs 2"]] = {}
    for block in Path(path).read_text(encoding="utf-8").split("\n\n"):
        names, *rows = block.strip().splitlines() or [""]
        if names:
            first, second = names.split()
            found[first, second] = np.array([row.split() for row in rows], np.int64).reshape(-1, 2)
    return found


def _full_size(verifier: Verifier, photo: Path) -> Float64[Array, "_features 2"]:
    """The points of a photo in its own pixels, from the corner of the first one."""
    features, size = verifier.features(photo), upright_size(photo)
    scale = np.array([size[1] / features.size[1], size[0] / features.size[0]])
    there: Float64[Array, "_features 2"] = (features.points.astype(np.float64) + 0.5) * scale
    return there


def _word(name: str) -> str:
    """A name that these files can hold."""
    if name.split() != [name]:
        raise ValueError(f"A file name without blanks was wanted, as blanks part names in these files, got {name!r}; rename it.")
    return name
