"""Images altered as another visit might alter them: another viewpoint, light, season, night, camera; numpy and Pillow only.

Never mirrored, for the mirror image of a place is another place.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from sameplace.errors import TrainingError
from sameplace.shapes import Array, Float64, UInt8
from sameplace.training.light import night, pixels, seasonal, shaded, toned

OVERSAMPLING: Final = 1.25
"""More pixels a side than wanted are put in perspective, which neither antialiases nor keeps what is sharp."""
SMALL: Final = (64.0, 120.0)
"""Pixels of the shorter side of what was made small."""
SIDE: Final = 224
"""Pixels of the shorter side of an image that the radii of a blur are meant for."""
LAMPS: Final = 0.7
"""Stops by which light is more uneven by night."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How much an image is altered: strengths, and shares of the images that a thing happens to; the defaults alter nothing."""

    crop: float = 1.0
    """The smallest share of the area that is kept; a crop lies anywhere and is enlarged to the full size."""
    aspect: float = 1.0
    """The sides of a crop are stretched against each other by up to this factor, as far as they have room."""
    perspective: float = 0.0
    """Each corner of what is seen moves inwards by up to this share of the sides."""
    colour: float = 0.0
    """Strength of another exposure, contrast, saturation and white balance; 1 is as much as cameras differ."""
    shade: float = 0.0
    """Strength of uneven light, in stops: shadows, glare, vignettes."""
    season: float = 0.0
    """Share of images in the tints of another season: autumn leaves, dry grass, snow, haze, a low sun."""
    night: float = 0.0
    """Share of images as they might look by night: dark, grey or under yellow lamps, noisy."""
    blur: float = 0.0
    """Share of images out of focus or shaken."""
    noise: float = 0.0
    """Share of images with noise of the sensor."""
    small: float = 0.0
    """Share of images that were made small, 64 to 120 pixels on the shorter side, and large again."""
    jpeg: float = 0.0
    """Share of images with the traces of strong compression."""
    occlusion: float = 0.0
    """Share of images in which blocks stand before the place."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = LIMITS.get(field.name, (0.0, 1.0))
            if not low <= value <= high:
                raise TrainingError(
                    f"The augmentation's {field.name} must lie in {low:g}..{high:g}, got {value}; give such a number."
                )


LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"crop": (0.05, 1.0), "aspect": (1.0, 2.0), "perspective": (0.0, 0.4), "colour": (0.0, 2.0), "shade": (0.0, 3.0)}
)

NONE: Final = Augmentation()
MILD: Final = Augmentation(
    crop=0.7, aspect=1.15, perspective=0.06, colour=0.5, shade=0.3, season=0.1, blur=0.1, noise=0.1, small=0.05, jpeg=0.15
)
STRONG: Final = Augmentation(
    crop=0.5,
    aspect=1.3,
    perspective=0.15,
    colour=1.0,
    shade=0.8,
    season=0.3,
    night=0.3,
    blur=0.25,
    noise=0.25,
    small=0.15,
    jpeg=0.25,
    occlusion=0.3,
)
NIGHT: Final = Augmentation(crop=0.5, aspect=1.3, perspective=0.05, shade=0.5, night=1.0)
PRESETS: Final[Mapping[str, Augmentation]] = MappingProxyType({"none": NONE, "mild": MILD, "strong": STRONG, "night": NIGHT})


def augmented(
    image: UInt8[Array, "height width 3"], augmentation: Augmentation, size: tuple[int, int], rng: np.random.Generator
) -> UInt8[Array, "_height _width 3"]:
    """One variant of an image, at the given height and width; a generator in the same state gives the same variant.

    Give the image 1.25 to 1.5 times as large as wanted a side, so that crops of it stay sharp.

    >>> augmented(np.zeros((30, 30, 3), np.uint8), STRONG, (20, 24), np.random.default_rng(0)).shape
    (20, 24, 3)
    """
    view = _seen(Image.fromarray(image), augmentation, size, rng)
    if rng.random() < augmentation.occlusion:
        view = _occluded(view, rng)
    dark = rng.random() < augmentation.night
    variant = _relit(np.asarray(view), augmentation, dark=dark, rng=rng)
    if dark:
        variant = night(variant, rng, stops=augmentation.shade + LAMPS)
    if rng.random() < augmentation.blur:
        variant = _blurred(variant, rng)
    # What a small image goes through, noise and compression, it goes through while it is small.
    if rng.random() < augmentation.small:
        variant = _made_small(variant, rng)
    if rng.random() < augmentation.noise:
        variant = _noisy(variant, rng)
    if rng.random() < augmentation.jpeg:
        variant = _compressed(variant, rng)
    return variant if variant.shape[:2] == size else _resized(variant, size)


def _seen(image: Image.Image, augmentation: Augmentation, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A part of the image, from another side."""
    height, width = size
    area = rng.uniform(augmentation.crop, 1)
    # No side may become longer than the image's.
    stretch = min(math.sqrt(augmentation.aspect), 1 / math.sqrt(area)) ** rng.uniform(-1, 1)
    share = np.minimum(math.sqrt(area) * np.array([stretch, 1 / stretch]), 1)
    first = rng.uniform(0, 1, 2) * (1 - share)
    inwards = rng.uniform(0, augmentation.perspective, (4, 2)) * share
    frame = np.array([image.width, image.height])
    if not inwards.any():
        return image.resize((width, height), Image.Resampling.BICUBIC, box=(*(first * frame), *((first + share) * frame)))
    # Corners in the order left top, right top, right bottom, left bottom.
    right, below = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    side = np.column_stack([right, below])
    corners = (first + side * share + (1 - 2 * side) * inwards) * frame
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = np.minimum(OVERSAMPLING * np.array([width, height]) / (high - low), 1)
    near = np.ceil((high - low) * scale).astype(int)
    part = image.resize((int(near[0]), int(near[1])), Image.Resampling.BICUBIC, box=(*low, *high))
    coefficients = _homography(side * np.array([width, height], np.float64), (corners - low) * near / (high - low))
    return part.transform((width, height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)


def _homography(points: Float64[Array, "4 2"], images: Float64[Array, "4 2"]) -> list[float]:
    """The eight numbers, in Pillow's order, of the homography that takes four points to four others."""
    (x, y), (u, v) = points.T, images.T
    zero, one = np.zeros(4), np.ones(4)
    across = np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y])
    down = np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y])
    coefficients: list[float] = np.linalg.solve(np.concatenate([across, down]), np.concatenate([u, v])).tolist()
    return coefficients


