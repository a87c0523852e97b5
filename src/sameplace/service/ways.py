"""How a client wants to be answered: what is known of its photo beforehand, and how sure the answer is to be."""

from datetime import date
from http import HTTPStatus
from typing import Annotated

from fastapi import Query

from sameplace.atlas import Where
from sameplace.atlas.answering import LEVEL
from sameplace.atlas.calibration import FALSE_ACCEPT
from sameplace.geo import LOCAL, LatLon, LocalPoint, Position
from sameplace.service.access import Served
from sameplace.service.problems import Refusal
from sameplace.service.questions import Ways

NUMBER = r"[-+]?\d{1,12}(\.\d{1,12})?"


def ways(
    service: Served,
    near: Annotated[
        str | None,
        Query(pattern=f"^{NUMBER},{NUMBER}$", description="Ask only photos around a rough position: LAT,LON (or X,Y in metres)."),
    ] = None,
    within: Annotated[float, Query(gt=0, le=1e8, allow_inf_nan=False, description="Metres around it.")] = 500.0,
    heading: Annotated[
        float | None, Query(ge=-360, le=360, allow_inf_nan=False, description="Ask only photos that look this way, from north.")
    ] = None,
    heading_width: Annotated[
        float, Query(gt=0, le=360, allow_inf_nan=False, description="Degrees of that sector.")
    ] = Where.heading_width,
    since: Annotated[date | None, Query(description="Ask only photos taken on this day or later, in UTC.")] = None,
    until: Annotated[date | None, Query(description="Ask only photos taken on this day or before.")] = None,
    level: Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False, description="Part of answers within the radius.")] = LEVEL,
    false_accept: Annotated[
        float, Query(gt=0, lt=1, allow_inf_nan=False, description="Part of photos from elsewhere that may be called known.")
    ] = FALSE_ACCEPT,
) -> Ways:
    """The ways that the parameters of a request tell."""
    where = None
    if near is not None or heading is not None or since is not None or until is not None:
        position = None if near is None else _position(near, service.editions.newest().snapshot.manifest.frame)
        try:
            where = Where(
                near=position,
                within=None if position is None else within,
                heading=heading,
                heading_width=heading_width,
                since=since,
                until=until,
            )
        except ValueError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    return Ways(where=where, level=level, false_accept=false_accept)


def _position(text: str, frame: str | None) -> Position:
    first, second = (float(number) for number in text.split(","))
    return LocalPoint(first, second) if frame == LOCAL else LatLon(first, second)
