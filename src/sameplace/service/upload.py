"""Receiving photos: multipart forms read as they arrive, into memory and never onto a disk, within limits of bytes and time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from sameplace.service.problems import Refusal, busy
from sameplace.service.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PHOTO = "photo"
PHOTO_SENT = {"type": "string", "format": "binary", "description": "The photo."}
"""What OpenAPI says of one."""
FIELD_BYTES = 200
FRAME_BYTES = 10_000
"""What boundaries, headers and fields may add to each photo."""
WALK_PATIENCE = 4
"""How many times as long the photos of a walk may take as one photo may."""


class Room:
    """The memory that all uploads share."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, count: int) -> None:
        """Hold some more bytes, or refuse."""
        if self.held + count > self.limit:
            raise busy("Too many photos are being sent at this moment; send this one again in a few seconds.")
        self.held += count

    def give_back(self, count: int) -> None:
        """Hold so many bytes less."""
        self.held -= count


class Form:
    """The parts of one form, as they come in: one photo or several, and short fields of known names."""

    def __init__(
        self, boundary: bytes, fields: frozenset[str], photo_bytes: int, *, most: int = 1, all_bytes: int | None = None
    ) -> None:
        self.photos: list[bytearray] = []
        self.fields: dict[str, bytearray] = {}
        self.complete = False
        self._names = fields
        self._photo_bytes = photo_bytes
        self._most = most
        self._all_bytes = self._left = photo_bytes if all_bytes is None else all_bytes
        self._header = bytearray()
        self._value = bytearray()
        self._name = ""
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_begin": self._begin_header,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise _malformed(f"the form is broken ({str(error).rstrip('.')})") from None

    def receive(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(f"the form is broken ({str(error).rstrip('.')})") from None

    def _begin(self) -> None:
        self._name = ""

    def _begin_header(self) -> None:
        self._header, self._value = bytearray(), bytearray()

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")

    def _begin_part(self) -> None:
        if self._name not in {PHOTO, *self._names}:
            raise _malformed(f"a part is named {self._name[:50]!r}, and only {', '.join(sorted({PHOTO, *self._names}))} are known")
        if self._name != PHOTO:
            if self._name in self.fields:
                raise _malformed(f"there are two parts named {self._name!r}")
            self.fields[self._name] = bytearray()
        elif self._most == 1 and self.photos:
            raise _malformed(f"there are two parts named {PHOTO!r}")
        elif len(self.photos) == self._most:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"At most {self._most} photos were wanted at a time, and more came; send fewer.",
            )
        else:
            self.photos.append(bytearray())

    def _add(self, data: bytes, start: int, end: int) -> None:
        photo = self._name == PHOTO
        part, limit = (self.photos[-1], self._photo_bytes) if photo else (self.fields[self._name], FIELD_BYTES)
        if len(part) + end - start > limit:
            raise too_large(self._name, limit)
        self._left -= (end - start) * photo
        if self._left < 0:
            raise self.too_large()
        part += data[start:end]

    def _end(self) -> None:
        self.complete = True

    def too_large(self) -> Refusal:
        """The refusal of more than all photos together may have."""
        if self._most == 1:
            return too_large(PHOTO, self._photo_bytes)
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"At most {self._all_bytes:,} bytes of photos were wanted at a time, and more came; send fewer or smaller ones.",
        )

    def empty(self) -> bool:
        """Whether nothing came; that one of several photos is empty costs the others nothing, and is told of that one."""
        return not self.photos or (self._most == 1 and not self.photos[0])


def asked_of(photo: Mapping[str, Any], fields: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What OpenAPI says of a form with a photo, or photos, of this schema, and with fields of these."""
    schema = {"type": "object", "properties": {PHOTO: photo, **fields}, "required": [PHOTO], "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


@asynccontextmanager
async def received(
    request: Request, room: Room, settings: Settings, fields: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[bytes, Mapping[str, str]]]:
    """The photo of a form and its other fields; the memory is given back at the end of the block."""
    form = Form(_boundary(request), fields, settings.upload_bytes)
    async with _filled(form, request, room, limit=settings.upload_bytes, seconds=settings.upload_seconds):
        photo = bytes(form.photos.pop())
        yield photo, {name: value.decode("utf-8", "replace").strip() for name, value in form.fields.items()}


@asynccontextmanager
async def received_walk(request: Request, room: Room, settings: Settings) -> AsyncIterator[list[bytes]]:
    """The photos of a form, in their order; the memory is given back at the end of the block."""
    limits = {"most": settings.walk_photos, "all_bytes": settings.walk_bytes}
    form = Form(_boundary(request), frozenset(), settings.upload_bytes, **limits)
    seconds = settings.upload_seconds * WALK_PATIENCE
    async with _filled(form, request, room, limit=settings.walk_bytes, seconds=seconds, parts=settings.walk_photos):
        form.photos.reverse()
        yield [bytes(form.photos.pop()) for _ in range(len(form.photos))]


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary: bytes = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"A form (multipart/form-data) with a photo was wanted, got {kind.decode('latin-1')[:50]!r}.",
        )
    return boundary


@asynccontextmanager
async def _filled(form: Form, request: Request, room: Room, *, limit: int, seconds: float, parts: int = 1) -> AsyncIterator[None]:
    """The form with all that comes, which may be so many bytes for so many photos and take so long."""
    limit_all = limit + FRAME_BYTES * parts
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit_all:
        raise form.too_large()
    held = 0
    try:
        try:
            async with asyncio.timeout(seconds):
                async for data in request.stream():
                    room.take(len(data))
                    held += len(data)
                    if held > limit_all:
                        raise form.too_large()
                    if data:
                        form.receive(data)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The photo did not arrive within {seconds:g} s; send it again.") from None
        except ClientDisconnect:
            raise _malformed("the client went away") from None
        if not form.complete:
            raise _malformed("the form ends before its last boundary")
        if form.empty():
            raise _malformed("the photo is missing or empty")
        yield
    finally:
        room.give_back(held)


def too_large(name: str, limit: int) -> Refusal:
    """The refusal of what has too many bytes."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {limit:,} bytes were wanted as {name}, and more came; send a smaller one."
    )


def _malformed(what: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, f"A form with a part named {PHOTO!r} was wanted, but {what}.")
