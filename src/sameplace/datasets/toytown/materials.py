"""What toytown is made of: wall and roof patterns and the colours they come in."""

from functools import cache

import numpy as np

from sameplace.shapes import Array, Num, UInt8

PIXELS_PER_METRE = 16
TILE = 300
"""Pixels along each side of a pattern: more than the widest or highest wall."""

Colour = tuple[int, int, int]

WALLS: tuple[Colour, ...] = (
    (196, 92, 66), (168, 74, 60), (214, 138, 84), (226, 176, 96), (240, 210, 150), (236, 226, 206), (246, 242, 234),
    (190, 202, 178), (132, 160, 138), (164, 196, 206), (108, 148, 170), (228, 170, 162), (206, 128, 132), (178, 160, 190),
    (150, 128, 110), (122, 110, 108), (204, 190, 168), (84, 110, 120), (232, 156, 120), (180, 178, 172),
)  # fmt: skip
ROOFS: tuple[Colour, ...] = ((92, 98, 112), (160, 82, 60), (120, 60, 52), (104, 140, 128), (70, 70, 78), (140, 120, 100))
TRIMS: tuple[Colour, ...] = ((250, 248, 240), (238, 224, 196), (70, 62, 60), (48, 70, 66), (226, 222, 214), (120, 50, 44))
ACCENTS: tuple[Colour, ...] = (
    (190, 40, 44), (28, 92, 150), (22, 112, 84), (230, 170, 30), (92, 52, 110), (226, 104, 40), (30, 40, 60), (200, 70, 120),
    (60, 150, 170), (110, 140, 50),
)  # fmt: skip
GLASS: tuple[Colour, ...] = ((62, 78, 92), (48, 60, 72), (84, 104, 118), (70, 74, 80))
MATERIALS = ("brick", "ashlar", "stucco", "planks", "courses", "tiles")


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (below 1) or lighter (above).

    >>> shade((100, 50, 200), 1.5)
    (150, 75, 255)
    """
    return min(255, int(colour[0] * factor)), min(255, int(colour[1] * factor)), min(255, int(colour[2] * factor))


@cache
def ink(colour: Colour) -> np.uint32:
    """A colour as one opaque RGBA pixel."""
    return np.uint32(colour[0] | colour[1] << 8 | colour[2] << 16 | 255 << 24)


def _blocks(height: int, width: int, shift: int) -> UInt8[Array, "rows columns"]:
    """Blocks of height x width pixels with joints between them, every other course shifted."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    course = rows // height
    column = columns + course % 2 * shift
    tones = np.random.default_rng(height * 1000 + width).integers(172, 214, size=(TILE, TILE), dtype=np.uint8)
    joints = (rows % height == 0) | (column % width == 0)
    return np.where(joints, np.uint8(142), tones[course, column // width % TILE])


@cache
def pattern(material: str) -> UInt8[Array, "rows columns"]:
    """The pattern of a material as grey levels, 200 being the colour itself."""
    match material:
        case "brick":
            grey = _blocks(4, 8, 4)
        case "ashlar":
            grey = _blocks(9, 18, 9)
        case "planks":
            grey = np.repeat(_blocks(TILE, 6, 0)[1:2], TILE, axis=0)
        case "courses":
            grey = np.repeat(np.where(np.arange(TILE) % 12 < 2, 150, 200)[:, None], TILE, axis=1)
        case "tiles":
            grey = _blocks(5, 7, 3)
        case _:
            grey = np.full((TILE, TILE), 200)
    noise = np.random.default_rng(7).integers(-9, 10, size=(TILE // 4, TILE // 4)).repeat(4, axis=0).repeat(4, axis=1)
    return np.clip(grey.astype(int) + noise, 0, 255).astype(np.uint8)


def covered(material: str, colour: Colour, shape: tuple[int, ...], offset: int) -> Num[Array, "rows columns"]:
    """A piece of wall or roof of a material in a colour, as RGBA pixels."""
    height, width = shape
    top, left = offset % max(1, TILE - height), offset * 7 % max(1, TILE - width)
    tones = np.minimum(np.arange(256)[:, None] * np.array(colour) // 200, 255).astype(np.uint32)
    inks = tones[:, 0] | tones[:, 1] << 8 | tones[:, 2] << 16 | np.uint32(255 << 24)
    piece: Num[Array, "rows columns"] = inks[pattern(material)[top : top + height, left : left + width]]
    return piece
