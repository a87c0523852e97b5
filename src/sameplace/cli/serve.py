"""`sameplace serve`: an atlas over HTTP, with a page."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt

from sameplace.cli.names import Json, ModelName, UsageError
from sameplace.cli.output import counted, note, printable, say, say_json

TOKEN = "SAMEPLACE_TOKEN"
MEGABYTE = 1_000_000


def serve(
    atlas: Annotated[Path, Parameter(help="The atlas to serve; what others add to it is seen within a second.")],
    /,
    *,
    host: Annotated[str, Parameter(help="The address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[NonNegativeInt, Parameter(help="The port; 0 takes any that is free.")] = 8000,
    token_file: Annotated[
        Path | None,
        Parameter(help="A file with the token that lets clients add and remove photos; or SAMEPLACE_TOKEN. Without, nobody may."),
    ] = None,
    private: Annotated[bool, Parameter(help="Ask for the token to read, too.", negative="", show_default=False)] = False,
    uploads: Annotated[Path | None, Parameter(help="Where added photos are kept; ATLAS-uploads if not given.")] = None,
    blur: Annotated[
        bool, Parameter(help="Serve pictures in which nobody can be recognised.", negative="", show_default=False)
    ] = False,
    tiles: Annotated[
        str | None, Parameter(help="An address with {z}, {x}, {y} of map tiles to draw under the photos; none if not given.")
    ] = None,
    attribution: Annotated[str, Parameter(help="Whom these tiles are owed to.")] = "",
    name: Annotated[
        list[str] | None, Parameter(help="A name by which a proxy on this machine is asked for the service.", negative="")
    ] = None,
    upload_limit: Annotated[PositiveInt, Parameter(help="Megabytes of the largest photo that is taken.")] = 25,
    pixel_limit: Annotated[PositiveInt, Parameter(help="Megapixels of the largest photo that is decoded.")] = 64,
    verify: Annotated[
        NonNegativeInt, Parameter(help="So many matches of a photo may be compared point by point; 0 turns that off.")
    ] = 10,
    verify_seconds: Annotated[PositiveFloat, Parameter(help="Seconds for that, for each photo, waiting included.")] = 5.0,
    model: Annotated[ModelName | None, Parameter(help="The model that made the atlas, if its file has moved.")] = None,
    json: Json = False,
) -> None:
    """Serve an atlas over HTTP: a page to drop photos on, and an API, until Ctrl-C."""
    from sameplace import service
    from sameplace.service.settings import LOOPBACK

    try:
        settings = service.Settings(
            token=_token(token_file),
            private=private,
            uploads=uploads,
            blur=blur,
            tiles=tiles,
            attribution=attribution,
            names=frozenset({*LOOPBACK, *(name or [])}) if host in LOOPBACK else frozenset(),
            upload_bytes=upload_limit * MEGABYTE,
            pixels=pixel_limit * MEGABYTE,
            verify=verify,
            verify_seconds=verify_seconds,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    with service.bound(host, port) as listening:
        started = service.Service.start(Path(os.path.abspath(atlas)), settings, model)  # noqa: PTH100  (links keep their names)
        url, photos = service.address(listening), len(started.editions.newest())

        def ready() -> None:
            if json:
                say_json({"url": url, "atlas": str(atlas), "images": photos, "writable": settings.token is not None})
            else:
                say(url)
                note(f"{printable(str(atlas))} with {counted(photos, 'photo')} is served there; Ctrl-C stops it.")

        service.serve(started, listening, ready)
    note("Stopped; every photo that was acknowledged is in the atlas.")


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN) or None
    return file.read_text(encoding="utf-8").strip()
