"""A photo of toytown: ground, houses and figures, in the light and weather of a pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sameplace.datasets.toytown import sky
from sameplace.datasets.toytown.camera import EYE_M, Camera, flanks, house_fronts, sample
from sameplace.datasets.toytown.figures import put_figures
from sameplace.datasets.toytown.materials import Colour
from sameplace.datasets.toytown.panel import WINDOWS
from sameplace.datasets.toytown.stage import Stage
from sameplace.datasets.toytown.street import Standing
from sameplace.datasets.toytown.weather import Tint, Weather
from sameplace.shapes import Array, Float32

ROAD, KERB, PAVEMENT, LINE = (92, 93, 98), (176, 174, 168), (150, 144, 136), (214, 212, 204)
SNOW = (236, 240, 246)
KERB_M = 2.8
"""From the houses to the road."""
LAMPLIGHT, ROOM_LIGHT = (0.95, 0.72, 0.42), (255, 214, 140)


def planes(colour: Tint | Colour) -> Float32[Array, "3 1 1"]:
    """A colour that goes with an image whose first axis is its colours: numpy is many times faster so."""
    return np.array(colour, np.float32)[:, None, None]


@dataclass(frozen=True, kw_only=True)
class Surfaces:
    """What is where in an image, before any light falls on it."""

    colour: Float32[Array, "3 height width"]
    solid: Float32[Array, "height width"]
    """0 where the sky is seen."""
    ground: Float32[Array, "height width"]
    lit: Float32[Array, "height width"] | None
    """How much of each pixel is a window with a light behind it."""
    along: Float32[Array, "height width"]
    across: Float32[Array, "height width"]
    up: Float32[Array, "height width"]
    depth: Float32[Array, "height width"]


def surfaces(camera: Camera, weather: Weather, salt: int) -> Surfaces:
    """Put ground, flanks and house fronts together."""
    numbers = np.arange(256)
    burning = ((numbers * 167 + salt * 31) % WINDOWS < weather.lit_share * WINDOWS) & (numbers > 0)
    fronts, lit = house_fronts(camera, burning if weather.lit_share else None)
    front = np.ascontiguousarray(fronts.transpose(2, 0, 1)).astype(np.float32)
    cover, side = front[3] * np.float32(1 / 255), flanks(camera)
    # Ground ends where the flank of the next house begins, or in the haze; house fronts cover what lies behind them.
    gap_end = np.where(side.seen, side.base, camera.horizon + np.float32(camera.focal * EYE_M / 70))
    ground = np.clip(camera.rows - np.minimum(gap_end, camera.base) + np.float32(0.5), 0, 1)
    far = np.float32(camera.focal * EYE_M) / np.maximum(camera.rows - camera.horizon, np.float32(0.75))
    ground_along = np.float32(camera.view.along_m) + far * camera.along
    ground_across = np.float32(camera.view.across_m) + far * camera.across
    behind = np.repeat(side.colour[:, None, :], camera.height, axis=1)
    first = max(0, int(camera.horizon.min()))
    paved = _paving(camera, ground_along[first:], ground_across[first:], far[first:])
    paved += (planes(SNOW) - paved) * np.float32(0.85 * weather.snow)
    behind[:, first:] += (paved - behind[:, first:]) * ground[first:]
    on_ground, on_front = (ground > 0.5) & (cover < 0.5), cover >= 0.5
    up = np.float32(EYE_M) - (camera.rows - camera.horizon) * (camera.depth / np.float32(camera.focal))
    facing = np.sign(camera.across) * np.float32(camera.street.half_width_m)
    return Surfaces(
        colour=behind * (1 - cover) + front[:3],
        solid=np.maximum(np.maximum(cover, ground), side.cover),
        ground=ground * (1 - cover),
        lit=None if lit is None else lit.astype(np.float32) * np.float32(1 / 255),
        along=np.where(on_ground, ground_along, camera.wall_along),
        across=np.where(on_ground, ground_across, facing),
        up=np.where(on_ground, np.float32(0), up),
        depth=np.where(on_ground, far, np.where(on_front, camera.depth, side.depth)),
    )


def _paving(camera: Camera, along: Array, across: Array, far: Array) -> Float32[Array, "3 rows width"]:
    """Road, kerb, pavement and the line in the middle, softened by as much as a pixel covers."""
    sharp = 1 / (far / np.float32(camera.focal) * (1 + far * np.abs(camera.across) * np.float32(1 / EYE_M)))
    middle, half = np.abs(across), np.float32(0.5)
    outside = (middle - np.float32(camera.street.half_width_m - KERB_M)) * sharp + half
    paved = np.clip(outside, 0, 1)
    edge = np.clip(outside + np.float32(0.25) * sharp, 0, 1) - paved
    line = (
        np.clip((np.float32(0.12) - middle) * sharp + half, 0, 1)
        * np.minimum(1, np.float32(0.3) * sharp)
        * (_part(along, 6.0) < 0.5)
    )
    slabs = ((_part(along, 0.8) < 0.08) | (_part(middle, 0.8) < 0.08)) * np.clip(1 - 10 / sharp, 0, 1)
    road = planes(ROAD)
    tone = road + (planes(PAVEMENT) - road) * paved + (planes(KERB) - road) * edge + (planes(LINE) - road) * line
    ground: Float32[Array, "3 rows width"] = tone - np.float32(22) * slabs * paved
    return ground


def _part(metres: Array, period: float) -> Array:
    """How far into a repeated pattern, 0..1; the remainder operator takes ten times as long."""
    turns = metres * np.float32(1 / period)
    return turns - np.floor(turns)


def illuminate(
    colour: Float32[Array, "3 height width"],
    seen: Surfaces,
    depth: Float32[Array, "height width"],
    lit: Float32[Array, "height width"] | None,
    camera: Camera,
    weather: Weather,
) -> Float32[Array, "3 height width"]:
    """Daylight with shadows, lamplight and lit windows, then haze."""
    light = planes(weather.ambient)
    street = camera.street
    if weather.sun_side:
        distance = np.maximum(np.float32(street.half_width_m) - weather.sun_side * seen.across, 0)
        heights = (street.right if weather.sun_side > 0 else street.left).heights
        shadow = sample(heights, seen.along + np.float32(0.35) * distance) - distance * np.float32(weather.sun_slope)
        light = light + planes(weather.sun) * (np.clip((seen.up - shadow) * 2 + np.float32(0.5), 0, 1) * (distance > 0.1))
    if weather.lamps:
        fall = ((np.abs(seen.across) - np.float32(street.half_width_m)) * np.float32(1 / 6)) ** 2
        fall += ((seen.up - np.float32(2.5)) * np.float32(1 / 4.5)) ** 2
        light = light + planes(LAMPLIGHT) * (sample(street.lamps_m, seen.along) * np.exp(-fall) * np.float32(weather.lamps))
    shaded = colour * light
    if lit is not None:
        shaded += (planes(ROOM_LIGHT) - shaded) * (lit * np.float32(0.35 + 0.65 * weather.lamps))
    haze = planes(weather.haze) * np.float32(255)
    hazy: Float32[Array, "3 height width"] = haze + (shaded - haze) * np.exp(depth * np.float32(-1 / weather.haze_m))
    return hazy


def photograph(
    camera: Camera, standing: Sequence[Standing], weather: Weather, season: str, salt: int, grain: Float32[Array, "height width"]
) -> Image.Image:
    """Take the photo."""
    seen = surfaces(camera, weather, salt)
    interleaved = np.ascontiguousarray(np.clip(seen.colour, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    stage = Stage(Image.fromarray(interleaved), seen.depth)
    put_figures(stage, standing, camera, season, weather.lamps)
    free = 1 - stage.hidden
    lit = None if seen.lit is None else seen.lit * free
    shaded = illuminate(_planar(stage.colour), seen, stage.depth, lit, camera, weather)
    backdrop = _planar(sky.backdrop(camera, weather, salt))
    picture = backdrop + (shaded - backdrop) * np.maximum(seen.solid, 1 - free)
    if weather.wet:
        mirrored = np.clip(2 * camera.base - camera.rows, 0, camera.height - 1).astype(np.intp)
        reflection = picture.reshape(3, -1)[:, mirrored * camera.width + np.arange(camera.width)]
        picture += (reflection - picture) * (seen.ground * free * np.float32(0.45 * weather.wet))
    if weather.lamps:
        picture += _planar(stage.glow)
    picture *= planes(camera.view.exposure)
    picture += grain * np.float32(weather.grain)
    image = Image.fromarray(np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8).transpose(1, 2, 0)))
    if weather.rain or weather.snow:
        _falling(image, weather, np.random.default_rng(int(abs(grain[0, 0]) * 1e6)))
    return image


def _planar(image: Image.Image) -> Float32[Array, "3 height width"]:
    """An image's colours, one plane each."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).astype(np.float32)


def _falling(image: Image.Image, weather: Weather, rng: np.random.Generator) -> None:
    """Streaks of rain and flakes of snow, before everything."""
    pen = ImageDraw.Draw(image, "RGBA")
    red, green, blue = (int(200 * channel + 55) for channel in weather.sky_low)
    for across, down, size in rng.uniform(0, 1, size=(int(90 * weather.rain), 3)):
        start = across * image.width, down * image.height
        pen.line((start, (start[0] - 3 - 2 * size, start[1] + 8 + 14 * size)), (red, green, blue, 90))
    for across, down, size in rng.uniform(0, 1, size=(int(140 * weather.snow), 3)):
        left, top, wide = across * image.width, down * image.height, 1 + 2.5 * size**3
        pen.ellipse((left, top, left + wide, top + wide), (255, 255, 255, 210))
