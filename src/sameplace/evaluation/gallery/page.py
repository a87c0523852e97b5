"""The failures and successes of an evaluation as one HTML page: each query, what it found first, and what was right."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from sameplace.evaluation.gallery.cards import card
from sameplace.evaluation.gallery.places import plan_of
from sameplace.evaluation.gallery.shown import KINDS, Shown, chosen, kinds_of
from sameplace.evaluation.report import Report
from sameplace.evaluation.scoring import Outcome
from sameplace.pages import COMPARISON, MARK, document, filled, text

THUMBNAILS = 240
"""With so many a page has less than 20 MB, whatever is on the photos."""
A_CARD = 3
"""Pictures on a card."""


def gallery(outcome: Outcome, *, thumbnails: int = THUMBNAILS) -> str:
    """A self-contained HTML page of failures and successes, with a map where positions are known.

    Where there are more queries than `thumbnails` allow, those shown are taken evenly from the surest to the least sure.
    """
    if thumbnails < A_CARD:
        raise ValueError(f"A gallery needs {A_CARD} thumbnails for one query, got thumbnails={thumbnails}; allow more.")
    shown = chosen(outcome, thumbnails // A_CARD)
    template, style, script = (
        files("sameplace.evaluation.gallery").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    report = outcome.report
    plan = plan_of(outcome, shown)
    title = f"{report.model} on {report.dataset}"
    filters, summary = _filters(shown, kinds_of(outcome))
    parts = {
        "skip": '<a class="skip" href="#queries">Skip the map</a>' if plan else "",
        "layout": "" if plan else "alone",
        "plan": plan,
        "mark": MARK,
        "title": text(title),
        "protocol": text(_protocol(report)),
        "figures": _figures(report),
        "filters": filters,
        "summary": text(summary),
        "cards": "\n".join(card(outcome, one, strip=not plan) for one in shown),
        "footer": "The keys j and k go through the queries. Made by sameplace; the page holds everything it shows, and nothing is "
        "fetched from anywhere.",
        "dialog": COMPARISON,
    }
    return document(title, filled(template, parts), style=style, script=script)


def write_gallery(to: str | Path, outcome: Outcome, *, thumbnails: int = THUMBNAILS) -> None:
    """Write the gallery of an evaluation to a file."""
    Path(to).write_text(gallery(outcome, thumbnails=thumbnails), encoding="utf-8")


def _protocol(report: Report) -> str:
    height, width = report.size
    return (
        f"{report.queries:,} queries, {report.answerable:,} of them answerable, {report.database:,} database images, brought to "
        f"{height}\u00a0x\u00a0{width}; {report.protocol}."
    )


def _figures(report: Report) -> str:
    """recall@N with its interval, over all queries."""
    lines = []
    for top, share in report.recall.items():
        low, high = report.interval[top]
        lines.append(f"<li><b>{100 * share:.1f} %</b>recall@{top}<small>{100 * low:.1f} - {100 * high:.1f} %</small></li>")
    return "".join(lines)


def _filters(shown: Sequence[Shown], kinds: Sequence[str]) -> tuple[str, str]:
    """A button for each kind that there is, and what is said of the page as a whole."""
    told = {}
    for kind, (_, words) in KINDS.items():
        here, there = sum(one.kind == kind for one in shown), kinds.count(kind)
        if there:
            part = "all of them" if here == there else f"of {there:,}, evenly from the surest to the least sure"
            told[kind] = (f"{words[0].upper()}{words[1:]} ({here:,})", f"{here:,} {words}, {part}.")
    summary = " ".join(sentence for _, sentence in told.values())
    buttons = [("all", f"All ({len(shown):,})", summary), *((kind, *words) for kind, words in told.items())]
    html = "".join(
        f'<button type="button" data-show="{kind}" data-told="{text(sentence)}" aria-pressed="{str(kind == "all").lower()}">'
        f"{text(name)}</button>"
        for kind, name, sentence in buttons
    )
    return html, summary
