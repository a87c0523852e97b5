"""What the verbs print: JSON and plain lines on stdout, notes and progress on stderr."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from sameplace.geo import Position
    from sameplace.images import Problem

COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}
LISTED = 10
SECONDS_BETWEEN_LINES = 10.0


@runtime_checkable
class Progress(Protocol):
    """Is told how many are done, of how many, and how many of them are safe on disk."""

    def __call__(self, done: int, total: int, committed: int = 0) -> None:
        """Show it."""


def say(line: str) -> None:
    """Print a line of data, at once: who reads along through a pipe waits for nothing."""
    print(line, flush=True)


def say_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    say(json.dumps(value, allow_nan=False))


def note(line: str) -> None:
    """Tell the person at the terminal something that is not data."""
    print(line, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    r"""A name with control characters spelt out, so that no file name can steer a terminal.

    >>> printable("street\x1b[2J.jpg")
    'street\\x1b[2J.jpg'
    """
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text)


def shortened(path: str) -> str:
    """A path as seen from here, where it lies below the working folder."""
    here = os.path.join(os.getcwd(), "")  # noqa: PTH109, PTH118
    return printable(path.removeprefix(here))


def painted(text: str, colour: str) -> str:
    """The text in a colour where stdout is a terminal that shows colours."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def place(position: "Position") -> str:
    """A position as people read it: degrees with six digits (0.1 m), or metres with two."""
    from sameplace.geo import LatLon

    if isinstance(position, LatLon):
        return f"{position.lat:.6f}, {position.lon:.6f}"
    return f"x {position.x_m:.2f} m, y {position.y_m:.2f} m"


def metres(distance: float) -> str:
    """A distance as people say it.

    >>> metres(7.63), metres(214.2), metres(15321.0)
    ('8 m', '214 m', '15.3 km')
    """
    return f"{distance / 1000:.1f} km" if distance >= 1000 else f"{distance:.0f} m"


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "photo"), counted(1200, "photo")
    ('1 photo', '1,200 photos')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def list_problems(heading: str, problems: "Sequence[Problem]") -> None:
    """Note the first few files that could not be used, each with its reason, and how many more there are."""
    if not problems:
        return
    note(f"{heading}:")
    for problem in problems[:LISTED]:
        note(f"  {shortened(problem.path)}: {printable(problem.reason)}")
    if len(problems) > LISTED:
        note(f"  ... and {len(problems) - LISTED:,} more; --json lists them all.")


@contextmanager
def progress(doing: str, unit: str = "photos") -> Iterator[Progress]:
    """Show how far long work has come: a bar with rate and remaining time on a terminal, now and then a line elsewhere."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(doing, unit) as show:
            yield show
    else:
        yield _lines(doing, unit)


@contextmanager
def _bar(doing: str, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[safe]}"),
    ]
    # rich would send what the verb prints to stderr, too, were stdout not left alone.
    with Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bars:
        task = bars.add_task(doing, total=None, rate="", safe="")

        def show(done: int, total: int, committed: int = 0) -> None:
            speed = bars.tasks[0].finished_speed or bars.tasks[0].speed
            rate = f"{speed:.0f} {unit}/s" if speed else ""
            bars.update(task, completed=done, total=total, rate=rate, safe=f"{committed:,} safe" if committed else "")

        yield show


def _lines(doing: str, unit: str) -> Progress:
    started = last = monotonic()

    def show(done: int, total: int, committed: int = 0) -> None:
        nonlocal last
        if monotonic() - last < SECONDS_BETWEEN_LINES:
            return
        last = monotonic()
        rate = done / (last - started)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        safe = f", {committed:,} safe" if committed else ""
        note(f"{doing}: {done:,} of {total:,} {unit}, {rate:.1f} a second{left}{safe}")

    return show
