"""What pages that need no network are made of: one file each, with pictures, a map and nothing to fetch."""

from sameplace.pages.drawing import at, drawing, drawn, tools
from sameplace.pages.markup import COMPARISON, MARK, document, filled, metres, place, text
from sameplace.pages.picture import picture
from sameplace.pages.plan import Plan, thinned

__all__ = [
    "COMPARISON",
    "MARK",
    "Plan",
    "at",
    "document",
    "drawing",
    "drawn",
    "filled",
    "metres",
    "picture",
    "place",
    "text",
    "thinned",
    "tools",
]
