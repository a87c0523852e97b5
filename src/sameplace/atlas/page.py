"""Answers as one HTML page with a map, which needs no network and no server and can be sent by mail."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.plan import Plan, thinned
from sameplace.errors import SameplaceError
from sameplace.geo import LatLon, Position, Positions, distance
from sameplace.images import Problem, read_image
from sameplace.images.reading import opened
from sameplace.shapes import Array, Float64, Int64

DOTS = 4000
DOTS_AROUND = 300
AROUND_M = 400.0
MATCHES = 10
PHOTO_PIXELS = 560
MATCH_PIXELS = 280
VERDICTS = {True: ("yes", "Known place"), False: ("no", "Not in this atlas"), None: ("unsure", "Cannot tell")}


def page(answers: Sequence[Estimate | Problem], atlas: Positions, *, own: Mapping[str, Position] | None = None) -> str:
    """A self-contained HTML page: each photo, where it was taken, how sure that is, and the atlas photos that say so.

    `own` holds, by path, positions that the photos themselves claim; the page marks them and says how far off the estimate is.
    """
    own = own or {}
    plan = Plan.around(atlas)
    estimates = {f"photo-{number}": answer for number, answer in enumerate(answers, start=1)}
    found = {name: answer for name, answer in estimates.items() if isinstance(answer, Estimate)}
    everywhere = plan.flat(atlas)
    dots = everywhere[_drawn(everywhere, plan.flat(Positions.of([answer.position for answer in found.values()])))]
    layers = [_layer(name, answer, plan, own.get(answer.photo)) for name, answer in found.items()]
    style, script = (files("sameplace.atlas").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    parts = {
        "style hash": _content_hash(style),
        "script hash": _content_hash(script),
        "title": _text(_title(answers)),
        "map": _map(everywhere, dots, layers),
        "up": "N" if atlas.frame == "earth" else "y",
        "legend": _legend(len(atlas), len(dots), bool(own)),
        "summary": _summary(answers),
        "cards": "\n".join(_card(name, answer, own) for name, answer in estimates.items()),
        "footer": _footer(list(found.values())),
        "style": style,
        "script": script,
    }
    # Split once, so that nothing that came out of a file name can look like a place to fill.
    pieces = files("sameplace.atlas").joinpath("page.html").read_text("utf-8").split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def write_page(
    to: str | Path, answers: Sequence[Estimate | Problem], atlas: Positions, *, own: Mapping[str, Position] | None = None
) -> None:
    """Write the page of these answers to a file."""
    Path(to).write_text(page(answers, atlas, own=own), encoding="utf-8")


def _drawn(everywhere: Float64[Array, "points 2"], estimates: Float64[Array, "answers 2"]) -> Int64[Array, " drawn"]:
    """Rows of the atlas that get a dot: the whole thinned out, and what lies around each estimate, where people look closer."""
    rows = [thinned(everywhere, DOTS)]
    for estimate in estimates if len(everywhere) > DOTS else []:
        around = np.flatnonzero(np.hypot(*(everywhere - estimate).T) < AROUND_M)
        rows.append(around[thinned(everywhere[around], DOTS_AROUND)])
    return np.unique(np.concatenate(rows))


def _map(everywhere: Float64[Array, "points 2"], dots: Float64[Array, "dots 2"], layers: list[str]) -> str:
    """The drawing: the atlas as dots, and one group an answer; x runs east and y south, in metres."""
    least, most = everywhere.min(axis=0), everywhere.max(axis=0)
    width, height = np.maximum(most - least, 20)
    middle = (least + most) / 2
    box = f"{middle[0] - width / 2:.2f} {-middle[1] - height / 2:.2f} {width:.2f} {height:.2f}"
    marks = "".join(f"M{east:.2f} {-north:.2f}h0" for east, north in dots)
    return (
        f'<svg tabindex="0" role="application" aria-label="Map of the answers: arrow keys move it, plus and minus zoom, 0 shows '
        f'the whole atlas" viewBox="{box}" data-whole="{box}"><path class="grid"/><path class="dots" d="{marks}"/>'
        f"{''.join(layers)}</svg>"
    )


def _layer(name: str, answer: Estimate, plan: Plan, own: Position | None) -> str:
    """One answer on the map: its radius, lines to the matches, the matches by rank, the estimate, and the photo's own claim."""
    matches = answer.matches[:MATCHES]
    points = plan.flat(Positions.of([answer.position, *(match.position for match in matches), *([own] if own else [])]))
    points = points * (1, -1)
    here, found = points[0], points[1 : 1 + len(matches)]
    reach = max(3 * (answer.radius), 40.0)
    near = points[np.hypot(*(points - here).T) <= max(reach, 100.0)]
    least, most = np.minimum(near.min(axis=0), here - reach / 2), np.maximum(near.max(axis=0), here + reach / 2)
    box = " ".join(f"{number:.2f}" for number in (*least, *(most - least)))
    rays = "".join(f"M{here[0]:.2f} {here[1]:.2f}L{x:.2f} {y:.2f}" for x, y in found)
    ranks = "".join(
        f'<g class="pin found" data-rank="{rank}" {_at(x, y)}><circle r="9"/><text>{rank}</text></g>'
        for rank, (x, y) in reversed(list(enumerate(found, start=1)))
    )
    claim = f'<g class="pin own" {_at(*points[-1])}><path d="M-6-6 6 6M6-6-6 6"/></g>' if own else ""
    return (
        f'<g class="answer" data-card="{name}" data-box="{box}" data-north="{plan.north(answer.position):.2f}">'
        f"<title>{_text(Path(answer.photo).name)}</title>"
        f'<circle class="ring" cx="{here[0]:.2f}" cy="{here[1]:.2f}" r="{answer.radius:.2f}"/><path class="rays" d="{rays}"/>'
        f'{ranks}{claim}<g class="pin here" {_at(*here)}><circle r="7.5"/></g></g>'
    )


