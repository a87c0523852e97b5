"""Words and pieces as HTML: escaped, filled into templates, and closed into a document whose own policy forbids the network."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from sameplace.geo import LatLon, Position

MARK = (
    '<p class="mark"><svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="9" cy="12" r="7"/><circle cx="15" cy="12" r="7"/>'
    "</svg>sameplace</p>"
)
"""The sign at the head of a page."""
COMPARISON = (
    '<dialog aria-label="Compare photos"><form method="dialog"><button type="submit" aria-label="Close">Close</button></form>'
    '<div class="pair"></div></dialog>'
)
"""Where the script puts photos side by side."""


def document(title: str, body: str, *, style: str, script: str) -> str:
    """A whole page. It runs exactly this style and this script, shows pictures that it holds itself, and fetches nothing."""
    own = files("sameplace.pages")
    style = own.joinpath("page.css").read_text("utf-8") + style
    script = own.joinpath("page.js").read_text("utf-8") + script
    parts = {
        "style hash": _content_hash(style),
        "script hash": _content_hash(script),
        "title": text(title),
        "style": style,
        "body": body,
        "script": script,
    }
    return filled(own.joinpath("page.html").read_text("utf-8"), parts)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with its `{{places}}` filled; nothing that came out of a file name can look like a place to fill.

    >>> filled("<b>{{name}}</b>", {"name": "{{name}}"})
    '<b>{{name}}</b>'
    """
    pieces = template.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def text(words: str) -> str:
    """Words that may hold anything, made safe for any place in a page; names that are no valid text lose the odd bytes."""
    return escape(words.encode("utf-8", "replace").decode("utf-8"), quote=True)


def metres(distance: float) -> str:
    """A distance as people say it.

    >>> metres(7.63), metres(214.2), metres(15321.0)
    ('7.6 m', '214 m', '15.3 km')
    """
    if distance >= 1000:
        return f"{distance / 1000:.1f} km"
    return f"{distance:.1f} m" if distance < 10 else f"{distance:.0f} m"


def place(position: Position) -> str:
    """A position, on earth with a link to a map of the world."""
    if not isinstance(position, LatLon):
        return f"<code>x {position.x_m:.2f} m, y {position.y_m:.2f} m</code>"
    lat, lon = f"{position.lat:.6f}", f"{position.lon:.6f}"
    link = f"https://www.openstreetmap.org/?mlat={lat}&amp;mlon={lon}#map=18/{lat}/{lon}"
    return f'<code>{lat}, {lon}</code> <a href="{link}" rel="noreferrer noopener" target="_blank">OpenStreetMap</a>'


def _content_hash(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")
