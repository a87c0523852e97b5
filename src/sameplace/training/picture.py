"""A run as a picture: recall on the validation set after each epoch, and the loss on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

from sameplace.errors import TrainingError
from sameplace.evaluation.canvas import Canvas, Mark, Piece, Point, Stroke, Words, length
from sameplace.evaluation.curves import COLOURS, DASHES, GRID, INK, SHAPES, SMALL, SOFT
from sameplace.training.run import RECALLS, Run

WIDTH, HEIGHT, LEFT, RIGHT = 760.0, 590.0, 56.0, 24.0
RECALL_TOP, RECALL_DEPTH, LOSS_TOP, LOSS_DEPTH = 112.0, 230.0, 400.0, 140.0
TICKS = 10
MARKED = 30
"""A line of at most so many points has its points marked."""


def write_run_picture(folder: str | Path, run: Run) -> tuple[Path, ...]:
    """Draw a run into a folder, as SVG and as PNG; TrainingError where no epoch is over yet."""
    canvas = run_picture(run)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"training.{ending}" for ending in ("svg", "png"))
    for path in paths:
        canvas.save(path)
    return paths


def run_picture(run: Run) -> Canvas:
    """Recall over epochs above, the loss below, with the epoch marked whose network was kept."""
    if len(run.epochs) < 2:
        raise TrainingError(f"{run.folder} has no epoch behind it, so there is nothing to draw; wait for the first to end.")
    recalls = {name: [(float(line["epoch"]), float(line[name])) for line in run.epochs] for name in RECALLS}
    losses = {"loss": _losses(run)}
    last, kept = float(run.epochs[-1]["epoch"]), float(run.best_epoch["epoch"]) if run.best_epoch else 0.0
    above = _Panel(top=RECALL_TOP, depth=RECALL_DEPTH, last=last, most=1.0, unit=100.0)
    below = _Panel(
        top=LOSS_TOP, depth=LOSS_DEPTH, last=last, most=max([value for _, value in losses["loss"]], default=1.0), unit=1.0
    )
    title = f"{run.folder.name}: what it learnt from {run.streets['name']}"
    drawn: list[Piece] = [
        Words(at=(LEFT, 34.0), text=title, size=17.0, bold=True),
        Words(at=(LEFT, 56.0), text=f"kept: the network of epoch {kept:.0f}", size=SMALL, colour=SOFT),
        *_legend(RECALLS),
        *above.frame("recall on the validation set, %"),
        *below.frame("loss", across="epochs"),
        Stroke(points=((above.x(kept), RECALL_TOP), (above.x(kept), RECALL_TOP + RECALL_DEPTH)), colour=SOFT, dash=(2.0, 3.0)),
        *(piece for number, course in enumerate(recalls.values()) for piece in above.line(course, number)),
        *below.line(losses["loss"], len(RECALLS)),
    ]
    told = _in_words({**recalls, **losses})
    return Canvas(width=round(WIDTH), height=round(HEIGHT), title=title, description=told, drawn=tuple(drawn))


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A frame for curves over epochs."""

    top: float
    depth: float
    last: float
    """The epoch at the right edge; the left one is 0."""
    most: float
    unit: float
    """What the labels count the values in: 100 for percent."""

    def x(self, epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / self.last

    def y(self, value: float) -> float:
        return self.top + self.depth * (1 - value / self.most) if self.most else self.top + self.depth

    def frame(self, up: str, across: str = "") -> list[Piece]:
        """Grid, labels and what they mean."""
        bottom = self.top + self.depth
        drawn: list[Piece] = [Words(at=(LEFT - 30, self.top - 12), text=up, size=SMALL, colour=INK)]
        for value in _rounds(self.most, 5):
            drawn.append(Stroke(points=((LEFT, self.y(value)), (WIDTH - RIGHT, self.y(value))), colour=GRID))
            label = f"{self.unit * value:g}"
            drawn.append(Words(at=(LEFT - 8, self.y(value) + 4), text=label, size=SMALL, colour=SOFT, anchor="end"))
        step = max(1, ceil(self.last / TICKS))
        for epoch in range(0, floor(self.last) + 1, step):
            drawn.append(Words(at=(self.x(float(epoch)), bottom + 19), text=str(epoch), size=SMALL, colour=SOFT, anchor="middle"))
        drawn.append(Stroke(points=((LEFT, bottom), (WIDTH - RIGHT, bottom)), colour=SOFT))
        return [*drawn, Words(at=(WIDTH - RIGHT, bottom + 38), text=across, size=SMALL, colour=INK, anchor="end")]

    def line(self, course: Sequence[Point], number: int) -> list[Piece]:
        """One curve, with its points marked where there are few."""
        points = tuple((self.x(epoch), self.y(value)) for epoch, value in course)
        if not points:
            return []
        marks = [Mark(at=point, shape=SHAPES[number], colour=COLOURS[number]) for point in points if len(points) <= MARKED]
        return [Stroke(points=points, colour=COLOURS[number], width=2.0, dash=DASHES[number % len(RECALLS)]), *marks]


def _losses(run: Run) -> list[Point]:
    """Losses by the epochs, and parts of epochs, that were behind them."""
    ends = {int(line["epoch"]): int(line["step"]) for line in run.epochs}
    found = []
    for line in run.steps:
        epoch, step = int(line["epoch"]), int(line["step"])
        if epoch in ends and epoch - 1 in ends:
            found.append((epoch - 1 + (step - ends[epoch - 1]) / (ends[epoch] - ends[epoch - 1]), float(line["loss"])))
    return found


def _rounds(most: float, count: int) -> list[float]:
    """Round numbers from 0 up to some value, about so many.

    >>> _rounds(1.0, 5), _rounds(0.07, 5)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.02, 0.04, 0.06])
    """
    if most <= 0:
        return [0.0]
    rough = most / count
    power = 10.0 ** floor(log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * (1 - 1e-9))
    return [round(number * step, 12) for number in range(floor(most / step + 1e-9) + 1)]


def _legend(names: Sequence[str]) -> list[Piece]:
    drawn: list[Piece] = []
    x = LEFT
    for number, name in enumerate(names):
        drawn.append(Stroke(points=((x, 76.0), (x + 28, 76.0)), colour=COLOURS[number], width=2.0, dash=DASHES[number]))
        drawn.append(Mark(at=(x + 14, 76.0), shape=SHAPES[number], colour=COLOURS[number]))
        drawn.append(Words(at=(x + 36, 80.0), text=name, size=SMALL))
        x += 58 + length(name, SMALL)
    return drawn


def _in_words(courses: Mapping[str, Sequence[Point]]) -> str:
    """Every curve in words, for whoever cannot see it."""
    told = []
    for name, course in courses.items():
        some = course[:: max(1, len(course) // 12)]
        told.append(f"{name}: " + ", ".join(f"{value:.3f} at epoch {epoch:g}" for epoch, value in some) + ".")
    return " ".join(told)
