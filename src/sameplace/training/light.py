"""The light that a place is seen in, as numbers on pixels: exposure, white balance, season, shadows and lamps, night."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from sameplace.shapes import Array, Float32, UInt8

LUMA: Final = np.array([0.299, 0.587, 0.114])


class Season(NamedTuple):
    """What a season does to leaves and grass, to all light, and to the distance."""

    leaves: tuple[float, float, float]
    """Their colour, times how bright they were."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    veil: float = 0.1
    """Share of the light that is haze, at most."""


SEASONS: Final[Mapping[str, Season]] = MappingProxyType(
    {
        "autumn": Season(leaves=(1.8, 1.0, 0.3), tint=(1.06, 1.0, 0.92), veil=0.2),
        "summer": Season(leaves=(1.5, 1.3, 0.7), tint=(1.04, 1.0, 0.95)),
        "winter": Season(leaves=(0.75, 0.7, 0.7), tint=(0.96, 0.98, 1.05), veil=0.2),
        "snow": Season(leaves=(2.4, 2.5, 2.6), tint=(0.96, 1.0, 1.07), veil=0.3),
        "haze": Season(leaves=(1.0, 1.2, 0.9), tint=(0.98, 1.0, 1.03), veil=0.6),
        "low sun": Season(leaves=(1.3, 1.1, 0.6), tint=(1.15, 0.98, 0.78), veil=0.15),
    }
)


def toned(image: UInt8[Array, "height width 3"], strength: float, rng: np.random.Generator) -> Float32[Array, "height width 3"]:
    """The image as light in about 0..1, with another exposure, contrast, saturation and white balance."""
    gamma, exposure, warmth, green = strength * rng.uniform(-1, 1, 4)
    contrast, saturation = 1 + strength * rng.uniform([-0.35, -0.7], [0.35, 0.4])
    levels = np.linspace(0, 1, 256) ** 2 ** (0.5 * gamma)
    light = levels.astype(np.float32)[image]
    # Three matrices in one: towards grey or away from it, the balance of the channels, and about the middle.
    colours = saturation * np.eye(3) + (1 - saturation) * LUMA[:, None]
    balance = 2 ** (0.45 * exposure + 0.2 * np.array([warmth, 0.6 * green, -warmth]))
    middle = np.array([light[..., channel].mean() for channel in range(3)]) @ colours * balance  # ten times as fast as mean(axis)
    toned: Float32[Array, "height width 3"] = light @ (contrast * colours * balance).astype(np.float32)
    toned += ((1 - contrast) * middle).astype(np.float32)
    return toned


def seasonal(light: Float32[Array, "height width 3"], rng: np.random.Generator) -> Float32[Array, "height width 3"]:
    """The light in the tints of another season, drawn at random: what is green changes most, and haze rises towards the top."""
    season = list(SEASONS.values())[rng.integers(len(SEASONS))]
    strength, veil = rng.uniform(0.4, 1), rng.uniform(0, season.veil)
    green = light[..., 1]
    leafy = np.float32(strength) * (4 * (green - np.maximum(light[..., 0], light[..., 2])) / (green + 0.05)).clip(0, 1)
    bright = light @ LUMA.astype(np.float32)
    leaves = bright[..., None] * np.array(season.leaves, np.float32)
    changed: Float32[Array, "height width 3"] = light + leafy[..., None] * (leaves - light)
    changed *= (np.array(season.tint) ** strength).astype(np.float32)
    veils = np.linspace(veil, veil / 2, len(light), dtype=np.float32)[:, None, None]
    changed += veils * (np.float32(0.85) - changed)
    return changed


def shaded(light: Float32[Array, "height width 3"], stops: float, rng: np.random.Generator) -> Float32[Array, "height width 3"]:
    """The light with soft shadows and glare of about so many stops, and the sky brighter or darker; its mean stays as it was."""
    height, width = light.shape[:2]
    coarse = Image.fromarray((0.6 * stops * rng.standard_normal(rng.integers(2, 7, 2))).astype(np.float32))
    slope = np.linspace(1, -1, height, dtype=np.float32) * np.float32(stops * rng.uniform(-0.8, 0.8))
    gain = np.exp2(np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) + slope[:, None])
    shaded: Float32[Array, "height width 3"] = light * gain[..., None]
    # As a camera's exposure does: a field of light alone makes no picture darker.
    shaded *= light.mean() / max(shaded.mean(), np.float32(1e-6))
    return shaded


def night(image: UInt8[Array, "height width 3"], rng: np.random.Generator, *, stops: float = 0.0) -> UInt8[Array, "height width 3"]:
    """The image as it might look by night: darker, often without colour or under yellow lamps, with noise and some blur.

    `stops` tells by how much the lamps light one part more than another.
    """
    if rng.random() < 0.6:
        image = np.asarray(Image.fromarray(image).convert("L").convert("RGB"))
    levels = np.linspace(0, 1, 256) ** rng.uniform(1.3, 2.6) * rng.uniform(0.35, 0.8)
    light = levels.astype(np.float32)[image]
    if rng.random() < 0.5:
        light *= np.array([1.1, 0.95, 0.75], np.float32)
    if stops:
        light = shaded(light, stops, rng)
    light += np.float32(rng.uniform(0, 0.05)) * rng.standard_normal(light.shape, np.float32)
    return np.array(Image.fromarray(pixels(light)).filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))))


def pixels(light: Float32[Array, "height width 3"]) -> UInt8[Array, "height width 3"]:
    """Light in 0..1 as pixels; what lies beyond is cut off."""
    return (light.clip(0, 1) * 255).astype(np.uint8)
