"""The routes that change nothing: locating, and looking at the atlas."""

import time
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Literal

import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from sameplace._version import __version__
from sameplace.atlas.summary import extent
from sameplace.errors import AtlasError
from sameplace.service.access import Served, may_read
from sameplace.service.answers import (
    NAME,
    AtlasTold,
    CoverageTold,
    EstimateTold,
    Health,
    PhotosTold,
    PhotoTold,
    TileTold,
    coverage_told,
    estimate_told,
    photo_told,
    tile_told,
)
from sameplace.service.edition import Edition, Photo
from sameplace.service.pictures import SIZES, check_size
from sameplace.service.problems import Refusal, documented
from sameplace.service.questions import Ways
from sameplace.service.squares import DEEPEST
from sameplace.service.upload import PHOTO_SENT, asked_of, received
from sameplace.service.ways import ways

Named = Annotated[str, Path(pattern=NAME, description="The opaque name of a photo.")]
REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
SENT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
MOST = 50
"""Matches of one answer."""
ASKED = asked_of(PHOTO_SENT)

free = APIRouter()
router = APIRouter(prefix="/api", dependencies=[Depends(may_read)], responses=documented(*REFUSED))


@free.get("/health", tags=["operation"], responses=documented(HTTPStatus.MISDIRECTED_REQUEST))
async def health(service: Served) -> Health:
    """Tell that the service is up."""
    edition = service.editions.newest()
    return Health(status="ok", images=len(edition), generation=edition.generation, waiting=len(service.questions))


@free.get(
    "/metrics",
    tags=["operation"],
    dependencies=[Depends(may_read)],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(*REFUSED)},
)
def metrics(service: Served) -> Response:
    """Figures for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/atlas", tags=["atlas"])
def atlas(service: Served) -> AtlasTold:
    """What is served."""
    edition, settings = service.editions.newest(), service.settings
    manifest = edition.snapshot.manifest
    return AtlasTold(
        name=service.editions.path.name,
        images=len(edition),
        frame=manifest.frame,
        extent=extent(edition.atlas.positions()),
        model=manifest.model.name,
        generation=edition.generation,
        writable=service.changes is not None,
        tiles=settings.tiles,
        attribution=settings.attribution,
        deepest=DEEPEST,
        sizes=list(SIZES),
        upload_bytes=settings.upload_bytes,
        pixels=settings.pixels,
        walk_photos=settings.walk_photos,
        walk_bytes=settings.walk_bytes,
        verify=0 if service.proving.why_not else service.proving.most,
        verify_seconds=service.proving.seconds,
        unverified=service.proving.why_not,
        unexplained=service.explaining.why_not,
        version=__version__,
    )


@router.post("/locate", tags=["locate"], openapi_extra=ASKED, responses=documented(HTTPStatus.CONFLICT, *SENT))
async def locate(
    request: Request,
    service: Served,
    asked: Annotated[Ways, Depends(ways)],
    top: Annotated[int, Query(ge=1, le=MOST, description="Matches to give.")] = 10,
    verify: Annotated[
        int,
        Query(ge=0, le=MOST, description="Matches to compare point by point, proved ones first; as many as the service allows."),
    ] = 0,
) -> EstimateTold:
    """Where a photo was taken, and the photos of the atlas that say so; the photo is kept nowhere."""
    if verify:
        service.proving.check()
    async with received(request, service.room, service.settings) as (photo, _):
        started = time.perf_counter()
        if not len(service.editions.newest()):
            raise Refusal(HTTPStatus.CONFLICT, "This atlas holds no photos yet; add some first.")
        await to_thread.run_sync(check_size, photo, service.settings.pixels)
        try:
            answer = await service.questions.ask(photo, max(top, min(verify, service.proving.most)), asked)
        except AtlasError as error:  # nothing fits what is known beforehand, or all has just been removed
            raise Refusal(HTTPStatus.CONFLICT, service.editions.told(error)) from None
        if verify:
            answer = replace(answer, estimate=await service.proving.verified(answer.estimate, photo, verify, top))
    return await to_thread.run_sync(lambda: estimate_told(answer, time.perf_counter() - started))


@router.get("/photos", tags=["photos"])
def photos(
    service: Served,
    start: Annotated[int, Query(ge=0, le=2**53, description="Photos to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> PhotosTold:
    """The photos of the atlas, page by page."""
    edition = service.editions.newest()
    numbers = np.arange(min(start, len(edition)), min(start + limit, len(edition)))
    told = [photo_told(photo) for photo in edition.photos(numbers)]
    return PhotosTold(photos=told, start=start, total=len(edition), generation=edition.generation)


@router.get("/photos/{name}", tags=["photos"], responses=documented(HTTPStatus.NOT_FOUND))
def photo(service: Served, name: Named) -> PhotoTold:
    """One photo of the atlas."""
    return photo_told(found_photo(service.editions.newest(), name))


@router.get(
    "/photos/{name}/picture",
    tags=["photos"],
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(HTTPStatus.NOT_FOUND),
    },
)
async def picture(
    service: Served,
    name: Named,
    size: Annotated[Literal["160", "320", "640", "1280"], Query(description="Pixels on the longer side, at most.")] = "320",
) -> Response:
    """A picture of a photo, upright, without its metadata."""
    found = await to_thread.run_sync(lambda: found_photo(service.editions.newest(), name))
    try:
        made = await to_thread.run_sync(service.pictures.picture, found.name, found.path, int(size), limiter=service.decoding)
    except FileNotFoundError as gone:
        raise Refusal(HTTPStatus.NOT_FOUND, str(gone)) from None
    return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/tiles/{z}/{x}/{y}", tags=["atlas"], responses=documented(HTTPStatus.NOT_FOUND))
def tile(
    service: Served,
    z: Annotated[int, Path(ge=0, le=DEEPEST)],
    x: Annotated[int, Path(ge=0, lt=2**DEEPEST)],
    y: Annotated[int, Path(ge=0, lt=2**DEEPEST)],
) -> TileTold:
    """Where photos were taken, in a square of the map.

    On earth the squares are the tiles of web maps; in a local frame the middle of the map is x = y = 0, and its side 40,075,017 m.
    """
    if max(x, y) >= 2**z:
        raise Refusal(HTTPStatus.NOT_FOUND, f"At zoom {z} there are tiles from 0 to {2**z - 1}, got {x}, {y}.")
    return tile_told(service.editions.newest(), z, x, y)


@router.get("/coverage", tags=["atlas"])
async def coverage(
    service: Served, limit: Annotated[int, Query(ge=1, le=5000, description="Parts to tell, weak ones first.")] = 1000
) -> CoverageTold:
    """Which parts of the map are weak, and why: where to take more photos. The first answer may take half a minute."""
    told: CoverageTold = await to_thread.run_sync(
        lambda: coverage_told(service.weakness.covered(), limit), limiter=service.thinking
    )
    return told


def found_photo(edition: Edition, name: str) -> Photo:
    """The photo of a name, or a refusal."""
    if (photo := edition.named(name)) is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "The atlas has no photo of this name; it may have been removed, or changed.")
    return photo
