"""What a camera in a street sees: which wall each pixel meets, found by casting one ray a column."""

from dataclasses import dataclass
from functools import cached_property
from math import cos, radians, sin

import numpy as np
from PIL import Image

from sameplace.datasets.toytown.materials import PIXELS_PER_METRE
from sameplace.datasets.toytown.panel import TOP_M
from sameplace.datasets.toytown.plan import View
from sameplace.datasets.toytown.street import SAMPLES_PER_METRE, SCALES, Street
from sameplace.shapes import Array, Bool, Float32, UInt8

EYE_M = 1.8
HORIZON = 0.60
"""Where an upright camera has it, from the top of the image."""
FAR_M = 180.0
OVERSAMPLING = 2
FLANK_M = 9.0
"""How deep houses are, seen from a gap between them."""


@dataclass(frozen=True)
class Camera:
    """A view of a street in an image of some width and height; `finer` counts its rays a pixel."""

    view: View
    street: Street
    width: int
    height: int
    finer: int = 1

    @cached_property
    def focal(self) -> float:
        """Focal length in pixels: about 70 degrees from left to right."""
        return 0.72 * self.width * self.finer * self.view.zoom

    @cached_property
    def axes(self) -> tuple[float, float]:
        """How far along the street, and to its right, one metre of looking leads."""
        return cos(radians(self.view.look_deg)), sin(radians(self.view.look_deg))

    @cached_property
    def columns(self) -> Float32[Array, " columns"]:
        """Pixels to the right of the middle."""
        return (np.arange(self.width * self.finer) + 0.5 - self.width * self.finer / 2).astype(np.float32)

    @cached_property
    def rows(self) -> Float32[Array, "rows 1"]:
        """Pixels from the top."""
        return (np.arange(self.height * self.finer, dtype=np.float32) + 0.5)[:, None]

    @cached_property
    def horizon(self) -> Float32[Array, " columns"]:
        """Row of the horizon in each column; a camera that is not upright tips it."""
        return np.float32(self.height * self.finer * (HORIZON + self.view.tilt)) + np.float32(self.view.roll) * self.columns

    @cached_property
    def along(self) -> Float32[Array, " columns"]:
        """Metres along the street for each metre of depth."""
        return np.float32(self.axes[0]) - self.columns * np.float32(self.axes[1] / self.focal)

    @cached_property
    def across(self) -> Float32[Array, " columns"]:
        """Metres to the right for each metre of depth."""
        return np.float32(self.axes[1]) + self.columns * np.float32(self.axes[0] / self.focal)

    @cached_property
    def depth(self) -> Float32[Array, " columns"]:
        """Depth in metres at which each column meets the left or the right wall."""
        wall = np.float32(self.street.half_width_m) - np.sign(self.across) * np.float32(self.view.across_m)
        depth: Float32[Array, " columns"] = wall / np.maximum(np.abs(self.across), np.float32(wall.max() / FAR_M))
        return depth

    @cached_property
    def wall_along(self) -> Float32[Array, " columns"]:
        """How far along the street that is."""
        along: Float32[Array, " columns"] = np.float32(self.view.along_m) + self.depth * self.along
        return along

    @cached_property
    def base(self) -> Float32[Array, " columns"]:
        """Row in which the wall meets the ground."""
        return self.horizon + np.float32(self.focal * EYE_M) / self.depth

    def project(self, along_m: Array, across_m: Array, up_m: Array | float) -> tuple[Array, Array, Array]:
        """Columns, rows and depths (metres) of points given by how far along the street, to its right and up they are."""
        ahead, right = self.axes
        along, across = along_m - self.view.along_m, across_m - self.view.across_m
        depth, offset = along * ahead + across * right, across * ahead - along * right
        pixel = self.focal / np.maximum(depth, 0.1)
        columns = offset * pixel
        rows = self.height * (HORIZON + self.view.tilt) + self.view.roll * columns + (EYE_M - up_m) * pixel
        return columns + self.width / 2, rows, depth

    def wall(self, left: Array, right: Array) -> Array:
        """What is known along the left and the right wall, where each column meets one."""
        from_left, from_right = sample(left, self.wall_along), sample(right, self.wall_along)
        chosen = self.across <= 0
        return np.where(chosen if left.ndim == 1 else chosen[:, None], from_left, from_right)


