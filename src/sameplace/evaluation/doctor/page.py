"""The findings about a dataset as one HTML page: what is the matter, with pictures, and where on a map."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np

from sameplace.evaluation.doctor.findings import Example, Finding, Findings
from sameplace.geo import EARTH, Positions
from sameplace.pages import COMPARISON, MARK, Plan, at, document, drawing, drawn, filled, picture, text, tools
from sameplace.shapes import Array, Float64

PICTURES = 4
PICTURE_PIXELS = 320
PINS = 200
VERDICTS = {"wrong": "error", "doubtful": "no", "note": "unsure"}
LONGEST_BAR = 300


def page(findings: Findings) -> str:
    """A self-contained HTML page; it has a map where positions are known."""
    cards = {f"finding-{number}": problem for number, problem in enumerate(findings.problems, start=1)}
    template, style, script = (
        files("sameplace.evaluation.doctor").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    plan = _map(findings, cards) if findings.places else ""
    title = f"{findings.dataset}: {'nothing is the matter' if findings.sound else 'what is the matter'}"
    parts = {
        "skip": '<a class="skip" href="#findings">Skip the map</a>' if plan else "",
        "layout": "" if plan else "alone",
        "plan": plan,
        "mark": MARK,
        "title": text(title),
        "protocol": text(findings.protocol or "It cannot be evaluated as it is."),
        "facts": _facts(findings),
        "histogram": _histogram(findings),
        "cards": "\n".join(_card(name, problem) for name, problem in cards.items()),
        "footer": f"{'Every pixel was read' if findings.thorough else 'Headers were read, no pixels'}. Made by sameplace; the page "
        "holds everything it shows, and nothing is fetched from anywhere.",
        "dialog": COMPARISON,
    }
    return document(title, filled(template, parts), style=style, script=script)


def write_page(to: str | Path, findings: Findings) -> None:
    """Write the page of these findings to a file."""
    Path(to).write_text(page(findings), encoding="utf-8")


def _map(findings: Findings, cards: Mapping[str, Finding]) -> str:
    """Database and queries as dots of two colours, and what each finding is about."""
    frame = findings.places[0][1].frame
    together = Positions(frame, np.concatenate([positions.coordinates for _, positions in findings.places]))
    plan = Plan.around(together)
    nowhere = np.empty((0, 2))
    flat = {name: plan.flat(positions) for name, positions in findings.places}
    shown = {name: points[drawn(points, nowhere)] for name, points in flat.items()}
    first, *others = shown
    layers = [_dots(shown[name]) for name in others]
    layers += [layer for name, problem in cards.items() if (layer := _layer(name, problem, plan, frame))]
    legend = {"" if name == first else "of-asked": _counted(name, len(flat[name]), len(shown[name])) for name in shown}
    legend["of-own"] = "the finding that is chosen"
    svg = drawing(plan.flat(together), shown[first], layers, "Map of the dataset")
    return f'<section class="plan" aria-label="Map">{svg}{tools("N" if frame == EARTH else "y", legend)}</section>'


def _counted(name: str, images: int, dots: int) -> str:
    return f"{name}: {images:,}" if dots == images else f"{name}: {dots:,} of {images:,}"


def _dots(points: Float64[Array, "points 2"]) -> str:
    marks = "".join(f"M{east:.2f} {-north:.2f}h0" for east, north in points)
    return f'<path class="dots asked" d="{marks}"/>'


def _layer(name: str, problem: Finding, plan: Plan, frame: str) -> str:
    """Crosses where the finding's photos were taken."""
    positions = [example.position for example in problem.examples if example.position and example.position.frame == frame][:PINS]
    if not positions:
        return ""
    points = plan.flat(Positions.of(positions)) * (1, -1)
    least, most = points.min(axis=0) - 20, points.max(axis=0) + 20
    box = " ".join(f"{number:.2f}" for number in (*least, *(most - least)))
    pins = "".join(f'<g class="pin own" {at(x, y)}><path d="M-6-6 6 6M6-6-6 6"/></g>' for x, y in points)
    return (
        f'<g class="answer" data-card="{name}" data-box="{box}" data-north="{plan.north(positions[0]):.2f}">'
        f"<title>{text(problem.said)}</title>{pins}</g>"
    )


def _facts(findings: Findings) -> str:
    head = "".join(f'<th scope="col">{text(part.name)}</th>' for part in findings.parts)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{text(cell)}</td>" for cell in cells)}</tr>'
        for name, cells in findings.facts().items()
    )
    return f'<table class="facts"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'


def _histogram(findings: Findings) -> str:
    """How many queries have how many right images, as bars."""
    classes = findings.histogram()
    if not classes:
        return ""
    most = max(classes.values())
    bars = "".join(_bar(row, name, count, LONGEST_BAR * count / most) for row, (name, count) in enumerate(classes.items()))
    told = ", ".join(f"{count:,} queries have {name}" for name, count in classes.items())
    chance = f" Blind guessing reaches recall@1 = {100 * findings.chance:.1f} %." if findings.chance is not None else ""
    return (
        f'<figure class="histogram"><figcaption>Right images per query.{chance}</figcaption>'
        f'<svg viewBox="0 0 460 {20 * len(classes)}" role="img" aria-label="{told}">{bars}</svg></figure>'
    )


def _bar(row: int, name: str, count: int, long: float) -> str:
    kind = "none" if name == "0" else "some"
    return (
        f'<text x="66" y="{20 * row + 14}" text-anchor="end">{name}</text>'
        f'<rect class="{kind}" x="74" y="{20 * row + 3}" width="{max(long, 1):.1f}" height="14" rx="3"/>'
        f'<text x="{80 + long:.1f}" y="{20 * row + 14}">{count:,}</text>'
    )


def _card(name: str, problem: Finding) -> str:
    """One finding: what, the cure, and the first of the photos."""
    shown = "".join(_example(example) for example in problem.examples[:PICTURES])
    more = len(problem.examples) - PICTURES
    rest = f'<p class="place"><small>... and {more:,} more</small></p>' if more > 0 else ""
    return (
        f'<article class="card" id="{name}"><p class="verdict {VERDICTS[problem.severity]}">{problem.severity}</p>'
        f'<h2><button type="button">{text(problem.said)}.</button></h2><p class="cure">{text(problem.cure)}.</p>'
        f'<ul class="files">{shown}</ul>{rest}</article>'
    )


def _example(example: Example) -> str:
    name = text(Path(example.path).name)
    said = f"<small>{text(example.said)}</small>" if example.said else ""
    if not Path(example.path).is_file():
        return f"<li><small><bdi>{name}</bdi></small>{said}</li>"
    return (
        f'<li><button type="button" class="photo" data-caption="{name}" title="{text(example.path)}" aria-label="Enlarge {name}">'
        f"{picture(example.path, PICTURE_PIXELS)}</button><small><bdi>{name}</bdi></small>{said}</li>"
    )
