"""Draw the README's picture: a photo of toytown's second pass, what was found for it, and where that lies."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sameplace import Atlas, Estimate, ImageSet, Positions, distance
from sameplace.datasets.toytown import draw
from sameplace.pages.plan import Plan

SCALE = 2  # drawn larger and shrunk, for smooth edges
WIDTH, HEIGHT, EDGE, GAP = 1280, 440, 28, 24
PAPER, CARD, INK, SOFT, LAND, DOT, MATCH, HERE = (
    "#f7f6f2",
    "#fffefb",
    "#20262c",
    "#5c666f",
    "#eceee6",
    "#8b97a1",
    "#0b7c6d",
    "#d5402f",
)


class Sheet:
    """A canvas whose measures are those of the finished picture."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def photo(self, path: str, box: tuple[int, int, int, int]) -> None:
        """A photo that fills a box with round corners."""
        left, top, right, bottom = (edge * SCALE for edge in box)
        with Image.open(path) as photo:
            resized = photo.convert("RGB").resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        mask = Image.new("L", resized.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, *resized.size), 14 * SCALE, fill=255)
        self.image.paste(resized, (left, top), mask)

    def text(self, at: tuple[float, float], words: str, size: int, colour: str = INK, anchor: str = "ls") -> None:
        """Words at a point."""
        font = ImageFont.load_default(size * SCALE)
        self.pen.text((at[0] * SCALE, at[1] * SCALE), words, fill=colour, font=font, anchor=anchor)

    def disc(self, at: tuple[float, float], radius: float, fill: str) -> None:
        """A circle."""
        x, y = at[0] * SCALE, at[1] * SCALE
        reach = radius * SCALE
        self.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        """A line."""
        self.pen.line([edge * SCALE for edge in (*start, *end)], fill=colour, width=SCALE)


def picture(atlas: Atlas, estimate: Estimate) -> Image.Image:
    """The three parts side by side."""
    sheet = Sheet()
    top, bottom = 60, 60 + 336
    sheet.text((EDGE, 42), "Where was this taken?", 20)
    sheet.photo(estimate.photo, (EDGE, top, EDGE + 448, bottom))
    left = EDGE + 448 + GAP
    sheet.text((left, 42), "Found among the photos by day", 20)
    for row, match in enumerate(estimate.matches[:3]):
        upper = top + row * 115
        sheet.photo(match.path, (left, upper, left + 141, upper + 106))
        sheet.disc((left + 16, upper + 16), 11, MATCH)
        sheet.text((left + 16, upper + 16), str(row + 1), 14, CARD, "mm")
        sheet.text((left + 155, upper + 48), f"similarity {match.similarity:.2f}", 17)
        sheet.text((left + 155, upper + 72), f"{distance(match.position, estimate.position):.0f} m from the estimate", 15, SOFT)
    left += 141 + 220
    sheet.text((left, 42), "So it was taken here", 20)
    plot(sheet, (left, top, WIDTH - EDGE, bottom), atlas, estimate)
    where = estimate.position
    sheet.text((left, HEIGHT - 14), f"{where.lat:.6f}, {where.lon:.6f}, within about {estimate.radius:.0f} m", 16)
    sheet.text((EDGE, HEIGHT - 14), Path(estimate.photo).name + ", second pass", 16, SOFT)
    return sheet.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(256, kmeans=2, dither=Image.Dither.NONE)


def plot(sheet: Sheet, box: tuple[int, int, int, int], atlas: Atlas, estimate: Estimate) -> None:
    """The town from above: the atlas, the matches, and the estimate."""
    left, top, right, bottom = box
    sheet.pen.rounded_rectangle([edge * SCALE for edge in box], 14 * SCALE, fill=LAND)
    everywhere = atlas.positions()
    plan = Plan.around(everywhere)
    flat = plan.flat(everywhere)
    scale = min((right - left - 40) / np.ptp(flat[:, 0]), (bottom - top - 40) / np.ptp(flat[:, 1]))
    middle = (flat.min(axis=0) + flat.max(axis=0)) / 2

    def at(point: np.ndarray) -> tuple[float, float]:
        east, north = (point - middle) * scale
        return (left + right) / 2 + east, (top + bottom) / 2 - north

    for point in flat:
        sheet.disc(at(point), 2.5, DOT)
    found = [
        at(point) for point in plan.flat(Positions.of([estimate.position, *(match.position for match in estimate.matches[:3])]))
    ]
    for mark in found[1:]:
        sheet.line(found[0], mark, MATCH)
    sheet.disc(found[0], 17, HERE)
    sheet.disc(found[0], 14, LAND)
    for rank, mark in reversed(list(enumerate(found[1:], start=1))):
        sheet.disc(mark, 9, MATCH)
        sheet.text(mark, str(rank), 12, CARD, "mm")


def main(to: Path, number: int) -> None:
    """Draw the town, locate one photo of its second pass, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        town = draw(Path(folder) / "town")
        atlas = Atlas.build(town / "database", at=Path(folder) / "town.atlas")
        query = ImageSet.open(town / "queries").files[number]
        to.parent.mkdir(parents=True, exist_ok=True)
        picture(atlas, atlas.locate(query.path)).save(to, optimize=True)


if __name__ == "__main__":
    main(Path(__file__).parent.parent / "docs" / "images" / "toytown.png", int(sys.argv[1]) if len(sys.argv) > 1 else 36)
