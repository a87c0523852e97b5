"""Draws what a query costs as the atlas grows, from what search_speed.py measured.

    for rows in 10000 100000 1000000; do python benchmarks/search_speed.py --rows $rows; done
    python benchmarks/search_growth.py

Milliseconds of one query on one thread over the number of descriptors, both axes logarithmic, for the flat index and for ours, with
the middle half of the rounds as a bar.
"""
# ruff: noqa: T201

import argparse
import json
import sys
from collections.abc import Sequence
from math import log10
from pathlib import Path
from typing import Any

from sameplace.evaluation.canvas import Canvas, Mark, Piece, Point, Shape, Stroke, Words
from sameplace.evaluation.curves import COLOURS, GRID, INK, SMALL, SOFT

FROM = Path(__file__).parent.parent / "results" / "benchmarks"
TO = Path(__file__).parent.parent / "docs" / "images" / "search-growth.svg"
WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, ABOVE, BELOW = 64.0, 130.0, 56.0, 52.0
WAYS: dict[str, tuple[str, Shape]] = {"flat": ("FAISS flat", "square"), "index": ("sameplace's index", "circle")}


def drawn(runs: Sequence[dict[str, Any]]) -> Canvas:
    """The plot of some runs, which ascend in rows."""
    low, high = int(log10(runs[0]["rows"])), -int(-log10(runs[-1]["rows"]) // 1)
    spent = [value for run in runs for way in WAYS for value in run["milliseconds"][way]["quartiles"]]
    least, most = int(log10(min(spent)) // 1), -int(-log10(max(spent)) // 1)

    def at(rows: float, milliseconds: float) -> Point:
        across = (log10(rows) - low) / max(1, high - low)
        up = (log10(milliseconds) - least) / max(1, most - least)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BELOW - up * (HEIGHT - ABOVE - BELOW)

    pieces: list[Piece] = [
        Words(at=(LEFT, 22.0), text="Milliseconds a query as the atlas grows", size=16.0, colour=INK, bold=True),
        Words(at=(LEFT, 42.0), text=f"nearest 10 of descriptors of {runs[0]['dim']} numbers, one thread", size=SMALL, colour=SOFT),
        Words(at=((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12.0), text="photos", size=SMALL, colour=SOFT, anchor="middle"),
    ]
    for power in range(low, high + 1):
        x, _ = at(10.0**power, 10.0**least)
        pieces.append(Stroke(points=((x, ABOVE), (x, HEIGHT - BELOW)), colour=GRID))
        pieces.append(Words(at=(x, HEIGHT - BELOW + 18), text=f"{10**power:,}", size=SMALL, colour=SOFT, anchor="middle"))
    for power in range(least, most + 1):
        _, y = at(10.0**low, 10.0**power)
        pieces.append(Stroke(points=((LEFT, y), (WIDTH - RIGHT, y)), colour=GRID))
        pieces.append(Words(at=(LEFT - 8, y + 4), text=f"{10.0**power:g} ms", size=SMALL, colour=SOFT, anchor="end"))
    for (way, (name, shape)), colour in zip(WAYS.items(), COLOURS, strict=False):
        points = [at(run["rows"], run["milliseconds"][way]["median"]) for run in runs]
        pieces.append(Stroke(points=tuple(points), colour=colour, width=2.0))
        for run, point in zip(runs, points, strict=True):
            ends = tuple(at(run["rows"], value) for value in run["milliseconds"][way]["quartiles"])
            pieces += [Stroke(points=ends, colour=colour), Mark(at=point, shape=shape, colour=colour)]
        pieces.append(Words(at=(points[-1][0] + 10, points[-1][1] + 4), text=name, size=SMALL, colour=colour, bold=True))
    costs = [(run["rows"], *(run["milliseconds"][way]["median"] for way in WAYS)) for run in runs]
    told = "; ".join(f"{rows:,} photos: flat {flat} ms, index {index} ms" for rows, flat, index in costs)
    return Canvas(
        width=WIDTH, height=HEIGHT, title="Milliseconds a query as the atlas grows", description=told, drawn=tuple(pieces)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, default=FROM, help="the folder of search_speed.drawn.ROWS.json")
    parser.add_argument("--to", type=Path, default=TO, help="the picture, .svg or .png")
    asked = parser.parse_args(arguments)
    runs = [json.loads(path.read_text("utf-8")) for path in asked.folder.glob("search_speed.drawn.*.json")]
    if len(runs) < 2:
        print(f"At least two sizes were wanted in {asked.folder}; run search_speed.py with several --rows first.", file=sys.stderr)
        return 1
    drawn(sorted(runs, key=lambda run: int(run["rows"]))).save(asked.to)
    print(asked.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
