"""Where an atlas is weak, as a layer of the map of a page and as a list of where to take more photos."""

from collections.abc import Sequence

import numpy as np

from sameplace.atlas.coverage import CELL_M, CURES, REASONS, Part
from sameplace.geo import Positions
from sameplace.pages import Plan, at, picture, place, text
from sameplace.shapes import Array, Bool, Float64

SQUARES = 1500
"""Squares that are drawn at most: of a larger atlas several parts become one, and the page stays small."""
LISTED = 12
"""Weak parts that are listed with a picture, those of most photos for each reason."""
PICTURE_PIXELS = 240
SHOWN = 0.7
"""So much of its side a square shows, so that neighbours stay apart."""
SEEN_M = 150.0
"""Metres around a part that the map shows when it is chosen."""


def layer(parts: Sequence[Part], plan: Plan) -> str:
    """The parts as squares on the map, hidden until somebody asks; nothing where there are none."""
    if not parts:
        return ""
    middles, weak, side = squares(
        plan.flat(Positions.of([part.position for part in parts])),
        np.array([part.photos for part in parts], np.float64),
        np.array([part.weakness is not None for part in parts]),
    )
    long = SHOWN * side
    paths = []
    for kind, which in (("well", ~weak), ("weak", weak)):
        corners = middles[which] * (1, -1) - long / 2
        marks = "".join(f"M{x:.0f} {y:.0f}h{long:.0f}v{long:.0f}h-{long:.0f}z" for x, y in corners.tolist())
        paths.append(f'<path class="{kind}" d="{marks}"/>')
    return f'<g class="cover">{"".join(paths)}<g class="pin spot" {at(0.0, 0.0)}><circle r="13"/></g></g>'


def squares(
    points: Float64[Array, "parts 2"], photos: Float64[Array, " parts"], weak: Bool[Array, " parts"]
) -> tuple[Float64[Array, "squares 2"], Bool[Array, " squares"], float]:
    """The middles of squares, whether at least half of the photos in each are of weak parts, and their side in metres.

    >>> middles, weak, side = squares(np.array([[10.0, 1.0], [20.0, 1.0]]), np.array([3.0, 1.0]), np.array([True, False]))
    >>> middles.tolist(), weak.tolist(), side
    ([[10.0, 1.0], [20.0, 1.0]], [True, False], 50.0)
    """
    if len(points) <= SQUARES:
        return points, weak, CELL_M
    side = CELL_M
    while True:
        side *= 2
        cells, inside = np.unique(np.floor(points / side), axis=0, return_inverse=True)
        if len(cells) <= SQUARES:
            break
    every, east, north, those = (
        np.bincount(inside.ravel(), weights, minlength=len(cells)) for weights in (photos, *(points.T * photos), photos * weak)
    )
    return np.column_stack([east, north]) / every[:, None], those * 2 >= every, side


def legend(parts: Sequence[Part]) -> dict[str, str]:
    """The words for the two kinds of squares."""
    return {"of-weak": "weak: more photos would help", "of-well": "well covered"} if parts else {}


def section(parts: Sequence[Part], plan: Plan, *, opened: bool) -> str:
    """What unfolds beside the map: how many parts are weak, why, and the list of where to take more photos."""
    if not parts:
        return ""
    weak = [part for part in parts if part.weakness is not None]
    told = f"{len(weak):,} of {len(parts):,} parts of this atlas are weak" if weak else "No part of this atlas is weak"
    reasons = [reason for reason in REASONS if any(part.weakness == reason for part in weak)]
    groups = "".join(_group(reason, [part for part in weak if part.weakness == reason], plan, len(reasons)) for reason in reasons)
    return (
        f'<details class="weakness"{" open" * opened}><summary>{told}<small>{"Where to take more photos" if weak else ""}</small>'
        f'</summary><p class="note">The atlas located its own photos among the others. A part is a square of {CELL_M:g} m.</p>'
        f"{groups}</details>"
    )


def _group(reason: str, parts: Sequence[Part], plan: Plan, groups: int) -> str:
    """The parts that are weak for one reason: what that is, what would help, and where."""
    shown = parts[: max(LISTED // groups, 1)]
    entries = "".join(_entry(part, plan) for part in shown)
    more = len(parts) - len(shown)
    rest = f'<p class="note">… and {more:,} more; sameplace show ATLAS --coverage lists them all.</p>' if more else ""
    count = "1 part" if len(parts) == 1 else f"{len(parts):,} parts"
    return (
        f"<h2>{reason.capitalize()}: {count}</h2><p>{REASONS[reason].capitalize()}. <b>{CURES[reason].capitalize()}.</b></p>"
        f'<ol class="parts" aria-label="{reason.capitalize()}: where to take more photos">{entries}</ol>{rest}'
    )


def _entry(part: Part, plan: Plan) -> str:
    """One weak part: a photo of it, how many there are, and the way to it on the map."""
    x, y = plan.flat(Positions.of([part.position]))[0] * (1, -1)
    box = f"{x - SEEN_M:.1f} {y - SEEN_M:.1f} {2 * SEEN_M:g} {2 * SEEN_M:g}"
    found = f", {part.found:,} of {part.asked:,} found" if part.asked else ""
    photos = "1 photo" if part.photos == 1 else f"{part.photos:,} photos"
    other = "" if part.taken_for is None else f"<small>taken for</small>{picture(part.taken_for, PICTURE_PIXELS)}"
    return (
        f'<li><button type="button" class="photo" data-part="{x:.1f} {y:.1f}" data-box="{box}" title="Show on the map: '
        f'{text(part.example)}">{picture(part.example, PICTURE_PIXELS)}{other}<b>{photos}{found}</b></button>'
        f'<p class="place">{place(part.position)}</p></li>'
    )
