"""The cards of a gallery: each query with its verdict, and pictures side by side."""

from collections.abc import Sequence
from pathlib import Path

from sameplace.evaluation.gallery.shown import KINDS, Shown
from sameplace.evaluation.scoring import Outcome
from sameplace.images import View
from sameplace.pages import metres, picture, text

PIXELS = 300


def card(outcome: Outcome, one: Shown, *, strip: bool) -> str:
    """One query: the verdict and three pictures side by side; without a map, where in the database they lie."""
    dataset = outcome.dataset
    name = text(dataset.queries[one.query].path.name)
    seen = [_picture(dataset.query_sources[one.query], "query", "", [])]
    if one.first is not None:
        look = "rightly" if one.kind == "right" else "wrongly"
        facts = [f"similarity {one.similarity:.3f}", *_told_away(one.first_m)]
        seen.append(_picture(dataset.database_sources[one.first], "first retrieved", look, facts))
    if one.truth is not None and one.truth != one.first:
        nearest = "nearest right image" if one.truth_m is not None else "a right image"
        seen.append(_picture(dataset.database_sources[one.truth], nearest, "rightly", _told_away(one.truth_m)))
    return (
        f'<article class="card" id="query-{one.query}" data-kind="{one.kind}"><div class="head">'
        f'<h2><button type="button" title="{"Choose" if strip else "Show on the map"}"><bdi>{name}</bdi></button></h2>'
        f'<p class="verdict {KINDS[one.kind][0]}">{_verdict(outcome, one)}</p></div><div class="seen">{"".join(seen)}</div>'
        f"{_strip(outcome, one) if strip else ''}</article>"
    )


def _verdict(outcome: Outcome, one: Shown) -> str:
    if one.kind == "right":
        return "Right"
    if one.kind == "none":
        return "Has no right image"
    depth = len(outcome.retrieved[one.query])
    return f"Wrong; right at rank {one.rank}" if one.rank is not None else f"Wrong; none right among {depth:,}"


def _told_away(away: float | None) -> list[str]:
    return [] if away is None else [f"{metres(away)} from the query"]


def _picture(source: Path | View, role: str, look: str, facts: Sequence[str]) -> str:
    path = source.path if isinstance(source, View) else source
    caption = text(", ".join([f"{role}: {path.name}", *facts]))
    lines = "<br>".join([*facts, f"<bdi>{text(path.name)}</bdi>"])
    return (
        f'<figure class="{look}"><button type="button" class="photo" data-caption="{caption}" title="{text(str(source))}" '
        f'aria-label="Enlarge {caption}">{picture(source, PIXELS)}</button><figcaption><b>{role}</b>{lines}</figcaption></figure>'
    )


def _strip(outcome: Outcome, one: Shown) -> str:
    """The database as a line, with what is right and what was found first: a map for sets that have none."""
    count = len(outcome.dataset.database)
    wide = max(1000 / count, 3)

    def mark(row: int, kind: str, top: int, height: int) -> str:
        return f'<rect class="{kind}" x="{1000 * row / count:.1f}" y="{top}" width="{wide:.1f}" height="{height}"/>'

    marks = "".join(mark(row, "truth", 2, 10) for row in outcome.positives[one.query].tolist())
    told = f"{len(outcome.positives[one.query]):,} of {count:,} database images are right"
    if one.first is not None:
        marks += mark(one.first, "right" if one.kind == "right" else "wrong", 0, 14)
        told += f"; found first: number {one.first + 1:,}"
    if one.kind != "right" and one.truth is not None:
        told += f", right: number {one.truth + 1:,}"
    return (
        f'<p class="strip"><svg viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="ground" y="5" width="1000" height="4"/>{marks}</svg>{told}</p>'
    )
