"""How similar two photos of one atlas are that show different places: the level a match must beat for a place to count as known."""

import numpy as np

from sameplace.atlas.manifest import Impostors
from sameplace.atlas.snapshot import Snapshot
from sameplace.shapes import Array, Float32, Float64, Int64

SAMPLE = 1000
"""Photos compared with each other: half a million pairs pin down a 99th percentile, and any atlas takes the same moment."""
APART_M = 100.0
"""Photos farther apart than this show different places."""
FEWEST_PAIRS = 200
"""With fewer pairs their 99th percentile would hang on two of them."""
PERCENTILE = 99


def measure(snapshot: Snapshot) -> Impostors:
    """The level of this atlas, for its next generation; the same for the same atlas."""
    rows = sample(snapshot.rows(), SAMPLE)
    points = snapshot.positions(rows).metric()
    pairs, level = impostor_level(snapshot.descriptors(rows).astype(np.float32), points)
    return Impostors(generation=snapshot.manifest.generation + 1, pairs=pairs, similarity=level)


def sample(rows: Int64[Array, " rows"], count: int) -> Int64[Array, " sampled"]:
    """At most `count` of the rows, in order, drawn evenly and always the same: every k-th would meet one view of each panorama."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def impostor_level(descriptors: Float32[Array, "photos dim"], points: Float64[Array, "photos 3"]) -> tuple[int, float | None]:
    """How many pairs are too far apart to show one place, and the 99th percentile of their similarity; None where they are few."""
    apart = np.triu(np.ones((len(points), len(points)), np.bool_), k=1)
    for photo, point in enumerate(points):
        apart[photo] &= np.square(points - point).sum(axis=1) > APART_M**2
    similarities = np.clip((descriptors @ descriptors.T)[apart], -1, 1)
    level = float(np.percentile(similarities, PERCENTILE)) if len(similarities) >= FEWEST_PAIRS else None
    return len(similarities), level
