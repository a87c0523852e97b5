"""One house front: what its architect chose, and how that is drawn."""

from dataclasses import dataclass

import numpy as np

from sameplace.datasets.toytown import roofs, shops
from sameplace.datasets.toytown.materials import ACCENTS, GLASS, MATERIALS, TRIMS, WALLS, Colour, covered, shade
from sameplace.datasets.toytown.panel import Panel
from sameplace.shapes import Array, Num, UInt8

WINDOWS = ("sash", "arched", "round", "paired", "grid", "french", "ribbon", "bay", "lancet", "square")
GROUND_FLOORS = ("shop", "shop", "door", "door", "arcade", "garage")


@dataclass(frozen=True, kw_only=True)
class House:
    """What makes a house front itself: nothing in it changes with weather, light or season."""

    start_m: float
    width_m: float
    ground_m: float
    storey_m: float
    storeys: int
    columns: int
    window: str
    ground_floor: str
    roof: str
    material: str
    colour: Colour
    trim: Colour
    accent: Colour
    glass: Colour
    seed: int

    @property
    def wall_m(self) -> float:
        """Height of the wall, without its roof."""
        return self.ground_m + self.storey_m * self.storeys

    @property
    def end_m(self) -> float:
        """Where the next house may begin."""
        return self.start_m + self.width_m


def plan_house(start_m: float, width_m: float, rng: np.random.Generator) -> House:
    """A house for a plot of a given width."""
    window = str(rng.choice(WINDOWS))
    return House(
        start_m=start_m,
        width_m=width_m,
        ground_m=float(rng.uniform(3.2, 4.2)),
        storey_m=float(rng.uniform(2.7, 3.4)),
        storeys=int(rng.integers(1, 5)),
        columns=max(1, round(width_m / float(rng.uniform(1.9, 3.4)))),
        window=window,
        ground_floor=str(rng.choice(GROUND_FLOORS)),
        roof=str(rng.choice(roofs.ROOFS)),
        material=str(rng.choice(MATERIALS)),
        colour=WALLS[int(rng.integers(len(WALLS)))],
        trim=TRIMS[int(rng.integers(len(TRIMS)))],
        accent=ACCENTS[int(rng.integers(len(ACCENTS)))],
        glass=GLASS[int(rng.integers(len(GLASS)))],
        seed=int(rng.integers(2**31)),
    )


def draw_house(colours: Num[Array, "rows columns"], windows: UInt8[Array, "rows columns"], house: House) -> None:
    """Draw a house on a street's strip of colours, and its panes on the strip that says which may be lit."""
    rng = np.random.default_rng(house.seed)
    panel = Panel(colours, windows, house.start_m, rng)
    wall = panel.colours[panel.area(0, house.wall_m, house.width_m, 0)]
    wall[:] = covered(house.material, house.colour, wall.shape, int(rng.integers(99)))
    roofs.draw(panel, house.roof, house.width_m, house.wall_m, house.trim)
    _mouldings(panel, house)
    pitch = house.width_m / house.columns
    skipped = int(rng.integers(house.columns)) if house.columns > 3 and rng.random() < 0.3 else -1
    for storey in range(house.storeys):
        floor = house.ground_m + storey * house.storey_m
        if house.window == "ribbon":
            _ribbon(panel, house, floor)
            continue
        for column in range(house.columns):
            if column != skipped:
                _window(panel, house, (column + 0.5) * pitch, floor + house.storey_m * 0.27, min(pitch * 0.62, 2.2))
    if skipped >= 0:
        _ornament(panel, house, (skipped + 0.5) * pitch, min(pitch * 0.8, 2.2))
    shops.draw(panel, house.ground_floor, house.width_m, house.ground_m, house.trim, house.accent, house.glass)


def _mouldings(panel: Panel, house: House) -> None:
    """Cornice, string courses, corner stones, pilasters, timber: whatever this house has of them."""
    dark, rng = shade(house.colour, 0.72), panel.rng
    choice = rng.random(5)
    panel.box(0, house.wall_m, house.width_m, house.wall_m - 0.35, house.trim)
    panel.box(0, house.wall_m - 0.35, house.width_m, house.wall_m - 0.45, dark)
    if choice[0] < 0.5:
        for storey in range(house.storeys):
            floor = house.ground_m + storey * house.storey_m
            panel.box(0, floor + 0.12, house.width_m, floor - 0.12, house.trim)
    if choice[1] < 0.35:
        for stone in range(int(house.wall_m / 0.8)):
            for edge in (0.0, house.width_m - (0.7 if stone % 2 else 0.45)):
                panel.box(edge, stone * 0.8 + 0.7, edge + (0.7 if stone % 2 else 0.45), stone * 0.8, house.trim)
    elif choice[1] < 0.5:
        for column in range(house.columns + 1):
            across = min(max(column * house.width_m / house.columns, 0.2), house.width_m - 0.2)
            panel.box(across - 0.2, house.wall_m - 0.4, across + 0.2, house.ground_m, shade(house.trim, 0.92))
    if choice[2] < 0.16 and house.window != "ribbon":
        _timber(panel, house)
    if choice[3] < 0.3:
        panel.box(0, house.ground_m, house.width_m, 0, shade(house.colour, 0.62) if choice[4] < 0.5 else shade(house.trim, 0.85))
    if choice[4] > 0.75:
        panel.box(0, 0.7, house.width_m, 0, (98, 94, 92))


