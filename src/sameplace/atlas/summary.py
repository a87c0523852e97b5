"""What an atlas holds and how it is kept, in plain values."""

import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.atlas.impostors import sample
from sameplace.atlas.indexfiles import INDEX
from sameplace.atlas.manifest import MANIFEST
from sameplace.atlas.snapshot import SEGMENTS, TOMBSTONES, Snapshot
from sameplace.geo import EARTH, Positions
from sameplace.search import Approximate

SELF_RECALL_SAMPLE = 16


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """What `sameplace show ATLAS` tells."""
    manifest = snapshot.manifest
    return {
        "atlas": str(snapshot.folder),
        "images": manifest.images,
        "model": asdict(manifest.model),
        "runtimes": sorted({runtime for segment in manifest.segments for runtime in segment.runtime.split("+")}),
        "precision": manifest.precision,
        "frame": manifest.frame,
        "extent": extent(snapshot.positions(snapshot.rows())),
        "bytes": size_on_disk(snapshot),
        "segments": len(manifest.segments),
        "removed_rows": manifest.rows - manifest.images,
        "generation": manifest.generation,
        "impostor_similarity": manifest.impostors.similarity if manifest.impostors else None,
        "calibration": calibration(snapshot),
        "index": index(snapshot),
        "self_recall": self_recall(snapshot),
    }


def calibration(snapshot: Snapshot) -> dict[str, Any] | None:
    """What radii and `known` were learnt from; None before that was done."""
    learnt = snapshot.calibration
    if learnt is None:
        return None
    return {
        "answerable": len(learnt.scores),
        "impostors": len(learnt.impostors),
        "several_passes": learnt.several_passes,
        "radii_m": {f"{level:g}": radius for level, radius in learnt.usual_radii},
        "least_false_accept": learnt.least_false_accept,
    }


def index(snapshot: Snapshot) -> dict[str, Any]:
    """How the atlas is searched on this machine: photo by photo, or by an index, with its memory and its measured recall."""
    known = snapshot.manifest.index
    if known is None or not isinstance(snapshot.index(), Approximate):
        return {"kind": "exact"}
    codes = sum(part.codes for part in known.codes)
    return {
        "kind": "approximate",
        "lists": known.lists,
        "codes": codes,
        "uncoded": snapshot.manifest.rows - known.rows,
        "bytes_per_image": sum(part.bytes for part in known.codes) / max(1, codes),
        "probes": known.probes,
        "depth": known.depth,
        "recall": asdict(known.recall),
    }


def extent(positions: Positions) -> dict[str, float] | None:
    """The bounding box; on earth its west lies east of its east where it spans the antimeridian, as in GeoJSON.

    >>> extent(Positions(EARTH, np.array([[-17.0, 179.0], [-18.0, -179.0]])))
    {'south': -18.0, 'north': -17.0, 'west': 179.0, 'east': -179.0}
    """
    if not len(positions):
        return None
    first, second = positions.coordinates.T
    low, high = float(first.min()), float(first.max())
    if positions.frame != EARTH:
        return {"x_min_m": low, "x_max_m": high, "y_min_m": float(second.min()), "y_max_m": float(second.max())}
    around = np.sort(second)
    empty = int(np.argmax(np.diff(around, append=around[0] + 360)))  # the widest gap is what the box leaves out
    return {"south": low, "north": high, "west": float(around[(empty + 1) % len(around)]), "east": float(around[empty])}


def size_on_disk(snapshot: Snapshot) -> int:
    """Bytes of the files that the manifest names, itself included, without those that a writer has replaced since."""
    manifest, folder = snapshot.manifest, snapshot.folder
    files: list[Path] = [folder / MANIFEST]
    if manifest.tombstones:
        files.append(folder / TOMBSTONES / manifest.tombstones.file)
    if manifest.calibration:
        files.append(folder / manifest.calibration.file)
    for segment in manifest.segments:
        with suppress(FileNotFoundError):
            files += (folder / SEGMENTS / segment.name).iterdir()
    if manifest.index:
        files += [folder / INDEX / name for name in manifest.index.files]
    size = 0
    for file in files:
        with suppress(FileNotFoundError):
            size += os.stat(file).st_size  # noqa: PTH116
    return size


def self_recall(snapshot: Snapshot) -> float | None:
    """How many of a few stored descriptors find themselves, or an equal one, first: 1, or the files are damaged."""
    rows = sample(snapshot.rows(), SELF_RECALL_SAMPLE)
    if not len(rows):
        return None
    queries = snapshot.descriptors(rows).astype(np.float32)
    own = np.square(queries).sum(axis=1)
    if not np.isfinite(own).all():
        return 0.0
    found = snapshot.index().search(queries, top=1)
    itself = (found.rows[:, 0] == rows) | (found.similarities[:, 0] <= own + 1e-4)
    return float(np.mean(itself & (np.abs(own - 1) < 0.01)))