def _occluded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One to three blocks before the place, rather low than high: a flat colour, or another part of the image."""
    image = image.copy()
    for _ in range(rng.integers(1, 4)):
        share = np.sqrt(rng.uniform(0.02, 0.12)) * 1.5 ** rng.uniform(-1, 1, 2)
        wide, high = (max(round(float(part) * side), 1) for part, side in zip(share, image.size, strict=True))
        wide, high = min(wide, image.width), min(high, image.height)
        left, top = int(rng.uniform(0, image.width - wide + 1)), int(np.sqrt(rng.uniform(0, 1)) * (image.height - high))
        if rng.random() < 0.5:
            somewhere = int(rng.integers(image.width)), int(rng.integers(image.height))
            block = Image.new("RGB", (wide, high), image.getpixel(somewhere))
        else:
            from_left, from_top = int(rng.uniform(0, image.width - wide + 1)), int(rng.uniform(0, image.height - high + 1))
            block = image.crop((from_left, from_top, from_left + wide, from_top + high))
        image.paste(block, (left, top))
    return image


def _relit(
    image: UInt8[Array, "height width 3"], augmentation: Augmentation, *, dark: bool, rng: np.random.Generator
) -> UInt8[Array, "height width 3"]:
    """Another exposure and white balance, another season, and by day another sun."""
    season, shade = rng.random() < augmentation.season, augmentation.shade and not dark
    if not (augmentation.colour or season or shade):
        return image
    light = toned(image, augmentation.colour, rng)
    if season:
        light = seasonal(light, rng)
    if shade:
        light = shaded(light, augmentation.shade, rng)
    return pixels(light)


def _blurred(image: UInt8[Array, "height width 3"], rng: np.random.Generator) -> UInt8[Array, "height width 3"]:
    """Out of focus, or shaken along a line."""
    if rng.random() < 0.5:
        return np.array(
            Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6) * min(image.shape[:2]) / SIDE))
        )
    angle, reach = rng.uniform(0, np.pi), rng.uniform(1, 2)
    kernel = np.zeros((5, 5))
    for step in np.linspace(-reach, reach, 9):
        kernel[round(2 + step * np.sin(angle)), round(2 + step * np.cos(angle))] += 1
    return np.array(Image.fromarray(image).filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist())))


def _made_small(image: UInt8[Array, "height width 3"], rng: np.random.Generator) -> UInt8[Array, "_height _width 3"]:
    """What a thumbnail keeps, as small as that is."""
    height, width = image.shape[:2]
    scale = min(rng.uniform(*SMALL) / min(height, width), 1)
    return _resized(image, (math.ceil(height * scale), math.ceil(width * scale)))


def _resized(image: UInt8[Array, "height width 3"], size: tuple[int, int]) -> UInt8[Array, "_height _width 3"]:
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _noisy(image: UInt8[Array, "height width 3"], rng: np.random.Generator) -> UInt8[Array, "height width 3"]:
    """With the noise of a sensor, in colour or in grey."""
    channels = int(rng.choice([1, 3]))
    noise = rng.standard_normal((*image.shape[:2], channels), np.float32)
    return pixels(image * np.float32(1 / 255) + np.float32(rng.uniform(0.01, 0.06)) * noise)


def _compressed(image: UInt8[Array, "height width 3"], rng: np.random.Generator) -> UInt8[Array, "height width 3"]:
    """With the blocks that strong JPEG compression leaves."""
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(15, 70)))
    return np.array(Image.open(file))
