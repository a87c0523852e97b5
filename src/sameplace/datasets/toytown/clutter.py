"""How trees, lamps, cars, people and market stalls are drawn, each once and large."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from sameplace.datasets.toytown.materials import ACCENTS, WALLS, Colour, shade

PAINTS: tuple[Colour, ...] = (*ACCENTS[:6], (235, 235, 232), (40, 42, 46), (150, 154, 160))
SLIMNESS = {"tree": 160 / 240, "lamp": 40 / 200, "person": 60 / 150, "stall": 150 / 130}
"""Width over height of each figure."""
CLOTHES: tuple[Colour, ...] = (*ACCENTS, *WALLS[:8], (50, 52, 64))
LEAVES: dict[str, tuple[Colour, ...]] = {
    "summer": ((74, 128, 58), (96, 150, 66), (58, 112, 60), (120, 160, 74)),
    "autumn": ((206, 132, 44), (186, 84, 40), (170, 150, 60), (120, 110, 56)),
}


@cache
def tree(season: str, variant: int) -> Image.Image:
    """A tree of a shape, in leaf or in autumn colours."""
    rng = np.random.default_rng(variant)
    image = Image.new("RGBA", (160, 240))
    pen = ImageDraw.Draw(image)
    pen.polygon([(74, 240), (77, 120), (84, 120), (88, 240)], (88, 66, 50, 255))
    for branch in (-1, 1):
        pen.line([(80, 170), (80 + branch * 34, 110)], (88, 66, 50, 255), 4)
    leaves = LEAVES[season]
    spots = 70 if season == "summer" else 38
    for spot in range(spots):
        angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        centre = 80 + np.cos(angle) * reach * (40 + 6 * (variant % 3)), 85 + np.sin(angle) * reach * (50 + 6 * (variant % 4))
        radius = rng.uniform(9, 19)
        colour = shade(leaves[int(rng.integers(len(leaves)))], 0.8 + 0.4 * spot / spots)
        pen.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), (*colour, 255))
    return image


@cache
def lamp() -> Image.Image:
    """A street lamp."""
    image = Image.new("RGBA", (40, 200))
    pen = ImageDraw.Draw(image)
    pen.rectangle((18, 30, 21, 200), (44, 50, 52, 255))
    pen.rectangle((15, 180, 24, 200), (44, 50, 52, 255))
    pen.polygon([(12, 8), (28, 8), (25, 30), (15, 30)], (244, 236, 206, 255))
    pen.polygon([(9, 9), (20, 0), (31, 9)], (44, 50, 52, 255))
    return image


@cache
def person(variant: int) -> Image.Image:
    """A passer-by."""
    rng = np.random.default_rng(100 + variant)
    coat, legs = CLOTHES[int(rng.integers(len(CLOTHES)))], shade(CLOTHES[int(rng.integers(len(CLOTHES)))], 0.5)
    skin = ((238, 200, 170), (200, 150, 116), (140, 96, 72), (250, 216, 190))[variant % 4]
    image = Image.new("RGBA", (60, 150))
    pen = ImageDraw.Draw(image)
    for foot, hip in ((18, 27), (38, 31)):
        pen.line([(hip, 85), (foot, 147)], (*legs, 255), 10)
    pen.rounded_rectangle((17, 32, 42, 92), 9, (*coat, 255))
    for hand, shoulder in ((11, 20), (48, 39)):
        pen.line([(shoulder, 38), (hand, 80)], (*shade(coat, 0.85), 255), 7)
    pen.ellipse((20, 4, 39, 28), (*skin, 255))
    pen.pieslice((19, 2, 40, 26), 180, 360, (*shade((110, 70, 40), float(rng.uniform(0.4, 1.6))), 255))
    return image


@cache
def car_side(kind: str, variant: int) -> Image.Image:
    """A car from its side, 4.4 m long."""
    paint = PAINTS[variant]
    image = Image.new("RGBA", (220, 115 if kind == "van" else 75))
    pen, low = ImageDraw.Draw(image), image.height
    if kind == "van":
        pen.rounded_rectangle((4, 4, 214, low - 14), 12, (*paint, 255))
        pen.polygon([(160, 16), (196, 16), (208, 52), (160, 52)], (58, 70, 82, 255))
        pen.rectangle((4, 62, 214, 70), (*shade(paint, 0.75), 255))
    else:
        pen.polygon([(38, 32), (66, 4), (146, 4), (182, 32)], (*shade(paint, 0.9), 255))
        pen.polygon([(50, 31), (71, 9), (102, 9), (102, 31)], (58, 70, 82, 255))
        pen.polygon([(108, 31), (108, 9), (142, 9), (168, 31)], (58, 70, 82, 255))
        pen.rounded_rectangle((2, 28, 218, low - 12), 12, (*paint, 255))
        pen.rectangle((8, 46, 212, 49), (*shade(paint, 0.75), 255))
    for wheel in (46, 172):
        pen.ellipse((wheel - 18, low - 36, wheel + 18, low), (30, 30, 32, 255))
        pen.ellipse((wheel - 9, low - 27, wheel + 9, low - 9), (150, 152, 156, 255))
    return image


@cache
def car_end(kind: str, variant: int) -> Image.Image:
    """The same car from behind, 1.8 m wide."""
    paint = shade(PAINTS[variant], 0.82)
    image = Image.new("RGBA", (90, 115 if kind == "van" else 75))
    pen, low = ImageDraw.Draw(image), image.height
    pen.rectangle((8, low - 20, 24, low - 1), (30, 30, 32, 255))
    pen.rectangle((66, low - 20, 82, low - 1), (30, 30, 32, 255))
    pen.rounded_rectangle((10, 3, 80, low - 20), 10, (*paint, 255))
    pen.rounded_rectangle((2, 28 if kind == "car" else 8, 88, low - 10), 9, (*paint, 255))
    pen.polygon([(20, 9), (70, 9), (76, 30), (14, 30)], (58, 70, 82, 255))
    for light in (6, 70):
        pen.rectangle((light, low - 40, light + 14, low - 31), (210, 40, 40, 255))
    pen.rectangle((32, low - 30, 58, low - 22), (240, 236, 210, 255))
    return image


@cache
def stall(variant: int) -> Image.Image:
    """A market stall under its striped roof."""
    rng = np.random.default_rng(200 + variant)
    colour = ACCENTS[variant % len(ACCENTS)]
    image = Image.new("RGBA", (150, 130))
    pen = ImageDraw.Draw(image)
    for post in (12, 134):
        pen.rectangle((post, 30, post + 4, 130), (110, 84, 60, 255))
    pen.rectangle((8, 84, 142, 130), (*shade((168, 124, 80), 0.9), 255))
    for ware in range(9):
        fruit = ACCENTS[int(rng.integers(len(ACCENTS)))]
        pen.ellipse((12 + ware * 14, 72, 28 + ware * 14, 88), (*shade(fruit, 1.1), 255))
    for stripe in range(10):
        edge = (*(colour if stripe % 2 else (246, 240, 226)), 255)
        pen.polygon([(20 + stripe * 11, 4), (31 + stripe * 11, 4), (15 + stripe * 15, 40), (stripe * 15, 40)], edge)
        pen.pieslice((stripe * 15, 32, stripe * 15 + 15, 48), 0, 180, edge)
    return image


def drawing(kind: str, season: str, variant: int) -> Image.Image:
    """The drawing of a kind of figure."""
    match kind:
        case "tree":
            return tree(season, variant)
        case "lamp":
            return lamp()
        case "person":
            return person(variant)
        case "stall":
            return stall(variant)
    body, part = kind.split()
    return car_side(body, variant) if part == "side" else car_end(body, variant)
