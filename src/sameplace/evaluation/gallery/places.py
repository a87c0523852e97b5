"""The map of a gallery: where queries succeed and fail, and where each one that is shown was placed."""

from collections.abc import Sequence

import numpy as np

from sameplace.datasets import Dataset, WithinMetres, WithinMetresOf
from sameplace.evaluation.gallery.shown import Shown, kinds_of
from sameplace.evaluation.scoring import Outcome
from sameplace.geo import EARTH, Position, Positions
from sameplace.pages import Plan, at, drawing, drawn, text, thinned, tools
from sameplace.shapes import Array, Float64

DOTS = 2000
CROSS, TICK = '<path d="M-3-3 3 3M3-3-3 3"/>', '<path d="M-4 0-1 3 4-3"/>'


def plan_of(outcome: Outcome, shown: Sequence[Shown]) -> str:
    """The map and what belongs around it; empty where not all positions are known in one frame."""
    dataset, kinds = outcome.dataset, kinds_of(outcome)
    images = [*dataset.database, *dataset.queries]
    positions = [image.position for image in images if image.position is not None]
    if len(positions) < len(images) or len({position.frame for position in positions}) != 1:
        return ""
    everywhere = Positions.of(positions)
    plan = Plan.around(everywhere)
    flat = plan.flat(everywhere)
    database, queries = flat[: len(dataset.database)], flat[len(dataset.database) :]
    dots = database[drawn(database, queries[[one.query for one in shown]])]
    lost = np.array([kind == "wrong" for kind in kinds])
    won = np.array([kind == "right" for kind in kinds])
    layers = [_dots(queries[won], "won"), _dots(queries[lost], "lost")]
    layers += [_layer(dataset, one, plan, queries[one.query], database) for one in shown]
    legend = {
        "": f"database: {len(database):,}" if len(dots) == len(database) else f"database: {len(dots):,} of {len(database):,}",
        "of-won": f"queries answered rightly: {int(won.sum()):,}",
        "of-lost": f"wrongly: {int(lost.sum()):,}",
        "of-found": "found first, wrong",
        "of-truth": "right",
    }
    svg = drawing(flat, dots, layers, "Map of the queries")
    return f'<section class="plan" aria-label="Map">{svg}{tools("N" if everywhere.frame == EARTH else "y", legend)}</section>'


def _dots(points: Float64[Array, "points 2"], kind: str) -> str:
    some = points[thinned(points, DOTS)] if len(points) else points
    return f'<path class="dots {kind}" d="{"".join(f"M{east:.2f} {-north:.2f}h0" for east, north in some)}"/>'


def _layer(dataset: Dataset, one: Shown, plan: Plan, query: Float64[Array, " 2"], database: Float64[Array, "points 2"]) -> str:
    """One query on the map: itself, how far right reaches, what it found first, and the nearest that is right."""
    here = query * (1, -1)
    places = {row: database[row] * (1, -1) for row in (one.truth, one.first) if row is not None}
    radius = dataset.truth.radius if isinstance(dataset.truth, WithinMetres | WithinMetresOf) else 0.0
    every = np.array([here - radius, here + radius, *places.values()])
    least, most = every.min(axis=0) - 10, every.max(axis=0) + 10
    box = " ".join(f"{number:.2f}" for number in (*least, *(most - least)))
    rays = "".join(f"M{here[0]:.2f} {here[1]:.2f}L{x:.2f} {y:.2f}" for x, y in places.values())
    pins = "".join(
        f'<g class="pin found{" first" if row == one.first else ""}" {at(*place)}><circle r="8"/>'
        f"{CROSS if row == one.first and one.kind != 'right' else TICK}</g>"
        for row, place in places.items()
    )
    position: Position | None = dataset.queries[one.query].position
    north = plan.north(position) if position is not None else 0.0
    kind = "right" if one.kind == "right" else "wrong"
    return (
        f'<g class="answer {kind}" data-card="query-{one.query}" data-box="{box}" data-north="{north:.2f}">'
        f"<title>{text(dataset.queries[one.query].path.name)}</title>"
        f'<circle class="ring" cx="{here[0]:.2f}" cy="{here[1]:.2f}" r="{radius:.2f}"/><path class="rays" d="{rays}"/>'
        f'{pins}<g class="pin here" {at(*here)}><circle r="6.5"/></g></g>'
    )
