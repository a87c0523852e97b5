"""Answers as one HTML page with a map, which needs no network and no server and can be sent by mail."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from sameplace.atlas import coverage_page
from sameplace.atlas.coverage import Part
from sameplace.atlas.estimate import Estimate, Match
from sameplace.geo import Position, Positions, distance
from sameplace.images import Problem
from sameplace.pages import COMPARISON, MARK, Plan, at, document, drawing, drawn, filled, metres, picture, place, text, tools

MATCHES = 10
PHOTO_PIXELS = 560
MATCH_PIXELS = 280
VERDICTS = {True: ("yes", "Known place"), False: ("no", "Not sure"), None: ("unsure", "Cannot tell")}


def page(
    answers: Sequence[Estimate | Problem],
    atlas: Positions,
    *,
    own: Mapping[str, Position] | None = None,
    coverage: Sequence[Part] = (),
) -> str:
    """A self-contained HTML page: each photo, where it was taken, how sure that is, and the atlas photos that say so.

    `own` holds, by path, positions that the photos themselves claim; the page marks them and says how far off the estimate is.
    With the `coverage` of the atlas (`Atlas.coverage()`) the page also tells where it is weak, even without any answers.
    """
    own = own or {}
    plan = Plan.around(atlas)
    estimates = {f"photo-{number}": answer for number, answer in enumerate(answers, start=1)}
    found = {name: answer for name, answer in estimates.items() if isinstance(answer, Estimate)}
    everywhere = plan.flat(atlas)
    dots = everywhere[drawn(everywhere, plan.flat(Positions.of([answer.position for answer in found.values()])))]
    layers = [coverage_page.layer(coverage, plan)]
    layers += [_layer(name, answer, plan, own.get(answer.photo)) for name, answer in found.items()]
    template, style, script = (
        files("sameplace.atlas").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    parts = {
        "title": text(_title(answers)),
        "mark": MARK,
        "map": drawing(everywhere, dots, layers, "Map of the answers" if answers else "Map of the atlas"),
        "tools": tools(
            "N" if atlas.frame == "earth" else "y",
            _legend(len(atlas), len(dots), bool(answers), bool(own)) | coverage_page.legend(coverage),
        ),
        "summary": _summary(answers),
        "coverage": coverage_page.section(coverage, plan, opened=not answers),
        "cards": "\n".join(_card(name, answer, own) for name, answer in estimates.items()),
        "footer": _footer(list(found.values())),
        "dialog": COMPARISON,
    }
    return document(_title(answers), filled(template, parts), style=style, script=script)


def write_page(
    to: str | Path,
    answers: Sequence[Estimate | Problem],
    atlas: Positions,
    *,
    own: Mapping[str, Position] | None = None,
    coverage: Sequence[Part] = (),
) -> None:
    """Write the page of these answers to a file."""
    Path(to).write_text(page(answers, atlas, own=own, coverage=coverage), encoding="utf-8")


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
        f'<g class="pin found" data-rank="{rank}" {at(x, y)}><circle r="9"/><text>{rank}</text></g>'
        for rank, (x, y) in reversed(list(enumerate(found, start=1)))
    )
    claim = f'<g class="pin own" {at(*points[-1])}><path d="M-6-6 6 6M6-6-6 6"/></g>' if own else ""
    return (
        f'<g class="answer" data-card="{name}" data-box="{box}" data-north="{plan.north(answer.position):.2f}">'
        f"<title>{text(Path(answer.photo).name)}</title>"
        f'<circle class="ring" cx="{here[0]:.2f}" cy="{here[1]:.2f}" r="{answer.radius:.2f}"/><path class="rays" d="{rays}"/>'
        f'{ranks}{claim}<g class="pin here" {at(*here)}><circle r="7.5"/></g></g>'
    )


def _card(name: str, answer: Estimate | Problem, own: Mapping[str, Position]) -> str:
    """One photo: its picture, the verdict, the position, and the matches as a strip of pictures."""
    path = _path(answer)
    short = f"<bdi>{text(Path(path).name)}</bdi>"
    if isinstance(answer, Problem):
        return (
            f'<article class="card" id="{name}"><h2>{short}</h2><p class="verdict error">Not readable</p>'
            f'<p class="place"><small>{text(answer.reason)}</small></p></article>'
        )
    kind, verdict = VERDICTS[answer.known]
    matches = "".join(_match(rank, match, answer.position) for rank, match in enumerate(answer.matches[:MATCHES], start=1))
    claim = own.get(path)
    agreed = metres(answer.radius)
    about = f"within about {agreed}" if answer.known is not False else _best_guess(agreed)
    off = f"<small>{metres(distance(answer.position, claim))} from the photo's own position</small>" if claim else ""
    return (
        f'<article class="card" id="{name}"><div class="told">'
        f'<div class="photo" data-caption="{text(Path(path).name)}">{picture(path, PHOTO_PIXELS)}</div>'
        f'<div><h2><button type="button" title="Show on the map">{short}</button></h2><p class="verdict {kind}">{verdict}</p>'
        f'<p class="place">{place(answer.position)}<small>{about}</small>{off}</p></div></div>'
        f'<ol class="matches" aria-label="Matches of {text(Path(path).name)}">{matches}</ol></article>'
    )


def _best_guess(agreed: str) -> str:
    """What an answer is worth that photos from elsewhere would get as well."""
    return f"the best guess, which may be wrong, or the place not in this atlas; its matches agree to {agreed}"


def _match(rank: int, match: Match, estimate: Position) -> str:
    """One match: its picture, a bar as long as its similarity, and how far from the estimate it was taken."""
    path = Path(match.path)
    away = metres(distance(estimate, match.position))
    caption = f"{text(path.name)}: match {rank}, similarity {match.similarity:.3f}, {away} from the estimate"
    width = min(max(match.similarity, 0.0), 1.0) * 100
    return (
        f'<li><button type="button" class="photo" data-rank="{rank}" data-caption="{caption}" title="{text(match.path)}" '
        f'aria-label="Compare with {caption}">{picture(match.path, MATCH_PIXELS)}<b>{rank}</b></button>'
        f'<span class="bar"><svg viewBox="0 0 100 3" preserveAspectRatio="none"><rect width="{width:.1f}" height="3"/></svg></span>'
        f"<small>{match.similarity:.3f}</small><small>{away} away</small><small><bdi>{text(path.name)}</bdi></small></li>"
    )


def _path(answer: Estimate | Problem) -> str:
    return answer.photo if isinstance(answer, Estimate) else answer.path


def _title(answers: Sequence[Estimate | Problem]) -> str:
    if not answers:
        return "Where is this atlas weak?"
    if len(answers) == 1:
        return f"Where was {Path(_path(answers[0])).name} taken?"
    return f"Where were these {len(answers)} photos taken?"


def _summary(answers: Sequence[Estimate | Problem]) -> str:
    if len(answers) <= 1:
        return ""
    known = [answer.known if isinstance(answer, Estimate) else "unread" for answer in answers]
    words = {True: "known", False: "not sure", None: "undecided", "unread": "not readable"}
    return text(", ".join(f"{known.count(kind)} {word}" for kind, word in words.items() if kind in known) + ".")


def _legend(places: int, dots: int, answers: bool, own: bool) -> dict[str, str]:
    shown = f"{places:,} photos of the atlas" if dots == places else f"{dots:,} of the atlas's {places:,} photos"
    lines = {"": shown} | ({"of-match": "matches, by rank", "of-here": "estimate and its radius"} if answers else {})
    return lines | ({"of-own": "the photo's own position"} if own else {})


def _footer(answers: Sequence[Estimate]) -> str:
    made = "Made by sameplace; the page holds everything it shows, and nothing is fetched from anywhere."
    guess = "the radius is the spread of the matches that agree."
    rates = [answer.false_accept for answer in answers if answer.false_accept is not None]
    if len(rates) < len(answers):
        return f"Radius and verdict are first guesses, not calibrated: {guess} {made}"
    known = f"Of 100 photos from elsewhere about {100 * max(rates):.2g} are called known. " if answers else ""
    first = "" if all(answer.calibrated for answer in answers) else f"The radius is a first guess, not calibrated: {guess} "
    return known + first + made