def _timber(panel: Panel, house: House) -> None:
    """Half-timbering: posts and braces between the storeys."""
    beam = (78, 54, 40)
    pitch = house.width_m / house.columns
    for storey in range(house.storeys):
        floor = house.ground_m + storey * house.storey_m
        panel.box(0, floor + 0.15, house.width_m, floor - 0.1, beam)
        for column in range(house.columns + 1):
            across = min(max(column * pitch, 0.1), house.width_m - 0.1)
            panel.box(across - 0.11, floor + house.storey_m, across + 0.11, floor, beam)
            if column < house.columns and (column + storey) % 2:
                panel.beam(column * pitch, floor, (column + 1) * pitch, floor + house.storey_m * 0.9, beam, 0.16)


def _window(panel: Panel, house: House, across: float, sill: float, width: float) -> None:
    """One window of the house's kind, its sill at a height."""
    height = house.storey_m * 0.58
    match house.window:
        case "paired":
            for side in (-0.27, 0.27):
                panel.window(across + side * width, sill, width * 0.44, height, house.trim, house.glass, bars=(1, 2))
        case "french":
            panel.window(across, sill - 0.5, width * 0.8, height + 0.5, house.trim, house.glass, bars=(2, 3))
            panel.railing(across, sill - 0.55, width * 1.1, 0.9, shade(house.accent, 0.6))
        case "bay":
            panel.box(across - width * 0.62, sill + height + 0.4, across + width * 0.62, sill - 0.7, shade(house.trim, 0.86))
            for side in (-0.4, 0.0, 0.4):
                panel.window(
                    across + side * width, sill, width * (0.2 if side else 0.5), height, house.trim, house.glass, bars=(1, 2)
                )
        case "square":
            side = min(width, 1.1)
            panel.window(across, sill + 0.3, side, side, house.trim, house.glass, bars=(2, 2))
        case "grid":
            panel.window(across, sill - 0.3, width * 1.35, height + 0.5, house.trim, house.glass, bars=(4, 4))
        case "lancet":
            for side in (-0.3, 0.0, 0.3):
                panel.window(across + side * width, sill, width * 0.26, height, house.trim, house.glass, arch="pointed")
        case "arched" | "round":
            narrow = width * (0.72 if house.window == "arched" else 1.0)
            panel.window(across, sill, narrow, height, house.trim, house.glass, bars=(2, 2), arch="round")
        case _:
            panel.window(across, sill, width * 0.75, height, house.trim, house.glass, bars=(2, 2))
            _dressing(panel, house, across, sill, width * 0.75, height)


def _dressing(panel: Panel, house: House, across: float, sill: float, width: float, height: float) -> None:
    """Shutters, a lintel or a flower box: the same at every sash window of a house."""
    kind = house.seed % 4
    if kind in (0, 3):
        for left in (across - width * 0.5 - 0.5, across + width * 0.5 + 0.06):
            panel.box(left, sill + height, left + 0.44, sill, house.accent)
            for slat in range(4):
                panel.box(
                    left, sill + height * (slat + 0.6) / 4, left + 0.44, sill + height * (slat + 0.5) / 4, shade(house.accent, 0.7)
                )
    if kind in (1, 3):
        panel.box(across - width * 0.65, sill + height + 0.4, across + width * 0.65, sill + height + 0.1, house.trim)
    if kind == 2:
        panel.box(across - width * 0.5, sill, across + width * 0.5, sill - 0.3, (110, 72, 48))
        for flower in range(5):
            panel.disc(across + width * (flower - 2) * 0.2, sill + 0.08, 0.14, house.accent if flower % 2 else (70, 120, 60))


def _ribbon(panel: Panel, house: House, floor: float) -> None:
    """The long window of a modern house."""
    sill, height = floor + house.storey_m * 0.3, house.storey_m * 0.5
    panel.box(0.2, sill + height + 0.15, house.width_m - 0.2, sill - 0.15, house.accent)
    panes = house.columns * 2
    pitch = (house.width_m - 0.6) / panes
    for pane in range(panes):
        panel.pane(0.3 + (pane + 0.06) * pitch, sill + height, 0.3 + (pane + 0.94) * pitch, sill, house.glass)


def _ornament(panel: Panel, house: House, across: float, width: float) -> None:
    """What stands where a column of windows was left out: a mural, a clock, a vertical sign or ivy."""
    low, high, rng = house.ground_m + 0.5, house.wall_m - 0.8, panel.rng
    kind = int(rng.integers(4))
    if kind == 0:
        panel.disc(across, (low + high) / 2, width * 0.5, house.trim)
        panel.disc(across, (low + high) / 2, width * 0.4, (250, 248, 240))
        panel.beam(across, (low + high) / 2, across, (low + high) / 2 + width * 0.32, (30, 30, 30), 0.12)
        panel.beam(across, (low + high) / 2, across + width * 0.25, (low + high) / 2, (30, 30, 30), 0.12)
    elif kind == 1:
        panel.box(across - width * 0.22, high, across + width * 0.22, low, house.accent)
        panel.glyphs(across - width * 0.15, high - 0.2, width * 0.3, high - low - 0.4, (250, 244, 226), upright=True)
    elif kind == 2:
        for _ in range(60):
            point = across + float(rng.normal(0, width * 0.22)), float(rng.uniform(0, high))
            panel.disc(*point, 0.3, shade((66, 108, 58), float(rng.uniform(0.7, 1.2))))
    else:
        for row in range(int((high - low) / 0.7)):
            for cell in range(3):
                colour = ACCENTS[int(rng.integers(len(ACCENTS)))]
                left = across + (cell - 1.5) * width / 3
                corners = [
                    (left, low + row * 0.7),
                    (left + width / 3, low + row * 0.7),
                    (left + (row % 2) * width / 3, low + row * 0.7 + 0.7),
                ]
                panel.polygon(corners, colour)
