"""What pages that need no network are made of: one file each, with pictures, a map and nothing to fetch."""

from sameplace.pages.drawing import at, drawing, drawn, tools
from sameplace.pages.markup import COMPARISON, MARK, document, filled, metres, place, text
from sameplace.pages.notebook import notebook, shown
from sameplace.pages.picture import picture
from sameplace.pages.plan import Plan, thinned
from sameplace.pages.still import Still

__all__ = [
    "COMPARISON",
    "MARK",
    "Plan",
    "Still",
    "at",
    "document",
    "drawing",
    "drawn",
    "filled",
    "metres",
    "notebook",
    "picture",
    "place",
    "shown",
    "text",
    "thinned",
    "tools",
]
