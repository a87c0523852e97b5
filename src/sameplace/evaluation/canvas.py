"""Lines, marks and words on a white sheet, which become SVG or PNG with the same geometry."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import cycle, groupby, pairwise
from math import cos, hypot, pi, sin
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from sameplace.errors import SameplaceError

Point = tuple[float, float]
PNG_SCALE = 2
SMOOTHING = 2
"""A PNG is drawn this many times larger than it is stored."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
ROOM = 1.12
"""Words may be this much wider in the reader's font than in the one they are measured with."""
CORNERS = {"circle": 24, "square": 4, "triangle": 3, "diamond": 4}
Shape = Literal["circle", "square", "triangle", "diamond"]


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line through points; `dash` holds lengths of ink and of gap in turn."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A filled shape at a point."""

    at: Point
    shape: Shape
    colour: str
    radius: float = 4.0

    def corners(self) -> tuple[Point, ...]:
        """The shape as a polygon."""
        count = CORNERS[self.shape]
        turn = {"square": pi / 4, "triangle": -pi / 2}.get(self.shape, 0.0)
        reach = self.radius if self.shape == "circle" else self.radius * 1.25
        x, y = self.at
        return tuple((x + reach * cos(turn + 2 * pi * n / count), y + reach * sin(turn + 2 * pi * n / count)) for n in range(count))


@dataclass(frozen=True, kw_only=True)
class Words:
    """A line of text; `at` is on its base line, where it starts, in its middle, or where it ends."""

    at: Point
    text: str
    size: float = 12.0
    colour: str = "#20262c"
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Piece = Stroke | Mark | Words


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A sheet of some width and height with what is drawn on it, in order."""

    width: int
    height: int
    title: str
    description: str
    """What is to be seen, in words, for whoever cannot see it."""
    drawn: tuple[Piece, ...]

    def svg(self) -> str:
        """The sheet as SVG, with its title and description for screen readers."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" role="img" aria-label="{_escaped(self.title)}" font-family="{escape(FONT)}">'
            f"<title>{_escaped(self.title)}</title><desc>{_escaped(self.description)}</desc>"
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>{"".join(map(_as_svg, self.drawn))}</svg>\n'
        )

    def png(self) -> Image.Image:
        """The sheet as an image, at twice the size."""
        scale = PNG_SCALE * SMOOTHING
        large = Image.new("RGB", (self.width * scale, self.height * scale), "#ffffff")
        pen = ImageDraw.Draw(large)
        for piece in self.drawn:
            _paint(pen, piece, scale)
        return large.resize((self.width * PNG_SCALE, self.height * PNG_SCALE), Image.Resampling.LANCZOS)

    def save(self, path: str | Path) -> None:
        """Write it as SVG or as PNG, as the file's name ends."""
        path = Path(path)
        if path.suffix.lower() == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        elif path.suffix.lower() == ".png":
            notes = PngImagePlugin.PngInfo()
            notes.add_itxt("Title", self.title)
            notes.add_itxt("Description", self.description)
            self.png().save(path, pnginfo=notes, optimize=True)
        else:
            raise SameplaceError(f"A plot is written as .svg or .png, got {path.name}; give the file one of these endings.")


def length(text: str, size: float, bold: bool = False) -> float:
    """How wide a line of text is, with some room for other fonts."""
    return _font(size).getlength(text) * ROOM * (1.06 if bold else 1.0)


def wrapped(text: str, size: float, width: float) -> list[str]:
    """A text in lines that are no wider than that, unless one word is."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _as_svg(piece: Piece) -> str:
    if isinstance(piece, Words):
        weight = ' font-weight="650"' if piece.bold else ""
        return (
            f'<text x="{piece.at[0]:.1f}" y="{piece.at[1]:.1f}" font-size="{piece.size:g}" fill="{piece.colour}" '
            f'text-anchor="{piece.anchor}"{weight}>{_escaped(piece.text)}</text>'
        )
    if isinstance(piece, Mark):
        return f'<polygon points="{_listed(piece.corners())}" fill="{piece.colour}" stroke="#ffffff"/>'
    dash = f' stroke-dasharray="{" ".join(f"{part:g}" for part in piece.dash)}"' if piece.dash else ""
    return (
        f'<polyline points="{_listed(piece.points)}" fill="none" stroke="{piece.colour}" stroke-width="{piece.width:g}" '
        f'stroke-linejoin="round"{dash}/>'
    )


def _paint(pen: ImageDraw.ImageDraw, piece: Piece, scale: int) -> None:
    if isinstance(piece, Words):
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[piece.anchor]
        thick = round(piece.size * scale / 60) if piece.bold else 0
        place = (piece.at[0] * scale, piece.at[1] * scale)
        pen.text(place, piece.text, fill=piece.colour, font=_font(piece.size * scale), anchor=anchor, stroke_width=thick)
    elif isinstance(piece, Mark):
        corners = [(x * scale, y * scale) for x, y in piece.corners()]
        pen.polygon(corners, fill=piece.colour, outline="#ffffff", width=scale)
    else:
        for run in dashes(piece.points, piece.dash):
            pen.line([(x * scale, y * scale) for x, y in run], piece.colour, round(piece.width * scale), joint="curve")


def dashes(points: tuple[Point, ...], dash: tuple[float, ...]) -> Iterator[list[Point]]:
    """The parts of a line that get ink.

    >>> list(dashes(((0.0, 0.0), (10.0, 0.0)), (4.0, 2.0)))
    [[(0.0, 0.0), (4.0, 0.0)], [(6.0, 0.0), (10.0, 0.0)]]
    """
    if not dash:
        yield list(points)
        return
    lengths = cycle(dash)
    left, inked, run = next(lengths), True, [points[0]]
    for (x, y), (to_x, to_y) in pairwise(points):
        whole = hypot(to_x - x, to_y - y)
        gone = 0.0
        while whole - gone > left:
            gone += left
            here = (x + (to_x - x) * gone / whole, y + (to_y - y) * gone / whole)
            if inked:
                yield [*run, here]
            left, inked, run = next(lengths), not inked, [here]
        left -= whole - gone
        run.append((to_x, to_y))
    if inked and len(run) > 1:
        yield run


def _listed(points: tuple[Point, ...]) -> str:
    """Coordinates to a tenth; points that fall on the one before are left out."""
    return " ".join(point for point, _ in groupby(f"{x:.1f},{y:.1f}" for x, y in points))


def _escaped(text: str) -> str:
    """Text that may hold anything; XML has no place for control characters at all."""
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return escape("".join(letter if letter.isprintable() else " " for letter in plain), quote=True)