def sample(values: Array, along: Array) -> Array:
    """Values that are known every quarter of a metre along a street, at any distances along it."""
    return np.take(values, (along * np.float32(SAMPLES_PER_METRE)).astype(np.intp), axis=0, mode="clip")


def house_fronts(
    camera: Camera, burning: Bool[Array, " windows"] | None
) -> tuple[UInt8[Array, "height width 4"], UInt8[Array, "height width"] | None]:
    """The walls as premultiplied RGBA, and how much of each pixel is a window that is lit; cast finer and averaged."""
    fine = Camera(camera.view, camera.street, camera.width, camera.height, OVERSAMPLING)
    texels = np.float32(PIXELS_PER_METRE) * fine.depth / np.float32(fine.focal)
    # A wall seen at an angle is squeezed along the street alone: the scale is a compromise between both directions.
    squeezed = texels / np.sqrt(np.maximum(np.abs(fine.across), np.float32(1e-3)))
    level = np.clip(np.log2(squeezed) + 0.3, 0, SCALES - 1).astype(np.intp)
    shrink = np.float32(PIXELS_PER_METRE) / (1 << level).astype(np.float32)
    tall = round(TOP_M * PIXELS_PER_METRE) >> level
    slope = fine.depth / np.float32(fine.focal) * shrink
    top = (TOP_M - EYE_M) * shrink - fine.horizon * slope + 1
    lowest = min(camera.height * OVERSAMPLING, int(fine.base.max()) + 2)
    shape = camera.height * OVERSAMPLING, camera.width * OVERSAMPLING
    colours, lights = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
    for wall, side in ((fine.street.left, fine.across <= 0), (fine.street.right, fine.across > 0)):
        chosen = np.flatnonzero(side & (fine.wall_along >= 0) & (fine.wall_along < fine.street.length_m))
        if len(chosen):
            # The columns that meet one wall are neighbours: a slice costs nothing where a list of columns would copy.
            seen = slice(chosen[0], chosen[-1] + 1)
            width = wall.widths[level[seen]]
            rows = np.clip(fine.rows[:lowest] * slope[seen] + top[seen], 0, (tall[seen] + 1).astype(np.float32))
            start = wall.starts[level[seen]] + np.clip((fine.wall_along[seen] * shrink[seen]).astype(np.int32), 0, width - 1)
            pixels = rows.astype(np.int32)  # half the memory of numpy's own kind of index, which here is half the time
            pixels *= width
            pixels += start
            colours[:lowest, seen] = wall.colours[pixels]
            if burning is not None:
                lights[:lowest, seen] = (burning * np.uint8(255))[wall.panes[pixels]]
    image = Image.frombuffer("RGBa", shape[::-1], colours, "raw", "RGBa", 0, 1).reduce(OVERSAMPLING)
    return np.asarray(image), None if burning is None else np.asarray(Image.fromarray(lights).reduce(OVERSAMPLING))


@dataclass(frozen=True)
class Flanks:
    """The side of the next house along, where a gap or a lower roof shows it."""

    cover: Float32[Array, "height width"]
    colour: Float32[Array, "3 width"]
    depth: Float32[Array, " width"]
    base: Float32[Array, " width"]
    seen: Bool[Array, " width"]


def flanks(camera: Camera) -> Flanks:
    """Find the flank that each column shows behind the house front it meets."""
    left, right = camera.street.left, camera.street.right
    start = camera.wall(left.next_start, right.next_start)
    height = camera.wall(left.next_height, right.next_height)
    depth = (start - np.float32(camera.view.along_m)) / camera.along
    beyond = np.abs(camera.view.across_m + depth * camera.across) - camera.street.half_width_m
    seen = (beyond > 0) & (beyond < FLANK_M) & (height > 0) & (depth > 0) & (camera.wall_along < start + 1)
    depth = np.where(seen, depth, 1).astype(np.float32)
    base = camera.horizon + np.float32(camera.focal * EYE_M) / depth
    top = camera.horizon - np.float32(camera.focal) * (height - np.float32(EYE_M)) / depth
    cover = np.clip(np.minimum(camera.rows - top, base - camera.rows) + np.float32(0.5), 0, 1) * seen
    colour = camera.wall(left.next_colour, right.next_colour).T * np.float32(0.72)
    return Flanks(cover, colour, depth, base, seen)
