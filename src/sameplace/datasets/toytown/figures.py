"""Trees, lamps, cars, people and garlands put before the houses, each as large as its distance makes it."""

from collections.abc import Sequence
from functools import lru_cache
from math import hypot, log

import numpy as np
from PIL import Image

from sameplace.datasets.toytown.camera import Camera
from sameplace.datasets.toytown.clutter import SLIMNESS, drawing
from sameplace.datasets.toytown.materials import ACCENTS
from sameplace.datasets.toytown.stage import Stage
from sameplace.datasets.toytown.street import Standing

NEAR_M, FAR_M, FAR_GARLAND_M = 2.5, 48.0, 32.0
CAR_M, BACK_M = 4.4, 1.8
GARLANDS = ("flags", "bulbs")
STEP = 1.18
LINE, BULB = (70, 66, 64), (236, 210, 150)


@lru_cache(maxsize=4096)
def picture(kind: str, season: str, variant: int, height: int, width: int) -> Image.Image:
    """One figure at a size in pixels."""
    return drawing(kind, season, variant).resize((width, height), Image.Resampling.BILINEAR)


def put_figures(stage: Stage, standing: Sequence[Standing], camera: Camera, season: str, lamps: float) -> None:
    """Put in everything that stands in view, the nearest last; `lamps` is how bright they burn, 0..1."""
    along, across = (np.array([getattr(thing, name) for thing in standing]) for name in ("along_m", "across_m"))
    columns, bases, depths = camera.project(along, across, 0.0)
    hung = np.array([thing.kind in GARLANDS for thing in standing])
    margin = camera.focal * (3 + 5 * hung) / np.maximum(depths, 0.1)
    in_depth = (depths > NEAR_M) & (depths < np.where(hung, FAR_GARLAND_M, FAR_M))
    seen = np.flatnonzero(in_depth & (columns > -margin) & (columns < camera.width + margin))
    for index in seen[np.argsort(-depths[seen], kind="stable")]:
        thing, foot, depth = standing[index], (float(columns[index]), float(bases[index])), float(depths[index])
        if hung[index]:
            _garland(stage, thing, camera, lamps)
        elif thing.kind in ("car", "van"):
            _car(stage, thing, camera, foot, depth)
        else:
            height = _steps(thing.height_m * camera.focal / depth)
            image = picture(thing.kind, season, thing.variant, height, max(1, round(height * SLIMNESS[thing.kind])))
            stage.paste(image, foot[0] - image.width / 2, foot[1] - height, depth)
            if thing.kind == "lamp" and lamps:
                stage.shine(foot[0], foot[1] - 0.9 * height, max(2, height // 3), lamps)


def _steps(pixels: float) -> int:
    """A size in pixels, in steps of a sixth: a figure scaled once serves many photos."""
    return round(STEP ** round(log(max(2.0, pixels)) / log(STEP)))


def _car(stage: Stage, thing: Standing, camera: Camera, foot: tuple[float, float], depth: float) -> None:
    """A parked car shows its end, and the side that is nearer to the camera."""
    along, across = thing.along_m - camera.view.along_m, thing.across_m - camera.view.across_m
    pixel, height = camera.focal / depth, _steps(thing.height_m * camera.focal / depth)
    turned = ((CAR_M, abs(across)), (BACK_M, abs(along)))
    side, end = (_steps(length * pixel * share / hypot(along, across)) for length, share in turned)
    seam = 0.15 * min(side, end)  # both have round corners, so they must overlap to be one car
    left, top = foot[0] - (side + end - seam) / 2, foot[1] - height
    end_left, side_left = (left, left + end - seam) if across < 0 else (left + side - seam, left)
    stage.paste(picture(f"{thing.kind} end", "", thing.variant, height, end), end_left, top, depth)
    stage.paste(picture(f"{thing.kind} side", "", thing.variant, height, side), side_left, top, depth)


def _garland(stage: Stage, thing: Standing, camera: Camera, lamps: float) -> None:
    """Flags or bulbs on a line that hangs across the street."""
    half = camera.street.half_width_m
    across = np.linspace(-half, half, 15)
    sag = thing.height_m - 1.2 * (1 - (across / half) ** 2)
    columns, rows, depths = camera.project(np.full(len(across), thing.along_m), across, sag)
    near = depths > NEAR_M / 2
    points = [(float(column), float(row)) for column, row in zip(columns[near], rows[near], strict=True)]
    middle = float(depths[near].mean())
    stage.line(points, LINE, middle)
    for number, ((column, row), depth) in enumerate(zip(points, depths[near].tolist(), strict=True)):
        metre = camera.focal / depth
        if not -metre < column < camera.width + metre or row < -metre:
            continue
        if thing.kind == "flags":
            corners = [(column - 0.3 * metre, row), (column + 0.3 * metre, row), (column, row + 0.75 * metre)]
            stage.polygon(corners, ACCENTS[(thing.variant + number) % len(ACCENTS)], middle)
            continue
        low, side = row + 0.3 * metre, 0.13 * metre
        stage.polygon([(column, row), (column + side, low - side), (column, low), (column - side, low - side)], BULB, middle)
        if lamps and metre > 6:
            stage.shine(column, row + 0.15 * metre, round(0.6 * metre), lamps)
