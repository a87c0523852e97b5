"""The route that locates the photos of one walk together."""

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import pairwise
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from sameplace.atlas.estimate import Estimate
from sameplace.atlas.sights import taken
from sameplace.atlas.walk import SPEED
from sameplace.errors import AtlasError, ImageError
from sameplace.geo import distance
from sameplace.images import Problem
from sameplace.service.access import Served, may_read
from sameplace.service.answers import EstimateTold, estimate_told
from sameplace.service.edition import Edition
from sameplace.service.pictures import check_size
from sameplace.service.problems import Refusal, documented
from sameplace.service.questions import Answer, Ways
from sameplace.service.reading import REFUSED, SENT
from sameplace.service.upload import asked_of, received_walk
from sameplace.service.ways import ways

PHOTOS_SENT = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "minItems": 1,
    "description": "The photos: a part of this name for each.",
}
ASKED = asked_of(PHOTOS_SENT)

router = APIRouter(prefix="/api", dependencies=[Depends(may_read)], responses=documented(*REFUSED), tags=["locate"])


class StepTold(BaseModel):
    """One photo of a walk."""

    number: Annotated[int, Field(ge=0, description="Which of the photos that were sent it is, from 0.")]
    estimate: Annotated[EstimateTold | None, Field(description="Null where the photo cannot be used.")]
    error: Annotated[str | None, Field(description="Why it cannot be used, in a sentence.")]


class WalkTold(BaseModel):
    """Where the photos of a walk were taken, in the order in which they were."""

    by_time: Annotated[
        bool,
        Field(
            description="Whether their EXIF data tell the order, all by the same clock; else it is that in which they were sent."
        ),
    ]
    length_m: Annotated[float, Field(ge=0, description="Metres from photo to photo.")]
    steps: list[StepTold]


@router.post("/walk", openapi_extra=ASKED, responses=documented(HTTPStatus.CONFLICT, *SENT))
async def walk(
    request: Request,
    service: Served,
    asked: Annotated[Ways, Depends(ways)],
    top: Annotated[int, Query(ge=1, le=10, description="Matches to give for each photo.")] = 3,
    speed: Annotated[
        float, Query(gt=0, le=100, allow_inf_nan=False, description="Metres a second that were seldom exceeded.")
    ] = SPEED,
) -> WalkTold:
    """Where the photos of one walk were taken: together they tell more than each alone. They are kept nowhere."""
    async with received_walk(request, service.room, service.settings) as photos:
        started = time.perf_counter()
        edition = service.editions.newest()
        if not len(edition):
            raise Refusal(HTTPStatus.CONFLICT, "This atlas holds no photos yet; add some first.")
        problems = await to_thread.run_sync(_unusable, photos, service.settings.pixels)
        if len(problems) == len(photos):
            raise _none(problems)
        usable = [number for number in range(len(photos)) if number not in problems]
        times = await to_thread.run_sync(taken, [photos[number] for number in usable])
        known = [time.seconds for time in times if time is not None]
        if by_time := len(known) == len(usable):
            usable = [number for _, number in sorted(zip(known, usable, strict=True))]
        inside = [photos[number] for number in usable]
        try:
            found = await service.walks.run(
                lambda: edition.atlas.locate_walk(
                    inside, top, speed=speed, where=asked.where, level=asked.level, false_accept=asked.false_accept
                )
            )
        except AtlasError as error:  # nothing fits what is known beforehand
            raise Refusal(HTTPStatus.CONFLICT, service.editions.told(error)) from None
    broken = {number: one.reason for number, one in zip(usable, found, strict=True) if isinstance(one, Problem)}
    if len(broken) == len(usable):
        raise _none(problems | broken)
    told: WalkTold = await to_thread.run_sync(
        lambda: _told(edition, dict(zip(usable, found, strict=True)), problems, by_time, time.perf_counter() - started)
    )
    return told


def _unusable(photos: Sequence[bytes], pixels: int) -> dict[int, str]:
    """By number, why photos cannot be used; one of them costs the others nothing."""
    problems = {}
    for number, photo in enumerate(photos):
        try:
            check_size(photo, pixels)
        except (ImageError, Refusal) as error:
            problems[number] = str(error)
    return problems


def _none(problems: Mapping[int, str]) -> Refusal:
    """The refusal of photos that all have a problem, with that of the first."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"None of these photos can be used: {problems[min(problems)]}")


def _told(edition: Edition, found: dict[int, Estimate | Problem], problems: dict[int, str], by_time: bool, took: float) -> WalkTold:
    steps = [
        StepTold(number=number, estimate=None, error=one.reason)
        if isinstance(one, Problem)
        else StepTold(number=number, estimate=estimate_told(Answer(estimate=one, edition=edition), took), error=None)
        for number, one in found.items()
    ]
    positions = [one.position for one in found.values() if not isinstance(one, Problem)]
    return WalkTold(
        by_time=by_time,
        length_m=sum((distance(here, there) for here, there in pairwise(positions)), 0.0),
        steps=[*steps, *(StepTold(number=number, estimate=None, error=reason) for number, reason in problems.items())],
    )
