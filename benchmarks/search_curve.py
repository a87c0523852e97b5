"""Draws speed against recall over probes and depth of re-ranking, from what search_speed.py measured.

    python benchmarks/search_speed.py --rows 1000000
    python benchmarks/search_curve.py results/benchmarks/search_speed.drawn.1000000.json

A line for each depth: the number of candidates that are compared exactly. Along it the lists that are looked into double.
"""
# ruff: noqa: T201

import argparse
import json
import sys
from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from sameplace.evaluation.canvas import Canvas, Mark, Piece, Point, Stroke, Words
from sameplace.evaluation.curves import COLOURS, GRID, INK, SHAPES, SMALL, SOFT

FROM = Path(__file__).parent.parent / "results" / "benchmarks" / "search_speed.drawn.1000000.json"
TO = Path(__file__).parent.parent / "docs" / "images" / "search-curve.svg"
WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, ABOVE, BELOW = 64.0, 150.0, 56.0, 52.0
STEP = 0.04
"""The axis begins at a multiple of this."""


def drawn(run: dict[str, Any]) -> Canvas:
    """The plot of one run."""
    curve: list[dict[str, Any]] = run["curve"]
    lowest = floor(min(one["recall@10"] for one in curve) / STEP - 1e-9) * STEP
    least = floor(log10(min(one["times_flat"] for one in curve)))
    most = max(least + 1, ceil(log10(max(one["times_flat"] for one in curve))))

    def at(recall: float, times: float) -> Point:
        across, up = (recall - lowest) / (1 - lowest or STEP), (log10(times) - least) / (most - least)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BELOW - up * (HEIGHT - ABOVE - BELOW)

    title = "How much faster than flat search, at which recall"
    aside = f"{run['rows']:,} descriptors of {run['dim']} numbers, {run['descriptors']}; one thread"
    pieces: list[Piece] = [
        Words(at=(LEFT, 22.0), text=title, size=16.0, colour=INK, bold=True),
        Words(at=(LEFT, 42.0), text=aside, size=SMALL, colour=SOFT),
        Words(at=((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12.0), text="recall@10", size=SMALL, colour=SOFT, anchor="middle"),
    ]
    for tick in range(5):
        recall = lowest + (1 - lowest) * tick / 4
        x, _ = at(recall, 10.0**least)
        pieces.append(Stroke(points=((x, ABOVE), (x, HEIGHT - BELOW)), colour=GRID))
        pieces.append(Words(at=(x, HEIGHT - BELOW + 18), text=f"{recall:.2f}", size=SMALL, colour=SOFT, anchor="middle"))
    for power in range(least, most + 1):
        _, y = at(1.0, 10.0**power)
        pieces.append(Stroke(points=((LEFT, y), (WIDTH - RIGHT, y)), colour=GRID))
        pieces.append(Words(at=(LEFT - 8, y + 4), text=f"{10.0**power:g} x", size=SMALL, colour=SOFT, anchor="end"))
    for number, depth in enumerate(sorted({one["depth"] for one in curve})):
        colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
        points = [at(one["recall@10"], one["times_flat"]) for one in curve if one["depth"] == depth]
        key = (WIDTH - RIGHT + 18, ABOVE + 8 + 22 * number)
        pieces.append(Stroke(points=tuple(points), colour=colour, width=2.0))
        pieces += [Mark(at=point, shape=shape, colour=colour) for point in (*points, key)]
        pieces.append(Words(at=(key[0] + 12, key[1] + 4), text=f"{depth} compared", size=SMALL, colour=INK))
    key = (WIDTH - RIGHT + 18, key[1] + 30)
    pieces.append(Words(at=(key[0] + 12, key[1] + 4), text="as shipped", size=SMALL, colour=INK, bold=True))
    effort = run["effort"]
    shipped = [one for one in curve if (one["probes"], one["depth"]) == (effort["probes"], effort["depth"])]
    for point in (*(at(one["recall@10"], one["times_flat"]) for one in shipped), key):
        pieces.append(Mark(at=point, shape="square", colour=INK, radius=5.5))
    told = "; ".join(
        f"{one['probes']} lists, {one['depth']} compared: {one['times_flat']} times at {one['recall@10']:.3f}" for one in curve
    )
    return Canvas(width=WIDTH, height=HEIGHT, title=title, description=told, drawn=tuple(pieces))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, nargs="?", default=FROM, help="the JSON file")
    parser.add_argument("--to", type=Path, default=TO, help="the picture, .svg or .png")
    asked = parser.parse_args(arguments)
    drawn(json.loads(asked.measured.read_text("utf-8"))).save(asked.to)
    print(asked.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
