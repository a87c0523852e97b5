"""The routes that tell why a match was found: heat maps of both photos, and the points that agree."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from sameplace.models.why import Contributions
from sameplace.service.access import Served, may_read
from sameplace.service.answers import NAME, Towards, Turned
from sameplace.service.edition import Photo
from sameplace.service.pictures import check_size
from sameplace.service.problems import Refusal, documented
from sameplace.service.reading import ASKED, REFUSED, SENT, found_photo
from sameplace.service.service import Service
from sameplace.service.upload import received

DIGITS = 6
Match = Annotated[str, Query(pattern=NAME, description="The opaque name of a photo of the atlas, such as a match.")]
Grid = list[list[float]]

router = APIRouter(prefix="/api", dependencies=[Depends(may_read)], responses=documented(*REFUSED), tags=["locate"])
COMPARED = documented(HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND, *SENT)


class HeatTold(BaseModel):
    """What the parts of two photos contribute to their similarity; each grid covers its whole photo, upright, row by row."""

    photo: Annotated[Grid, Field(description="Parts of the similarity; what is below nothing speaks against it.")]
    match: Annotated[Grid, Field(description="The same for the match.")]
    most: Annotated[float, Field(description="What is to glow brightest, on both alike.")]
    similarity: Annotated[float, Field(description="Cosine; the parts of either photo add up to it, but for `elsewhere`.")]
    elsewhere: Annotated[
        list[float],
        Field(min_length=2, max_length=2, description="What no part contributes, of photo and match: the model's bias."),
    ]


class ProofTold(BaseModel):
    """What a photo and a match have in common."""

    inliers: Annotated[int, Field(ge=0, description="Pairs of points that agree on one geometry.")]
    pairs: Annotated[int, Field(ge=0, description="Pairs of points that look alike.")]
    least: Annotated[int, Field(description="So many inliers are proof that both show the same thing.")]
    proved: bool
    geometry: Annotated[str, Field(description="'homography' or 'fundamental': what the inliers agree on.")]
    turned_deg: Turned = None
    towards_deg: Towards = None
    lines: Annotated[
        Grid,
        Field(description="x and y in the photo, x and y in the match, from 0 to 1, of the inliers; of many every so many-th."),
    ]
    by: Annotated[str, Field(description="Which points were compared, and how.")]


@router.post("/why", openapi_extra=ASKED, responses=COMPARED)
async def why(request: Request, service: Served, match: Match) -> HeatTold:
    """What of a photo and of a match made them similar; the photo is kept nowhere."""
    if service.explaining.why_not is not None:
        raise Refusal(HTTPStatus.CONFLICT, service.explaining.why_not)
    found = await _named(service, match)
    async with received(request, service.room, service.settings) as (photo, _):
        await to_thread.run_sync(check_size, photo, service.settings.pixels)
        try:
            heat = await service.explanations.run(lambda: service.explaining.heat(photo, Path(found.path)))
        except FileNotFoundError as gone:
            raise Refusal(HTTPStatus.NOT_FOUND, str(gone)) from None
    return HeatTold(
        photo=_grid(heat.photo),
        match=_grid(heat.match),
        most=round(heat.most, DIGITS),
        similarity=heat.photo.similarity,
        elsewhere=[heat.photo.elsewhere, heat.match.elsewhere],
    )


@router.post("/proof", openapi_extra=ASKED, responses=COMPARED)
async def proof(request: Request, service: Served, match: Match) -> ProofTold:
    """Which points of a photo and of a match agree on how one view became the other; the photo is kept nowhere."""
    service.proving.check()
    found = await _named(service, match)
    async with received(request, service.room, service.settings) as (photo, _):
        await to_thread.run_sync(check_size, photo, service.settings.pixels)
        try:
            proved = await service.proving.proof(photo, Path(found.path))
        except FileNotFoundError as gone:
            raise Refusal(HTTPStatus.NOT_FOUND, str(gone)) from None
    verifier, matched, bearing = service.proving.verifier, proved.matched, proved.bearing
    return ProofTold(
        inliers=matched.count,
        pairs=len(matched.pairs),
        least=verifier.least,
        proved=matched.count >= verifier.least,
        geometry=matched.geometry,
        turned_deg=None if bearing is None else bearing.turned,
        towards_deg=None if bearing is None else bearing.towards,
        lines=np.round(proved.lines, 4).tolist(),
        by=verifier.identity,
    )


async def _named(service: Service, name: str) -> Photo:
    found: Photo = await to_thread.run_sync(lambda: found_photo(service.editions.newest(), name))
    return found


def _grid(part: Contributions) -> Grid:
    grid: Grid = np.round(part.locations, DIGITS).tolist()
    return grid