def _at(x: float, y: float) -> str:
    return f'data-at="{x:.2f} {y:.2f}" transform="translate({x:.2f} {y:.2f})"'


def _card(name: str, answer: Estimate | Problem, own: Mapping[str, Position]) -> str:
    """One photo: its picture, the verdict, the position, and the matches as a strip of pictures."""
    path = _path(answer)
    short = f"<bdi>{_text(Path(path).name)}</bdi>"
    if isinstance(answer, Problem):
        return (
            f'<article class="card" id="{name}"><h2>{short}</h2><p class="verdict error">Not readable</p>'
            f'<p class="place"><small>{_text(answer.reason)}</small></p></article>'
        )
    kind, verdict = VERDICTS[answer.known]
    matches = "".join(_match(rank, match, answer.position) for rank, match in enumerate(answer.matches[:MATCHES], start=1))
    claim = own.get(path)
    agreed = _metres(answer.radius)
    about = f"within about {agreed}" if answer.known is not False else f"the best guess; its matches agree to {agreed}"
    off = f"<small>{_metres(distance(answer.position, claim))} from the photo's own position</small>" if claim else ""
    return (
        f'<article class="card" id="{name}"><div class="told">'
        f'<div class="photo" data-caption="{_text(Path(path).name)}">{_picture(path, PHOTO_PIXELS)}</div>'
        f'<div><h2><button type="button" title="Show on the map">{short}</button></h2><p class="verdict {kind}">{verdict}</p>'
        f'<p class="place">{_place(answer.position)}<small>{about}</small>{off}</p></div></div>'
        f'<ol class="matches" aria-label="Matches of {_text(Path(path).name)}">{matches}</ol></article>'
    )


def _match(rank: int, match: Match, estimate: Position) -> str:
    """One match: its picture, a bar as long as its similarity, and how far from the estimate it was taken."""
    path = Path(match.path)
    away = _metres(distance(estimate, match.position))
    caption = f"{_text(path.name)}: match {rank}, similarity {match.similarity:.3f}, {away} from the estimate"
    width = min(max(match.similarity, 0.0), 1.0) * 100
    return (
        f'<li><button type="button" class="photo" data-rank="{rank}" data-caption="{caption}" title="{_text(match.path)}" '
        f'aria-label="Compare with {caption}">{_picture(match.path, MATCH_PIXELS)}<b>{rank}</b></button>'
        f'<span class="bar"><svg viewBox="0 0 100 3" preserveAspectRatio="none"><rect width="{width:.1f}" height="3"/></svg></span>'
        f"<small>{match.similarity:.3f}</small><small>{away} away</small><small><bdi>{_text(path.name)}</bdi></small></li>"
    )


