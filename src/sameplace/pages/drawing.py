"""The map of a page: places as dots, groups of marks on top, and what is needed to move about in it."""

import numpy as np

from sameplace.pages.markup import text
from sameplace.pages.plan import thinned
from sameplace.shapes import Array, Float64, Int64

DOTS = 4000
DOTS_AROUND = 300
AROUND_M = 400.0
TOOLS = {
    "closer": ("Closer (+)", "Closer", '<path d="M8 3v10M3 8h10"/>'),
    "farther": ("Farther (-)", "Farther", '<path d="M3 8h10"/>'),
    "answer": (
        "This photo (Enter)",
        "Show this photo's answer",
        '<circle cx="8" cy="8" r="3.5"/><path d="M8 1v3M8 12v3M1 8h3M12 8h3"/>',
    ),
    "everything": ("Everything (0)", "Show the whole map", '<path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"/>'),
}


def drawn(everywhere: Float64[Array, "points 2"], closely: Float64[Array, "_places 2"]) -> Int64[Array, " drawn"]:
    """Rows of the points that get a dot: the whole thinned out, and what lies around the places where people look closely."""
    rows = [thinned(everywhere, DOTS)]
    for here in closely if len(everywhere) > DOTS else []:
        around = np.flatnonzero(np.hypot(*(everywhere - here).T) < AROUND_M)
        rows.append(around[thinned(everywhere[around], DOTS_AROUND)])
    return np.unique(np.concatenate(rows))


def drawing(everywhere: Float64[Array, "points 2"], dots: Float64[Array, "_dots 2"], layers: list[str], label: str) -> str:
    """The map: the dots, and the layers on them; x runs east and y south, in metres. The page's script moves it."""
    least, most = everywhere.min(axis=0), everywhere.max(axis=0)
    width, height = np.maximum(most - least, 20)
    middle = (least + most) / 2
    box = f"{middle[0] - width / 2:.2f} {-middle[1] - height / 2:.2f} {width:.2f} {height:.2f}"
    marks = "".join(f"M{east:.2f} {-north:.2f}h0" for east, north in dots)
    return (
        f'<svg tabindex="0" role="application" aria-label="{text(label)}: arrow keys move it, plus and minus zoom, 0 shows all of '
        f'it" viewBox="{box}" data-whole="{box}"><path class="grid"/><path class="dots" d="{marks}"/>{"".join(layers)}</svg>'
    )


def at(x: float, y: float) -> str:
    """The attributes that put a mark on the map and keep its size when the map is zoomed."""
    return f'data-at="{x:.2f} {y:.2f}" transform="translate({x:.2f} {y:.2f})"'


def tools(up: str, legend: dict[str, str]) -> str:
    """Compass, buttons, scale and legend around the map; the legend tells the words for each kind of mark."""
    buttons = "".join(
        f'<button type="button" data-do="{name}" title="{title}" aria-label="{label}"><svg viewBox="0 0 16 16">{icon}</svg>'
        "</button>"
        for name, (title, label, icon) in TOOLS.items()
    )
    lines = "".join(f'<li class="{kind}">{text(words)}</li>' for kind, words in legend.items())
    return (
        '<div class="compass" aria-hidden="true"><svg viewBox="-20 -20 40 40"><path d="M0-15 6 4 0 0-6 4Z"/>'
        f'<text y="16">{up}</text></svg></div><div class="tools">{buttons}</div>'
        f'<div class="foot"><div class="scale" aria-hidden="true"><span></span></div><ul class="legend">{lines}</ul></div>'
    )
