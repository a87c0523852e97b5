"""A view: the part of a photo that is looked at, and how far it is turned."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a photo, or a photo turned; wherever a path to a photo is read, a view is, too.

    >>> print(View(path=Path("church.jpg"), box=(10.0, 20.0, 110.0, 220.0), turns=1))
    church.jpg (10 20 110 220, turned by 90 degrees)
    """

    path: Path
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom in pixels of the upright photo, rounded and cut to the photo; None for all of it."""
    turns: int = 0
    """Quarter turns counter-clockwise, after the part is cut out."""

    def __str__(self) -> str:
        parts = [] if self.box is None else [" ".join(f"{edge:g}" for edge in self.box)]
        parts += [f"turned by {90 * (self.turns % 4)} degrees"] if self.turns % 4 else []
        return f"{self.path} ({', '.join(parts)})" if parts else str(self.path)
