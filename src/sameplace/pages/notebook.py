"""What a notebook shows of a result: a card of HTML that needs no script and no network, light or dark as the notebook is."""

from collections.abc import Callable
from importlib.resources import files

from sameplace.pages.markup import MARK


def notebook(body: str) -> str:
    """A card for a notebook; its style touches nothing outside it."""
    style = files("sameplace.pages").joinpath("page.notebook.css").read_text("utf-8")
    return f'<div class="sameplace-shown"><style>{style}</style>{MARK}{body}</div>'


def shown(card: Callable[[], str]) -> str | None:
    """The card, or None where it cannot be drawn: a notebook then shows the plain text."""
    try:
        return card()
    except Exception:  # to show a result must never cost it, whatever a file, a folder or a server does
        return None
