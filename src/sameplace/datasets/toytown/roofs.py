"""What stands on a wall: gables, slates, battlements, chimneys and little towers."""

import numpy as np

from sameplace.datasets.toytown import materials
from sameplace.datasets.toytown.materials import Colour, covered, shade
from sameplace.datasets.toytown.panel import Panel

ROOFS = ("gable", "stepped", "mansard", "flat", "battlements", "twin", "bell", "turret")


def draw(panel: Panel, kind: str, width: float, wall: float, trim: Colour) -> None:
    """Draw a roof of a kind on a wall of a width and height in metres."""
    rng = panel.rng
    colour = materials.ROOFS[int(rng.integers(len(materials.ROOFS)))]
    if kind not in ("battlements", "flat"):
        _chimneys(panel, rng, width, wall)
    match kind:
        case "gable":
            rise = width * float(rng.uniform(0.25, 0.42))
            panel.polygon([(-0.3, wall), (width / 2, wall + rise + 0.3), (width + 0.3, wall)], colour)
            panel.polygon([(0.2, wall), (width / 2, wall + rise - 0.2), (width - 0.2, wall)], shade(trim, 0.94))
            panel.window(width / 2, wall + rise * 0.2, 0.9, rise * 0.35, colour, (62, 78, 92), bars=(2, 2))
        case "stepped":
            steps, rise = 4, width * 0.4
            for step in range(steps):
                inset = width / 2 * step / steps
                panel.box(inset, wall + rise * (step + 1) / steps, width - inset, wall + rise * step / steps, shade(trim, 0.9))
                panel.box(inset, wall + rise * (step + 1) / steps, width - inset, wall + rise * (step + 1) / steps - 0.15, colour)
            panel.disc(width / 2, wall + rise * 0.4, 0.55, (62, 78, 92))
        case "mansard":
            _slates(panel, colour, width, wall, 2.4)
            dormers = max(1, int(width / 3.2))
            for dormer in range(dormers):
                panel.window((dormer + 0.5) * width / dormers, wall + 0.6, 1.0, 1.0, trim, (62, 78, 92), bars=(2, 1), arch="round")
        case "battlements":
            for merlon in range(int(width / 1.2)):
                panel.box(merlon * 1.2 + 0.2, wall + 0.7, merlon * 1.2 + 0.9, wall, shade(trim, 0.9))
        case "twin":
            for side in (0.0, width / 2):
                panel.polygon([(side, wall), (side + width / 4, wall + width * 0.3), (side + width / 2, wall)], colour)
                panel.disc(side + width / 4, wall + width * 0.09, 0.4, trim)
        case "bell":
            _bell(panel, colour, width, wall, trim)
        case "turret":
            _turret(panel, colour, width, wall, trim)
        case _:
            panel.box(-0.15, wall + 0.3, width + 0.15, wall, shade(trim, 0.9))


def _bell(panel: Panel, colour: Colour, width: float, wall: float, trim: Colour) -> None:
    """A curved gable with a little pediment on top."""
    panel.disc(width / 2, wall + 0.4, width * 0.32, shade(trim, 0.92))
    panel.box(0, wall + 0.5, width, wall, shade(trim, 0.92))
    panel.box(width / 2 - 0.9, wall + width * 0.3 + 1.0, width / 2 + 0.9, wall + 0.6, shade(trim, 0.92))
    panel.polygon(
        [
            (width / 2 - 1.2, wall + width * 0.3 + 1),
            (width / 2, wall + width * 0.3 + 2),
            (width / 2 + 1.2, wall + width * 0.3 + 1),
        ],
        colour,
    )
    panel.disc(width / 2, wall + width * 0.2, 0.5, (62, 78, 92))


def _turret(panel: Panel, colour: Colour, width: float, wall: float, trim: Colour) -> None:
    """A low roof with a turret at one corner."""
    _slates(panel, colour, width, wall, 1.2)
    edge = float(panel.rng.choice([1.3, width - 1.3]))
    panel.box(edge - 1.2, wall + 1.8, edge + 1.2, wall - 2.0, trim)
    panel.polygon([(edge - 1.5, wall + 1.8), (edge, wall + 4.6), (edge + 1.5, wall + 1.8)], colour)
    panel.window(edge, wall - 0.8, 0.8, 1.6, shade(trim, 0.7), (62, 78, 92), bars=(2, 2))


def _slates(panel: Panel, colour: Colour, width: float, wall: float, rise: float) -> None:
    """A steep roof seen from the street."""
    slates = panel.colours[panel.area(0, wall + rise, width, wall)]
    slates[:] = covered("tiles", colour, slates.shape, 0)


def _chimneys(panel: Panel, rng: np.random.Generator, width: float, wall: float) -> None:
    """One or two chimneys behind the roof."""
    for _ in range(int(rng.integers(0, 3))):
        across = float(rng.uniform(0.8, width - 0.8))
        panel.box(across - 0.4, wall + 3.2, across + 0.4, wall, (140, 76, 60))
        panel.box(across - 0.5, wall + 3.3, across + 0.5, wall + 3.0, (96, 60, 52))
