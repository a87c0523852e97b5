"""A street of toytown: its houses drawn as one strip a side, at four scales, and what stands on its pavements."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from PIL import Image

from sameplace.datasets.toytown.facades import House, draw_house, plan_house
from sameplace.datasets.toytown.materials import PIXELS_PER_METRE
from sameplace.datasets.toytown.panel import TOP_M
from sameplace.shapes import Array, Float32, Num, UInt8

BLOCK_M = 105.0
"""From one crossing to the next."""
CROSSING_M = 9.0
"""Free of houses on either side of a crossing's middle."""
BEYOND_M = 54.0
"""Houses beyond the last crossing, so that nobody looks into nothing."""
SCALES = 3
SAMPLES_PER_METRE = 4
"""How finely heights along a street are known."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """One side of a street: its pictures from fine to coarse, flattened one after the other, and its heights."""

    colours: Array
    """Premultiplied RGBA, one number a pixel."""
    panes: UInt8[Array, " pixels"]
    """Which pixel belongs to which window; 0 is wall."""
    starts: Array
    widths: Array
    heights: Float32[Array, " samples"]
    next_start: Float32[Array, " samples"]
    """Where the next house along the street begins, for the flank that it shows over a gap or a lower roof."""
    next_height: Float32[Array, " samples"]
    next_colour: Float32[Array, "samples 3"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Something that stands on the ground and faces whoever looks: a tree, a lamp, a person, a car."""

    kind: str
    along_m: float
    across_m: float
    height_m: float
    variant: int


@dataclass(frozen=True, kw_only=True)
class Street:
    """All that stays the same in a street, whoever passes and when."""

    length_m: float
    half_width_m: float
    left: Wall
    right: Wall
    standing: tuple[Standing, ...]
    lamps_m: Float32[Array, " samples"]
    """How much lamplight falls on every quarter of a metre along the street, 0..1."""


def _whole(metres: float) -> float:
    """Metres, rounded to what heights along a street are known for."""
    return round(metres * SAMPLES_PER_METRE) / SAMPLES_PER_METRE


def _plots(length: float, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Where houses stand along one side: (start, width) in metres, with crossings left open and some lanes between them."""
    for block in range(ceil(length / BLOCK_M)):
        position, end = block * BLOCK_M + CROSSING_M, min((block + 1) * BLOCK_M - CROSSING_M, length)
        while end - position > 5.5:
            width = min(_whole(rng.uniform(6.5, 13.5)), end - position)
            if end - position - width < 5.5:
                width = end - position if end - position <= 16 else width - 5.5
            yield position, width
            position += width + (_whole(rng.uniform(2.5, 4.5)) if rng.random() < 0.12 else 0.0)


def _scales(strip: Num[Array, "rows columns"], windows: UInt8[Array, "rows columns"]) -> tuple[Array, Array, Array, Array]:
    """Both pictures of a strip at every scale, flattened, with where each scale starts and how wide it is.

    Above and below every scale lies a row of nothing: sky and ground.
    """
    colours, panes, widths = [], [], []
    for _ in range(SCALES):
        nothing = np.zeros(strip.shape[1], np.uint32)
        colours += [nothing, strip.reshape(-1), nothing]
        panes += [nothing.astype(np.uint8), windows.reshape(-1), nothing.astype(np.uint8)]
        widths.append(strip.shape[1])
        # A pixel is opaque or empty, so the strip is premultiplied as it stands: "RGBa" keeps it so.
        image = Image.frombuffer("RGBa", (strip.shape[1], strip.shape[0]), strip, "raw", "RGBa", 0, 1)
        strip, windows = np.asarray(image.reduce(2)).view(np.uint32)[..., 0], np.ascontiguousarray(windows[::2, ::2])
    starts = np.cumsum([0, *(sum(len(row) for row in colours[3 * scale : 3 * scale + 3]) for scale in range(SCALES - 1))])
    return np.concatenate(colours), np.concatenate(panes), starts.astype(np.int32), np.array(widths, np.int32)


def build_wall(length: float, rng: np.random.Generator) -> Wall:
    """Plan and draw the houses along one side of a street."""
    houses = [plan_house(start, width, rng) for start, width in _plots(length, rng)]
    shape = round(TOP_M * PIXELS_PER_METRE), round(length * PIXELS_PER_METRE)
    strip, panes = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
    for house in houses:
        draw_house(strip, panes, house)
    colours, windows, starts, widths = _scales(strip, panes)
    samples = round(length * SAMPLES_PER_METRE)
    heights, next_start, next_height = (np.zeros(samples, np.float32) for _ in range(3))
    next_colour = np.zeros((samples, 3), np.float32)
    first = houses[0]
    for house, after in pairwise([House(**{**first.__dict__, "start_m": 0.0, "width_m": 0.0}), *houses]):
        inside = slice(round(house.start_m * SAMPLES_PER_METRE), round(after.start_m * SAMPLES_PER_METRE))
        next_start[inside], next_height[inside], next_colour[inside] = after.start_m, after.wall_m, after.colour
    for house in houses:
        heights[round(house.start_m * SAMPLES_PER_METRE) : round(house.end_m * SAMPLES_PER_METRE)] = house.wall_m
    return Wall(
        colours=colours,
        panes=windows,
        starts=starts,
        widths=widths,
        heights=heights,
        next_start=next_start,
        next_height=next_height,
        next_colour=next_colour,
    )


def build_street(blocks: int, rng: np.random.Generator) -> Street:
    """A street of a number of blocks, with its trees and lamps."""
    length, half_width = blocks * BLOCK_M + BEYOND_M, float(rng.uniform(7.0, 9.5))
    left, right = build_wall(length, rng), build_wall(length, rng)
    kerb = half_width - 2.2
    standing, light = [], np.zeros(round(length * SAMPLES_PER_METRE), np.float32)
    along = np.arange(len(light), dtype=np.float32) / SAMPLES_PER_METRE
    planted = rng.random() < 0.6
    for step in range(int(length / 12)):
        for side in (-1, 1):
            place = step * 12 + float(rng.uniform(0, 5)) + 3 * side
            if step % 2 == (side > 0):
                standing.append(Standing(kind="lamp", along_m=place, across_m=side * kerb, height_m=5.0, variant=0))
                light = np.maximum(light, np.exp(-(((along - place) / 5) ** 2)).astype(np.float32))
            elif planted and rng.random() < 0.5:
                height, variant = float(rng.uniform(4, 8)), int(rng.integers(6))
                standing.append(Standing(kind="tree", along_m=place, across_m=side * kerb, height_m=height, variant=variant))
    return Street(length_m=length, half_width_m=half_width, left=left, right=right, standing=tuple(standing), lamps_m=light)
