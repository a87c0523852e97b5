"""The routes that change the atlas: adding and removing photos."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from sameplace.errors import PositionError
from sameplace.images.exif import from_exif
from sameplace.images.positions import from_row
from sameplace.service.access import MayWrite, Served
from sameplace.service.answers import PhotoTold, coordinates, photo_told
from sameplace.service.pictures import STORED_PIXELS, check_size, stripped
from sameplace.service.problems import Refusal, documented
from sameplace.service.reading import REFUSED, SENT, Named
from sameplace.service.storage import PHOTO as FILE
from sameplace.service.upload import PHOTO_SENT, asked_of, received

FIELDS = {
    "lat": "Degrees, WGS84; together with lon.",
    "lon": "Degrees, WGS84; together with lat.",
    "x_m": "Metres in the local frame of the atlas; together with y_m.",
    "y_m": "Metres in the local frame of the atlas; together with x_m.",
    "heading_deg": "Where the camera looked, clockwise from north (or the y axis).",
    "time": "When it was taken, as ISO 8601.",
}
STORED_QUALITY = 92
ADDED = asked_of(
    PHOTO_SENT,
    {name: {"type": "string" if name == "time" else "number", "description": meaning} for name, meaning in FIELDS.items()},
)

router = APIRouter(prefix="/api", responses=documented(*REFUSED), tags=["photos"])


@router.post("/photos", status_code=HTTPStatus.CREATED, openapi_extra=ADDED, responses=documented(*SENT))
async def add(request: Request, service: Served, changes: MayWrite) -> PhotoTold:
    """Add a photo; the answer comes when it is safe on disk.

    Without a position among the fields, that of its EXIF data is taken. Only pixels, position, heading and time are stored.
    """
    async with received(request, service.room, service.settings, frozenset(FIELDS)) as (photo, fields):
        await to_thread.run_sync(check_size, photo, service.settings.pixels)
        row = await to_thread.run_sync(_row, photo, fields)
        picture = await to_thread.run_sync(_stored, photo, limiter=service.decoding)
    added, _ = await changes.add(picture, row)
    return photo_told(added)


@router.delete(
    "/photos/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def remove(service: Served, changes: MayWrite, name: Named) -> Response:
    """Forget a photo. The file of one that was added here is removed, too; a file that was indexed stays where it is."""
    removed = await changes.remove(name)
    if removed is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "The atlas has no photo of this name; it may have been removed already.")
    service.pictures.forget(name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _stored(photo: bytes) -> bytes:
    return stripped(photo, STORED_PIXELS, quality=STORED_QUALITY)


def _row(photo: bytes, fields: Mapping[str, str]) -> dict[str, str]:
    """The row of a positions.csv that says what the fields say, and for the rest what the photo's EXIF data say."""
    said = from_row(Path(FILE), fields)
    for name, value in (("heading_deg", said.heading_deg), ("time", said.time)):
        if fields.get(name) and value is None:
            wanted = "degrees" if name == "heading_deg" else "a time like 2024-05-01T12:00:00+02:00"
            raise PositionError(f"As {name} {wanted} were wanted, got {fields[name][:50]!r}; correct it or leave it out.")
    record = said.completed(from_exif(Path(FILE), photo))
    if record.position is None:
        raise PositionError("The photo's EXIF data hold no position, and none was given with it; send lat and lon, or x_m and y_m.")
    row = {name: repr(value) for name, value in coordinates(record.position).items()}
    if record.heading_deg is not None:
        row["heading_deg"] = repr(record.heading_deg)
    if record.time is not None:
        row["time"] = record.time.isoformat()
    return row
