"""What an atlas on Milvus holds and how it is kept, in plain values."""

from dataclasses import asdict
from typing import Any

import numpy as np

from sameplace.atlas.manifest import Manifest
from sameplace.atlas.remote_columns import TOLD
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.summary import SELF_RECALL_SAMPLE, calibration
from sameplace.search.milvus import DESCRIPTOR, Collection, numbers, quoted


def summary(snapshot: Snapshot, collection: Collection) -> dict[str, Any]:
    """What `sameplace show` tells of it; its photos are not listed for that, as they may be a thousand million."""
    manifest = snapshot.manifest
    there = bool(manifest.segments)
    return {
        "atlas": collection.address.text,
        "images": len(snapshot),
        "model": asdict(manifest.model),
        "precision": manifest.precision,
        "frame": manifest.frame,
        "impostor_similarity": manifest.impostors.similarity if manifest.impostors else None,
        "calibration": calibration(snapshot),
        "index": {"kind": "exact" if there and collection.kind == "FLAT" else "approximate", "engine": engine(collection, there)},
        "self_recall": self_recall(collection, manifest) if there else None,
    }


def engine(collection: Collection, there: bool) -> str:
    """The server, its release and its index."""
    kind = collection.kind if there else collection.address.plan(collection.version).kind
    return f"Milvus{' Lite' if collection.address.lite else ''} {'.'.join(map(str, collection.version))}, {kind}"


def self_recall(collection: Collection, manifest: Manifest) -> float | None:
    """How many of a few stored descriptors find themselves, or an equal one, first."""
    images = collection.count()
    if not images:
        return None
    bound = quoted(f"{min(SELF_RECALL_SAMPLE * 16**8 // images, 16**8 - 1):08x}~")
    rows = [one for page in collection.matching(f"id < {bound}", (*TOLD, DESCRIPTOR)) for one in page]
    if not rows:
        return None
    queries = numbers(rows, manifest.model.dim).astype(np.float32)
    found = collection.search(queries, 1, "", ("id",))
    best = np.array(
        [numbers(hits, manifest.model.dim)[0].astype(np.float32) @ query for hits, query in zip(found, queries, strict=True)]
    )
    return float(np.mean(best >= np.square(queries).sum(axis=1) - 1e-3))
