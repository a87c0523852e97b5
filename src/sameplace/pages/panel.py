"""Pictures that explain: photos side by side, what glows in them, and lines between what is the same."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sameplace.shapes import Array, Float64, UInt8

HEIGHT: Final = 480
"""Pixels of each photo in a panel; widths follow."""
GAP: Final = 12
BAND: Final = 56
"""Height of the words above the photos."""
PAPER, INK, FAINT = (250, 250, 248), (32, 33, 36), (110, 112, 116)
FINE: Final = 2
"""Lines are drawn so many times larger, and made smaller, which smooths them."""
# From nothing to much: dark blue, violet, red, orange, pale yellow; even steps of lightness, so that grey prints tell as much.
GLOW: Final = np.array([(8, 10, 50), (84, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)


def glowing(
    photo: UInt8[Array, "height width 3"], heat: Float64[Array, "rows columns"], most: float
) -> UInt8[Array, "height width 3"]:
    """The photo in grey, lit where the heat is, from nothing (dark) to `most` (bright); what speaks against stays dark."""
    height, width = photo.shape[:2]
    small = Image.fromarray((np.clip(heat / max(most, 1e-12), 0, 1)).astype(np.float32))
    share = np.clip(np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64), 0, 1)[..., None]
    steps = share[..., 0] * (len(GLOW) - 1)
    below = np.minimum(steps.astype(int), len(GLOW) - 2)
    part = (steps - below)[..., None]
    colours = GLOW[below] * (1 - part) + GLOW[below + 1] * part
    grey = (photo @ np.array([0.299, 0.587, 0.114]))[..., None]
    # The photo shows through everywhere, most where little glows, so that one sees what it is.
    mixed = (0.75 - 0.45 * share) * (0.75 + 0.5 * share) * grey + (0.25 + 0.45 * share) * colours
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def panel(
    photos: Sequence[UInt8[Array, "_height _width 3"]],
    titles: Sequence[tuple[str, str]],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
) -> Image.Image:
    """Photos side by side, each of HEIGHT pixels, under a title and a fainter line of words.

    Lines go from a point of the first photo to one of the second, both in shares of width and height.
    """
    scaled = [Image.fromarray(photo).resize((max(round(photo.shape[1] * HEIGHT / photo.shape[0]), 1), HEIGHT)) for photo in photos]
    lefts = [GAP + sum(image.width + GAP for image in scaled[:number]) for number in range(len(scaled))]
    sheet = Image.new("RGB", (lefts[-1] + scaled[-1].width + GAP, BAND + HEIGHT + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for image, left, (title, words) in zip(scaled, lefts, titles, strict=True):
        sheet.paste(image, (left, BAND))
        for row, (text, size, colour) in enumerate(((title, 17, INK), (words, 14, FAINT))):
            font = ImageFont.load_default(size=size)
            draw.text((left, 8 + 24 * row), _fitting(text, font, image.width), colour, font=font)
    return _connected(sheet, scaled, lefts, lines) if lines else sheet


def _connected(
    sheet: Image.Image,
    scaled: Sequence[Image.Image],
    lefts: Sequence[int],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]],
) -> Image.Image:
    """The sheet with lines, coloured by where they start, so that neighbours look alike and a stray one shows."""
    layer = Image.new("RGBA", (sheet.width * FINE, sheet.height * FINE))
    draw = ImageDraw.Draw(layer)
    for start, end in lines:
        ends = [
            ((left + at[0] * image.width) * FINE, (BAND + at[1] * image.height) * FINE)
            for at, left, image in zip((start, end), lefts, scaled, strict=True)
        ]
        hue = round(300 * start[0])
        red, green, blue = Image.new("HSV", (1, 1), (round(hue * 255 / 360), 190, 255)).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
        draw.line(ends, (red, green, blue, 150), width=FINE)
        for x, y in ends:
            draw.ellipse(
                (x - 2.5 * FINE, y - 2.5 * FINE, x + 2.5 * FINE, y + 2.5 * FINE), (red, green, blue, 255), (20, 20, 20, 255)
            )
    smooth = layer.resize(sheet.size, Image.Resampling.LANCZOS)
    sheet.paste(smooth, mask=smooth.getchannel("A"))
    return sheet


def _fitting(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text, its beginning left out where it is too long."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
