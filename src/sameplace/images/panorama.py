"""Panoramas that show the whole sphere (equirectangular, twice as wide as high), and the perspective tiles cut from them.

The middle of a panorama looks where its heading says; columns are degrees to the right, rows are degrees of elevation. A tile is
sampled with a tent over the panorama's pixels: bilinear where the tile is the finer of the two, wider where it is the coarser, so
that nothing aliases. Columns go on over the seam, and rows over the poles.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, cos, floor, isfinite, pi, radians, sin, tan
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from sameplace.errors import ImageError
from sameplace.images.header import upright_size
from sameplace.images.reading import PIXEL_LIMIT, RESAMPLING, opened, read_image
from sameplace.shapes import Array, Float64, Int64, UInt8

ONE: Final = 13
"""Bits of a weight: the three colours of a pixel are summed in one number of 64 bits, 8 + 13 bits each."""
LANES: Final = (0, 21, 42)
HALF: Final = np.uint64(sum(1 << (lane + ONE - 1) for lane in LANES))
WIDEST: Final = 4.0
"""Towards the poles a tent spans more and more columns, up to so many times its rows: beyond, neighbours hardly differ."""
BLOCK: Final = 48
"""Rows of a tile that are made at a time, so that their sums stay in the processor's cache."""
POSE: Final = re.compile(rb"PoseHeadingDegrees(?:\s*=\s*[\"']|\s*>)\s*([-+]?\d+(?:\.\d+)?)")


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What the camera of a tile sees.

    >>> round(Lens().focal, 1)
    554.3
    """

    width: int = 640
    height: int = 480
    field_of_view: float = 60.0
    """Degrees from the left edge to the right one."""

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0 and isfinite(self.field_of_view) and 0 < self.field_of_view < 180):
            raise ValueError(
                f"A tile of some pixels and a field of view between 0 and 180 degrees were wanted, got {self.width} x "
                f"{self.height} and {self.field_of_view:g}; the published sets have 640 x 480 and 60."
            )

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / tan(radians(self.field_of_view) / 2)


class Panorama:
    """The pixels of a panorama, to cut tiles from."""

    def __init__(self, pixels: UInt8[Array, "height width 3"]) -> None:
        _whole_sphere("This panorama", pixels.shape[0], pixels.shape[1])
        self.pixels = pixels

    @classmethod
    def open(cls, path: str | Path, lens: Lens = Lens()) -> "Panorama":
        """Read a panorama, as fine as tiles of this lens can show it; ImageError where it is none."""
        height, width = upright_size(path)
        _whole_sphere(Path(path).name, height, width)
        down = min(height, _finest(lens))
        # A JPEG gives its quarter without being decoded whole.
        if width * height > PIXEL_LIMIT and height // 4 >= pi * lens.focal:
            down = min(down, height // 4)
        return cls(read_image(path, (down, 2 * down)))

    def tiles(self, directions: Sequence[tuple[float, float]], lens: Lens = Lens()) -> Iterator[UInt8[Array, "height width 3"]]:
        """The tile in each direction: degrees to the right of the panorama's middle, and degrees up."""
        pixels, finest = self.pixels, _finest(lens)
        if len(pixels) > finest:
            pixels = np.asarray(Image.fromarray(pixels).resize((2 * finest, finest), RESAMPLING))
        height, width = pixels.shape[:2]
        shifts = [width * (yaw % 360) / 360 for yaw, _ in directions]
        wholes = [floor(shift + 1e-6) for shift in shifts]
        samplings = [
            _sampling(lens, round(pitch, 9), height, round(shift - whole, 5))
            for shift, whole, (_, pitch) in zip(shifts, wholes, directions, strict=True)
        ]
        if not samplings:
            return
        first, last = min(one.first_row for one in samplings), max(one.last_row for one in samplings)
        band = _packed(pixels, first, last, width + max(one.columns for one in samplings))
        indexes = {one: one.index(band.shape[1], first) for one in samplings}
        for whole, sampling in zip(wholes, samplings, strict=True):
            start = (whole + width // 2 + sampling.first_column) % width
            yield _gathered(band, start, indexes[sampling], sampling.weights)


def rays(lens: Lens, pitch_deg: float) -> Float64[Array, "height width 3"]:
    """Where each pixel of a tile looks, as unit vectors to the right, up and ahead of a panorama's middle.

    >>> rays(Lens(width=1, height=1), 90.0).round(9).tolist()
    [[[0.0, 1.0, 0.0]]]
    """
    across = np.arange(lens.width) + 0.5 - lens.width / 2
    down = (np.arange(lens.height) + 0.5 - lens.height / 2)[:, None]
    rise, reach = sin(radians(pitch_deg)), cos(radians(pitch_deg))
    looks = np.empty((lens.height, lens.width, 3))
    looks[..., 0] = across
    looks[..., 1] = lens.focal * rise - down * reach
    looks[..., 2] = lens.focal * reach + down * rise
    looks /= np.linalg.norm(looks, axis=2, keepdims=True)
    return looks


def _finest(lens: Lens) -> int:
    """Rows of a panorama beyond which tiles show no more: as fine all around as the tile is at its edge, or twice its middle."""
    return ceil(pi * lens.focal * min(1 / cos(radians(lens.field_of_view) / 2) ** 2, 2.0))


def pose_heading(path: Path) -> float | None:
    """The heading of a panorama's middle as its XMP data say, in the words of photo spheres (GPano); None where they do not."""
    with opened(path) as image:
        data = image.info.get("xmp", b"")
    found = POSE.search(data if isinstance(data, bytes) else str(data).encode())
    return float(found[1]) % 360 if found else None


@dataclass(frozen=True, eq=False)
class Sampling:
    """Which pixels make those of a tile that looks straight ahead, or a fraction of a column to the right; yaw only shifts them."""

    first_row: int
    last_row: int
    first_column: int
    """To the right of the column in the tile's middle."""
    columns: int
    rows: Int64[Array, "height width"]
    """The uppermost row of each tent."""
    lefts: Int64[Array, "height width"]
    """The leftmost column of each tent, from the first."""
    weights: Array
    """Down and across the tent: (rows of it, columns of it, height, width), in units whose sum is 2^13."""

    def index(self, stride: int, first_row: int) -> Int64[Array, "height width"]:
        """Where each tent begins in a band of panorama rows from some row on."""
        index: Int64[Array, "height width"] = (self.rows - first_row) * stride + self.lefts
        return index


@lru_cache(maxsize=24)
def _sampling(lens: Lens, pitch_deg: float, height: int, fraction: float) -> Sampling:
    """Made once for all panoramas of a height: two pixels of the panorama to a pixel of height are one turn."""
    look = rays(lens, pitch_deg)
    level = np.hypot(look[..., 0], look[..., 2])
    column = np.arctan2(look[..., 0], look[..., 2]) * (height / pi) + (fraction - 0.5)
    row = height / 2 - np.arctan2(look[..., 1], level) * (height / pi) - 0.5
    # A pixel of a tile spans, at most, the angle between two neighbours around the middle: its cosine over the focal length.
    ahead = look[..., 1] * sin(radians(pitch_deg)) + look[..., 2] * cos(radians(pitch_deg))
    span = ahead * (height / pi / lens.focal)
    tall = np.maximum(span, 1.0)
    wide = np.clip(span / np.maximum(level, 1 / WIDEST), 1.0, None)
    tops, down = _tents(row, tall)
    lefts, across = _tents(column, wide)
    first = int(lefts.min())
    return Sampling(
        first_row=int(tops.min()),
        last_row=int(tops.max()) + len(down),
        first_column=first,
        columns=int(lefts.max()) - first + len(across),
        rows=tops,
        lefts=lefts - first,
        weights=_whole(down[:, None] * across[None]),
    )


def _tents(centres: Float64[Array, "height width"], half_widths: Float64[Array, "height width"]) -> tuple[Array, Array]:
    """The first pixel under each tent, and the share of each pixel from there on."""
    firsts = np.floor(centres - half_widths) + 1
    taps = ceil(2 * float(half_widths.max()) - 1e-9)
    away = firsts + np.arange(taps)[:, None, None] - centres
    shares = np.maximum(1 - np.abs(away) / half_widths, 0)
    shares /= shares.sum(axis=0)
    # A tent that is no whole number of pixels wide leans to one side by up to a twelfth of a pixel: it is set upright.
    lean = (shares * away).sum(axis=0)
    spread = (shares * away**2).sum(axis=0) - lean**2
    shares *= 1 - (away - lean) * (lean / np.maximum(spread, 1e-9))
    return firsts.astype(np.int64), shares


def _whole(shares: Array) -> Array:
    """The shares in whole units that sum to exactly 2^13, so that one colour stays that colour."""
    flat = shares.reshape(-1, *shares.shape[2:])
    units = np.rint(flat * (1 << ONE)).astype(np.int64)
    largest = flat.argmax(axis=0)[None]
    missing = (1 << ONE) - units.sum(axis=0, keepdims=True)
    np.put_along_axis(units, largest, np.take_along_axis(units, largest, axis=0) + missing, axis=0)
    whole: Array = units.astype(np.uint16).reshape(shares.shape)
    return whole


def _packed(pixels: UInt8[Array, "height width 3"], first: int, last: int, stride: int) -> Array:
    """Rows of a panorama, beyond its poles where asked for, going on to the right over the seam; a pixel is one number."""
    height, width = pixels.shape[:2]
    band = np.empty((last - first, stride), np.uint64)
    for start in range(first, last, BLOCK):
        rows = np.arange(start, min(start + BLOCK, last))
        behind = (rows < 0) | (rows >= height)
        colours = pixels[np.where(rows < 0, -1 - rows, np.where(behind, 2 * height - 1 - rows, rows))]
        block = band[start - first : start - first + len(rows)]
        block[:, :width] = colours[..., 0]
        for channel in (1, 2):
            block[:, :width] |= colours[..., channel].astype(np.uint64) << np.uint64(LANES[channel])
        # Over a pole one comes down on the other side of the world.
        block[behind, :width] = np.roll(block[behind, :width], width // 2, axis=1)
        for column in range(width, stride, width):
            block[:, column : column + width] = block[:, : min(width, stride - column)]
    return band


def _gathered(band: Array, start: int, index: Int64[Array, "height width"], weights: Array) -> UInt8[Array, "height width 3"]:
    """Sum the pixels under each tent, all three colours at once."""
    height, width = index.shape
    tile = np.empty((height, width, 3), np.uint8)
    pixels, stride = band.ravel(), band.shape[1]
    seen, total = np.empty((2, BLOCK * width), np.uint64)
    for top in range(0, height, BLOCK):
        rows = slice(top, min(top + BLOCK, height))
        where = index[rows].ravel()
        part, part_total = seen[: len(where)], total[: len(where)]
        part_total[:] = HALF
        for down, line in enumerate(weights):
            for across, weight in enumerate(line):
                # Every index lies in the band; "clip" only spares numpy the copy that it makes to be able to complain.
                np.take(pixels[start + down * stride + across :], where, mode="clip", out=part)
                part *= weight[rows].ravel()
                part_total += part
        for channel, lane in enumerate(LANES):
            tile[rows, :, channel] = (part_total >> np.uint64(lane + ONE)).reshape(-1, width)
    return tile


def _whole_sphere(name: str, height: int, width: int) -> None:
    if width != 2 * height:
        raise ImageError(
            f"{name} has {width:,} x {height:,} pixels, but a panorama of the whole sphere is twice as wide as high; give "
            f"equirectangular panoramas of 360 x 180 degrees."
        )