def _picture(path: str, longest: int) -> str:
    """A small upright copy inside the page, without any of the file's metadata; or a sentence where the file has gone."""
    try:
        pixels = read_image(path, _small(path, longest))
    except (SameplaceError, OSError):
        return '<span class="missing">The picture is no longer there</span>'
    stored = BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=80, optimize=True)
    data = base64.b64encode(stored.getvalue()).decode("ascii")
    height, width, _ = pixels.shape
    return f'<img src="data:image/jpeg;base64,{data}" alt="{_text(Path(path).name)}" width="{width}" height="{height}">'


def _small(path: str, longest: int) -> tuple[int, int]:
    """Height and width of an upright photo whose longer side is brought down to some pixels."""
    sideways = False
    with opened(path) as image:
        width, height = image.size
        with suppress(Exception):  # broken EXIF says nothing against the picture
            sideways = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    height, width = (width, height) if sideways else (height, width)
    scale = min(longest / max(height, width), 1)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _place(position: Position) -> str:
    if not isinstance(position, LatLon):
        return f"<code>x {position.x_m:.2f} m, y {position.y_m:.2f} m</code>"
    lat, lon = f"{position.lat:.6f}", f"{position.lon:.6f}"
    link = f"https://www.openstreetmap.org/?mlat={lat}&amp;mlon={lon}#map=18/{lat}/{lon}"
    return f'<code>{lat}, {lon}</code> <a href="{link}" rel="noreferrer noopener" target="_blank">OpenStreetMap</a>'


def _path(answer: Estimate | Problem) -> str:
    return answer.photo if isinstance(answer, Estimate) else answer.path


def _title(answers: Sequence[Estimate | Problem]) -> str:
    if len(answers) == 1:
        return f"Where was {Path(_path(answers[0])).name} taken?"
    return f"Where were these {len(answers)} photos taken?"


def _summary(answers: Sequence[Estimate | Problem]) -> str:
    if len(answers) == 1:
        return ""
    known = [answer.known if isinstance(answer, Estimate) else "unread" for answer in answers]
    words = {True: "known", False: "not in this atlas", None: "undecided", "unread": "not readable"}
    return _text(", ".join(f"{known.count(kind)} {word}" for kind, word in words.items() if kind in known) + ".")


def _legend(places: int, dots: int, own: bool) -> str:
    shown = f"{places:,} photos of the atlas" if dots == places else f"{dots:,} of the atlas's {places:,} photos"
    lines = [("", shown), ("of-match", "matches, by rank"), ("of-here", "estimate and its radius")]
    return "".join(
        f'<li class="{kind}">{line}</li>' for kind, line in [*lines, *([("of-own", "the photo's own position")] if own else [])]
    )


def _footer(answers: Sequence[Estimate]) -> str:
    if all(answer.calibrated for answer in answers):
        return "Made by sameplace. The page holds everything it shows; nothing is fetched from anywhere."
    return (
        "Radius and verdict are first guesses, not calibrated: the radius is the spread of the matches that agree. "
        "Made by sameplace; the page holds everything it shows, and nothing is fetched from anywhere."
    )


def _metres(metres: float) -> str:
    """A distance as people say it.

    >>> _metres(7.63), _metres(214.2), _metres(15321.0)
    ('7.6 m', '214 m', '15.3 km')
    """
    if metres >= 1000:
        return f"{metres / 1000:.1f} km"
    return f"{metres:.1f} m" if metres < 10 else f"{metres:.0f} m"


def _text(words: str) -> str:
    """Words that may hold anything, made safe for any place in the page; names that are no valid text lose the odd bytes."""
    return escape(words.encode("utf-8", "replace").decode("utf-8"), quote=True)


def _content_hash(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
