"""Curves of several models in one plot: axes, ticks, intervals, marks and a legend, never without the protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from pathlib import Path

import numpy as np

from sameplace.evaluation.canvas import Canvas, Mark, Piece, Point, Shape, Stroke, Words, length, wrapped
from sameplace.shapes import Array, Float64, Int64

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07800", "#2f2f2f", "#56b4e9")
"""Okabe and Ito's, which people who confuse red and green can tell apart."""
DASHES: tuple[tuple[float, ...], ...] = ((), (7.0, 3.0), (2.0, 2.5), (9.0, 3.0, 2.0, 3.0))
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "diamond")
INK, SOFT, GRID = "#20262c", "#5c666f", "#e2dfd6"
WIDTH, DEPTH = 760.0, 380.0
LEFT, RIGHT = 56.0, 24.0
MARKED = 30
"""A line of at most so many points has its points marked."""
HEAD, SMALL = 17.0, 12.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """The curve of one model: shares in 0..1 over an ascending scale, and the 95 % intervals of some of them."""

    name: str
    across: Float64[Array, " points"]
    up: Float64[Array, " points"]
    intervals: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    """From and to, by the place on the scale."""

    def marks(self) -> Int64[Array, " marks"]:
        """The points that are marked: those with an interval, or all of a few."""
        if self.intervals:
            return np.flatnonzero(np.isin(self.across, list(self.intervals)))
        return np.arange(len(self.across) if len(self.across) <= MARKED else 0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plot:
    """Curves of one or several models under one protocol."""

    title: str
    protocol: str
    across: str
    """What runs from left to right, in words."""
    up: str
    """What runs upwards, in words, in percent."""
    lines: tuple[Line, ...]
    least: float = 0.0
    """Where the scale from left to right starts."""
    most: float = 1.0
    """Where it ends."""
    percent: bool = True
    """Whether that scale is a share, too."""

    def __post_init__(self) -> None:
        if not self.lines:
            raise ValueError("A plot of at least one curve was wanted, got none.")
        if not self.protocol:
            raise ValueError("A plot needs the protocol that its figures were measured by; give it in words.")

    def svg(self) -> str:
        """The plot as SVG."""
        return self.canvas().svg()

    def save(self, path: str | Path) -> None:
        """Write it as SVG or PNG, as the file's name ends."""
        self.canvas().save(path)

    def canvas(self) -> Canvas:
        """Everything in its place."""
        heading = wrapped(self.title, HEAD, WIDTH - LEFT - RIGHT)
        told = wrapped(self.protocol, SMALL, WIDTH - LEFT - RIGHT)
        top = 26.0 + 22 * len(heading) + 17 * len(told) + 26
        legend, rows = self._legend(top + DEPTH + 58)
        below = 28.0 + 22 * len(heading)
        frame = _Frame(top=top, least=self.least, most=self.most, floor=_floor(self.lines), logarithmic=not self.percent)
        drawn: list[Piece] = [
            *(Words(at=(LEFT, 32.0 + 22 * n), text=line, size=HEAD, bold=True) for n, line in enumerate(heading)),
            *(Words(at=(LEFT, below + 17.0 * n), text=line, size=SMALL, colour=SOFT) for n, line in enumerate(told)),
            *self._axes(frame),
            *(piece for number, line in enumerate(self.lines) for piece in _drawn(line, number, len(self.lines), frame)),
            *legend,
        ]
        height = round(top + DEPTH + 58 + 22 * rows)
        return Canvas(width=round(WIDTH), height=height, title=self.title, description=self.description(), drawn=tuple(drawn))

    def description(self) -> str:
        """Every curve in words."""
        told = [f"{self.up} over {self.across}; {self.protocol}."]
        for line in self.lines:
            marks = line.marks()
            some = marks if len(marks) else np.unique(np.linspace(0, len(line.up) - 1, min(len(line.up), 12)).astype(int))
            points = ", ".join(f"{100 * line.up[at]:.1f} % at {self._tick(float(line.across[at]))}" for at in some)
            told.append(f"{line.name}: {points}.")
        return " ".join(told)

    def _tick(self, value: float) -> str:
        return f"{100 * value:.0f} %" if self.percent else f"{value:g}"

    def _axes(self, frame: "_Frame") -> list[Piece]:
        """Grid, ticks and labels."""
        drawn: list[Piece] = []
        for share in _steps(frame.floor):
            y = frame.y(share)
            drawn.append(Stroke(points=((LEFT, y), (WIDTH - RIGHT, y)), colour=GRID))
            drawn.append(Words(at=(LEFT - 8, y + 4), text=f"{100 * share:.0f}", size=SMALL, colour=SOFT, anchor="end"))
        bottom = frame.top + DEPTH
        last = 0.0
        for value in self._ticks():
            x = frame.x(value)
            drawn.append(Stroke(points=((x, bottom), (x, bottom + 5)), colour=SOFT))
            wide = length(self._tick(value), SMALL)
            if x - wide / 2 > last + 4:
                drawn.append(Words(at=(x, bottom + 19), text=self._tick(value), size=SMALL, colour=SOFT, anchor="middle"))
                last = x + wide / 2
        drawn.append(Stroke(points=((LEFT, bottom), (WIDTH - RIGHT, bottom)), colour=SOFT))
        drawn.append(Words(at=(LEFT - 30, frame.top - 12), text=f"{self.up}, %", size=SMALL, colour=INK))
        drawn.append(Words(at=(WIDTH - RIGHT, bottom + 36), text=self.across, size=SMALL, colour=INK, anchor="end"))
        return drawn

    def _ticks(self) -> list[float]:
        if self.percent:
            return [step / 10 for step in range(11)]
        round_numbers = {digit * 10.0**power for power in range(7) for digit in (1, 2, 5)}
        asked = {value for line in self.lines for value in line.intervals}
        return sorted(value for value in round_numbers | asked if self.least <= value <= self.most)

    def _legend(self, top: float) -> tuple[list[Piece], int]:
        """A sample of each curve with its name, in as many rows as it takes."""
        drawn: list[Piece] = []
        x, rows = LEFT, 1
        for number, line in enumerate(self.lines):
            wide = 36 + length(line.name, SMALL) + 22
            if x > LEFT and x + wide > WIDTH - RIGHT:
                x, rows = LEFT, rows + 1
            y = top + 22 * (rows - 1)
            colour, dash, shape = _look(number)
            drawn.append(Stroke(points=((x, y), (x + 28, y)), colour=colour, width=2.0, dash=dash))
            if len(line.marks()):
                drawn.append(Mark(at=(x + 14, y), shape=shape, colour=colour))
            drawn.append(Words(at=(x + 36, y + 4), text=line.name, size=SMALL))
            x += wide
        return drawn, rows


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where values lie on the sheet."""

    top: float
    least: float
    most: float
    floor: float
    logarithmic: bool

    def x(self, value: float) -> float:
        least, most = self.least, self.most
        if self.logarithmic:
            value, least, most = log10(value), log10(least), log10(most)
        inside = 14.0 if self.logarithmic else 0.0
        part = (value - least) / (most - least) if most > least else 0.5
        return LEFT + inside + part * (WIDTH - LEFT - RIGHT - 2 * inside)

    def y(self, share: float) -> float:
        return self.top + DEPTH * (1 - (share - self.floor) / (1 - self.floor))


def _look(number: int) -> tuple[str, tuple[float, ...], Shape]:
    """Colour, dashes and marks of a curve: no two alike before the 29th."""
    return COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)], SHAPES[number % len(SHAPES)]


def _drawn(line: Line, number: int, count: int, frame: _Frame) -> list[Piece]:
    """One curve: its intervals, the line, and its marks."""
    colour, dash, shape = _look(number)
    points: tuple[Point, ...] = tuple(
        (frame.x(float(value)), frame.y(float(share))) for value, share in zip(line.across, line.up, strict=True)
    )
    aside = 4.0 * (number - (count - 1) / 2)  # whiskers at one place would hide one another
    drawn: list[Piece] = []
    for value, (low, high) in line.intervals.items():
        x, bottom, top = frame.x(value) + aside, frame.y(max(low, frame.floor)), frame.y(high)
        drawn.append(Stroke(points=((x, bottom), (x, top)), colour=colour))
        drawn += [Stroke(points=((x - 3, end), (x + 3, end)), colour=colour) for end in (bottom, top)]
    drawn.append(Stroke(points=points, colour=colour, width=2.0, dash=dash))
    return drawn + [Mark(at=points[row], shape=shape, colour=colour) for row in line.marks().tolist()]


def _floor(lines: Sequence[Line]) -> float:
    """Where the upward scale starts: at zero, or at a round share where all curves lie in the upper half."""
    least = min(min(float(np.min(line.up)), *(low for low, _ in line.intervals.values()), 1.0) for line in lines)
    return 0.0 if least < 0.5 else min(floor(least * 10 - 1e-9) / 10, 0.9)


def _steps(low: float) -> list[float]:
    step = 0.1 if low < 0.8 else 0.05 if low < 0.9 else 0.02
    step = 0.2 if low == 0 else step
    return [min(low + number * step, 1.0) for number in range(ceil((1 - low) / step - 1e-9) + 1)]
