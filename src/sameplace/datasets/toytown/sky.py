"""The sky over toytown, and the roofs at the end of every street."""

from functools import lru_cache

import numpy as np
from PIL import Image

from sameplace.datasets.toytown.camera import HORIZON, Camera
from sameplace.datasets.toytown.weather import Weather
from sameplace.shapes import Array, Float32

PIXELS_PER_DEGREE = 2
HIGHEST_DEG, LOWEST_DEG = 48, -6


def _clouds(rng: np.random.Generator, width: int, height: int) -> Float32[Array, "height width"]:
    """A band of clouds, 0 clear to 1 white."""
    band = np.zeros((height, width), np.float32)
    for octave in range(1, 6):
        cells = rng.random((2**octave, 3 * 2**octave), dtype=np.float32)
        band += np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)) * np.float32(0.6**octave)
    low, high = np.percentile(band[::4, ::4], [35, 95])
    clear: Float32[Array, "height width"] = np.clip((band - low) / (high - low), 0, 1).astype(np.float32)
    return clear


@lru_cache(maxsize=32)
def panorama(weather: Weather, salt: int) -> Image.Image:
    """Everything above the horizon, all around, from north to north and a quarter."""
    rng = np.random.default_rng(salt)
    width, height = 450 * PIXELS_PER_DEGREE, (HIGHEST_DEG - LOWEST_DEG) * PIXELS_PER_DEGREE
    azimuth = np.arange(width) / PIXELS_PER_DEGREE % 360
    elevation = (HIGHEST_DEG - np.arange(height)[:, None] / PIXELS_PER_DEGREE).astype(np.float32)
    blend = np.sqrt(np.clip(elevation, 0, None) / HIGHEST_DEG)[..., None]
    colour = np.array(weather.sky_low, np.float32) * (1 - blend) + np.array(weather.sky_top, np.float32) * blend
    cover = _clouds(rng, width, height) * np.float32(0.85 * weather.cloudiness)
    colour = colour + (np.array(weather.clouds, np.float32) - colour) * cover[..., None]
    if weather.stars:
        colour += ((rng.random((height, width)) > 0.9975) * (1 - cover) * np.float32(0.7 * weather.stars))[..., None]
    roofs = np.abs(azimuth * 1.7 % 7 - 3.5) * 0.65 + 1.6 + 1.1 * np.sin(np.radians(azimuth * 50))
    far = np.clip((roofs - elevation) * PIXELS_PER_DEGREE + 0.5, 0, 1)[..., None] * np.float32(0.75)
    colour += (np.array(weather.haze, np.float32) * np.float32(0.86) - colour) * far
    return Image.fromarray(np.clip(colour * 255, 0, 255).astype(np.uint8))


def backdrop(camera: Camera, weather: Weather, salt: int) -> Image.Image:
    """What is seen where no house of the street stands."""
    half = float(np.degrees(np.arctan(camera.width / 2 / camera.focal)))
    middle = (camera.view.heading_deg - half) % 360 + half
    degree = camera.focal * np.radians(1)
    horizon = camera.height * (HORIZON + camera.view.tilt)
    area = (middle - half, HIGHEST_DEG - horizon / degree, middle + half, HIGHEST_DEG + (camera.height - horizon) / degree)
    left, top, right, bottom = (edge * PIXELS_PER_DEGREE for edge in area)
    source = panorama(weather, salt)
    box = max(0.0, left), max(0.0, top), min(right, source.width), min(bottom, source.height)
    return source.resize((camera.width, camera.height), Image.Resampling.BILINEAR, box)
