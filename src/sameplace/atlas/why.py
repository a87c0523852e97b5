"""Pictures that show why matches were found: what of each photo made them similar, and which of its points agree."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from sameplace.atlas.estimate import Estimate, Match
from sameplace.errors import ImageError
from sameplace.geo import LatLon, Position
from sameplace.images import read_image
from sameplace.models.why import Contributions, Explainer, Seen
from sameplace.pages.panel import glowing, panel
from sameplace.verification import Verifier
from sameplace.verification.proof import proof, shown

PICTURES: Final = 3
"""Matches of each photo that get a picture."""
BRIGHTEST: Final = 99.5
"""Percentile of what locations contribute that glows most; a single one does not leave the rest dark."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """What each of two photos contributes to their similarity."""

    photo: Contributions
    match: Contributions
    most: float
    """What glows brightest on both: one scale, so that what glows as bright contributes as much."""


def heat(explainer: Explainer, photo: Seen, match: Seen) -> Heat:
    """The heat maps of two photos that the model has seen."""
    parts = explainer.why(photo, match), explainer.why(match, photo)
    most = float(np.percentile(np.concatenate([part.locations.ravel() for part in parts]), BRIGHTEST))
    return Heat(photo=parts[0], match=parts[1], most=most)


def why(
    explainer: Explainer, photo: str | Path | bytes, match: Match, *, verifier: Verifier | None = None, rank: int = 1
) -> Image.Image:
    """Photo and match side by side, lit where they are similar to the model; with a verifier also the points that agree.

    Both are lit on one scale: what glows as bright contributes as much to the similarity. ImageError where one cannot be read.
    """
    query: Path | bytes = photo if isinstance(photo, bytes) else Path(photo)
    found = heat(explainer, *(explainer.see(read_image(source, explainer.size)) for source in (query, Path(match.path))))
    parts, most = (found.photo, found.match), found.most
    lit = [glowing(shown(source), part.locations, most) for source, part in zip((query, Path(match.path)), parts, strict=True)]
    name = "photo" if isinstance(query, bytes) else query.name
    where = f"{_place(match.position)}; similarity {match.similarity:.2f}"
    picture = panel(lit, [(name, "lit where it looks like the match"), (f"{rank}. {Path(match.path).name}", where)])
    if verifier is None:
        return picture
    proved = proof(verifier, query, Path(match.path), titles=(name, f"{rank}. {Path(match.path).name}"))
    whole = Image.new("RGB", (max(picture.width, proved.width), picture.height + proved.height), picture.getpixel((0, 0)))
    whole.paste(picture, (0, 0))
    whole.paste(proved, (0, picture.height))
    return whole


def write_why(
    folder: str | Path,
    explainer: Explainer,
    photo: str | Path,
    estimate: Estimate,
    *,
    name: str | None = None,
    verifier: Verifier | None = None,
    pictures: int = PICTURES,
) -> list[Path]:
    """A picture for each of the best matches whose photo is still there, as NAME-1.jpg and so on; returns which were written.

    The name is that of the photo unless another one is given.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for rank, match in enumerate(estimate.matches[:pictures], start=1):
        try:
            picture = why(explainer, photo, match, verifier=verifier, rank=rank)
        except ImageError:
            continue  # it has gone since it was described
        path = target / f"{name or Path(photo).stem}-{rank}.jpg"
        picture.save(path, quality=90)
        written.append(path)
    return written


def _place(position: Position) -> str:
    if isinstance(position, LatLon):
        return f"{position.lat:.6f}, {position.lon:.6f}"
    return f"x {position.x_m:.1f} m, y {position.y_m:.1f} m"
