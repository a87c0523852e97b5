"""How an estimate and an atlas show themselves in a notebook: on a map, with a few small pictures."""

from pathlib import Path

import numpy as np

from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.page import VERDICTS
from sameplace.atlas.snapshot import Snapshot
from sameplace.geo import EARTH, Position, Positions, distance
from sameplace.pages import Plan, Still, metres, notebook, picture, place, text, thinned

MATCHES = 5
PHOTO_PIXELS = 240
MATCH_PIXELS = 160
EXAMPLES = 6
DOTS = 1500
AROUND_M = 100.0
"""Matches up to so far from the estimate, or three times its radius, decide how much the map shows."""


def estimate_card(estimate: Estimate) -> str:
    """One answer: where on a map, how sure that is, and the best matches."""
    kind, verdict = VERDICTS[estimate.known]
    name = text(Path(estimate.photo).name)
    # A photo that came as bytes has no file, and its picture is not missed.
    photo = f'<div class="photo">{picture(estimate.photo, PHOTO_PIXELS)}</div>' if Path(estimate.photo).is_file() else ""
    matches = "".join(_match(rank, match, estimate.position) for rank, match in enumerate(estimate.matches[:MATCHES], start=1))
    return notebook(
        f'<div class="told"><figure>{_map(estimate)}</figure><div>{photo}<h2><bdi>{name}</bdi></h2>'
        f'<p class="verdict {kind}">{verdict}</p><p class="place">{place(estimate.position)}<small>{_radius(estimate)}</small></p>'
        f'</div></div><ol class="photos" aria-label="Matches of {name}">{matches}</ol>'
    )


def atlas_card(snapshot: Snapshot, doubt: str | None) -> str:
    """An atlas in a folder: how many photos, where, and some of them."""
    rows = snapshot.rows()
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(EXAMPLES, len(rows))).round().astype(np.int64))]
    pictures = "".join(_example(snapshot.entry_at(row).path) for row in some.tolist())
    overview = _overview(snapshot.positions(rows)) if len(rows) else ""
    facts = _facts(snapshot.folder.name, len(rows), snapshot.manifest.model.name)
    warning = _note(doubt) if doubt is not None and len(rows) else ""
    return notebook(
        f'<div class="told">{overview}<div>{facts}{warning}</div></div>'
        f'<ol class="photos" aria-label="Some of its photos">{pictures}</ol>'
    )


def address_card(address: str, photos: int, model: str) -> str:
    """An atlas on a server, whose positions are too many to fetch for a look."""
    return notebook(_facts(address, photos, model))


def _facts(name: str, photos: int, model: str) -> str:
    count = f"<li><b>{photos:,}</b>{'photo' if photos == 1 else 'photos'}</li>"
    return f'<h2><bdi>{text(name)}</bdi></h2><ul class="figures">{count}</ul>{_note(f"Described by {model}.")}'


def _note(words: str) -> str:
    return f'<p class="note">{text(words)}</p>'


def _radius(estimate: Estimate) -> str:
    """What the radius says, and what it does not."""
    agreed = metres(estimate.radius)
    if estimate.known is False:
        return f"the best guess; its matches agree to {agreed}"
    if estimate.calibrated:
        return f"within {agreed}, as {estimate.level:.0%} of such answers are"
    return f"within about {agreed}: a first guess, not calibrated"


def _map(estimate: Estimate) -> str:
    """The estimate with its radius, and the matches by rank; those far away lie outside, where their lines lead."""
    matches = estimate.matches[:MATCHES]
    plan = Plan(centre=estimate.position)
    points = plan.flat(Positions.of([estimate.position, *(match.position for match in matches)]))
    reach = max(estimate.radius, 10.0)
    near = points[np.hypot(*points.T) <= max(3 * reach, AROUND_M)]
    still = Still.holding(np.concatenate([near, np.array([[-reach, -reach], [reach, reach]])]))
    (x, y), *found = still.pixels(points).tolist()
    rays = "".join(f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" for to_x, to_y in found)
    ranks = "".join(
        f'<g class="found"><circle cx="{to_x:.1f}" cy="{to_y:.1f}" r="9"/><text x="{to_x:.1f}" y="{to_y:.1f}">{rank}</text></g>'
        for rank, (to_x, to_y) in reversed(list(enumerate(found, start=1)))
    )
    layers = (
        f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{estimate.radius / still.metres:.1f}"/><path class="rays" d="{rays}"/>'
        f'<circle class="here" cx="{x:.1f}" cy="{y:.1f}" r="13"/>{ranks}'
    )
    outside = len(points) - len(near)
    far = f"<li>{outside} of {len(matches)} matches farther away</li>" if outside else ""
    svg = still.svg(layers, f"Map of the estimate and its {len(found)} best matches")
    legend = f'<li class="of-here">estimate and its radius</li><li class="of-match">matches, by rank</li>{far}'
    return f'{svg}<ul class="legend">{legend}</ul>'


def _match(rank: int, match: Match, estimate: Position) -> str:
    """One match: its picture, a bar as long as its similarity, and how far from the estimate it was taken."""
    name = text(Path(match.path).name)
    width = min(max(match.similarity, 0.0), 1.0) * 100
    return (
        f'<li title="{text(match.path)}">{picture(match.path, MATCH_PIXELS)}<b>{rank}</b>'
        f'<svg class="bar" viewBox="0 0 100 3" preserveAspectRatio="none" aria-hidden="true"><rect width="{width:.1f}" height="3"/>'
        f"</svg><small>similarity {match.similarity:.3f}</small><small>{metres(distance(estimate, match.position))} away</small>"
        f"<small><bdi>{name}</bdi></small></li>"
    )


def _overview(positions: Positions) -> str:
    """Where the photos of an atlas were taken."""
    flat = Plan.around(positions).flat(positions)
    dots = flat[thinned(flat, DOTS)]
    told = f"{len(dots):,} of {len(flat):,} photos" if len(dots) < len(flat) else "photos"
    still = Still.holding(flat)
    up = "" if positions.frame == EARTH else "<li>y is up, in metres</li>"
    svg = still.svg(still.dots(dots), f"Map of {len(flat):,} photos")
    return f'<figure>{svg}<ul class="legend"><li>{told}</li>{up}</ul></figure>'


def _example(path: str) -> str:
    return f'<li title="{text(path)}">{picture(path, MATCH_PIXELS)}<small><bdi>{text(Path(path).name)}</bdi></small></li>'
