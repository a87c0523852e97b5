"""The proof in picture form: a query and a match side by side, with a line for each pair of points that agrees."""

from typing import Final

import numpy as np
from PIL import Image

from sameplace.images import View, read_image
from sameplace.images.header import upright_size
from sameplace.pages.panel import HEIGHT, panel
from sameplace.shapes import Array, Float64, UInt8
from sameplace.verification.features import Features
from sameplace.verification.matching import Matched
from sameplace.verification.verifier import Source, Verifier

LINES: Final = 120
"""More would hide the photos; of more pairs every so many-th is drawn."""


def proof(verifier: Verifier, query: Source | bytes, match: Source, *, titles: tuple[str, str] = ("query", "match")) -> Image.Image:
    """What two photos have in common, drawn; ImageError where one cannot be read."""
    first, second = verifier.features(query), verifier.features(match)
    matched = verifier.compare(first, second)
    lines = [((row[0], row[1]), (row[2], row[3])) for row in ends(first, second, matched).tolist()]
    return panel([shown(query), shown(match)], [(titles[0], words(matched)), (titles[1], "")], lines)


def ends(first: Features, second: Features, matched: Matched, most: int = LINES) -> Float64[Array, "lines 4"]:
    """Where the pairs that agree lie: x and y in the first picture, x and y in the second, in shares of width and height.

    Of more than `most` pairs every so many-th.
    """
    pairs = matched.pairs[matched.inliers]
    pairs = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), most)).astype(np.int64)]
    sides = [
        (features.points[rows].astype(np.float64) + 0.5) / features.size[::-1]
        for features, rows in ((first, pairs[:, 0]), (second, pairs[:, 1]))
    ]
    return np.column_stack(sides)


def shown(source: Source | bytes) -> UInt8[Array, "height width 3"]:
    """The pixels of a photo as it is drawn in a panel."""
    path: str | View | bytes = source if isinstance(source, View | bytes) else str(source)
    height, width = upright_size(path)
    return read_image(path, (HEIGHT, max(round(width * HEIGHT / height), 1)))


def words(matched: Matched) -> str:
    """How much agrees, in words."""
    if not matched.count:
        return f"no geometry that enough of {len(matched.pairs)} pairs agree on"
    geometry = "homography" if matched.geometry == "homography" else "fundamental matrix"
    return f"{matched.count} of {len(matched.pairs)} pairs agree on a {geometry}"
