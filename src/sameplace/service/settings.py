"""How an atlas is served: who may do what, and how much of it."""

from dataclasses import dataclass, field
from pathlib import Path

from sameplace.verification import SECONDS

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a service allows; every limit holds before the work that it limits is begun."""

    token: str | None = field(default=None, repr=False)
    """What a client must show to add and remove photos; without one nobody can."""
    private: bool = False
    """Whether reading, too, needs the token."""
    uploads: Path | None = None
    """The folder where added photos are kept; beside the atlas by default."""
    blur: bool = False
    """Serve pictures in which nobody can be recognised."""
    tiles: str | None = None
    """Where the page gets a map to draw under the photos, as https://.../{z}/{x}/{y}.png; without one it asks nobody."""
    attribution: str = ""
    """Whom the map under the photos is owed to."""
    names: frozenset[str] = frozenset()
    """Names by which a service on this machine alone may be asked for, besides localhost; empty for all where it is not."""
    upload_bytes: int = 25_000_000
    pixels: int = 64_000_000
    """Pixels of the largest photo that is decoded."""
    held_bytes: int = 512_000_000
    """Bytes of all uploads that are in memory at a time."""
    waiting: int = 1024
    """Questions, or additions, that may wait for their turn."""
    upload_seconds: float = 60.0
    """How long a client may take to send a photo."""
    verify: int = 10
    """Matches of one question that are compared point by point, at most; none for 0."""
    verify_seconds: float = SECONDS
    """What that may take for one question, waiting included."""
    walk_photos: int = 50
    """Photos of one walk."""
    walk_bytes: int = 200_000_000
    """Bytes of all photos of one walk."""

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise ValueError(
                f"A token of at least {SHORTEST_TOKEN} characters was wanted, got {len(self.token)}; "
                "make one with `openssl rand -hex 16`."
            )
        if self.private and self.token is None:
            raise ValueError("A private service needs a token; give it one.")
        if not self.verify_seconds > 0:
            raise ValueError(f"More than 0 seconds to verify were wanted, got {self.verify_seconds:g}; 5 is usual.")
        if self.tiles is not None and not all(part in self.tiles for part in ("{z}", "{x}", "{y}")):
            raise ValueError(f"An address with {{z}}, {{x}} and {{y}} was wanted for map tiles, got {self.tiles!r}.")
