"""`sameplace fetch`: street-level images of an area, with their positions."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from sameplace.cli.names import Json, UsageError
from sameplace.cli.output import counted, list_problems, note, printable, progress, say, say_json

if TYPE_CHECKING:
    from sameplace.datasets.mapillary import Area, Fetched

RADIUS = 500.0


def fetch(
    source: Annotated[Literal["mapillary"], Parameter(help="Where to fetch from.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The folder to fetch into; it is made, or completed.")],
    area: Annotated[str | None, Parameter(help="A rectangle, SOUTH,WEST,NORTH,EAST in degrees.", allow_leading_hyphen=True)] = None,
    around: Annotated[str | None, Parameter(help="Or the middle of a circle, LAT,LON.", allow_leading_hyphen=True)] = None,
    radius: Annotated[PositiveFloat | None, Parameter(help="Metres around that middle; 500 if not given.")] = None,
    start: Annotated[date | None, Parameter(name="--from", help="The first day of images that are wanted, in UTC.")] = None,
    until: Annotated[date | None, Parameter(help="The last day.")] = None,
    limit: Annotated[PositiveInt | None, Parameter(help="At most so many images: those nearest to the middle.")] = None,
    size: Annotated[Literal["1024", "2048", "original"], Parameter(help="Pixels across, or the images as uploaded.")] = "2048",
    panoramas: Annotated[Literal["yes", "no", "only"], Parameter(help="Whether to fetch images that show all around.")] = "no",
    token: Annotated[
        str | None, Parameter(help="Your access token, unless a variable holds it.", env_var="MAPILLARY_TOKEN")
    ] = None,
    json: Json = False,
) -> int:
    """Fetch street-level images of an area, with their positions; run it again to go on, or for what is new."""
    from sameplace.datasets import mapillary

    if not token:
        raise UsageError(
            f"{source.capitalize()} wants your access token: make a client token at https://www.mapillary.com/dashboard/developers "
            f"and put it into the environment variable MAPILLARY_TOKEN."
        )
    query = mapillary.Query(area=_area(area, around, radius), start=start, until=until, limit=limit, size=size, panoramas=panoramas)
    try:
        fetched = mapillary.fetch(mapillary.Client(token), query, to, announce=lambda plan: note(str(plan)), progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted; what was fetched is safe in {to}. The same command goes on from there.") from None
    _say(to, fetched, json)
    if fetched.images:
        return 0
    note("sameplace: Not one of the images could be fetched; the reasons are above or in the JSON.")
    return 1


def _area(area: str | None, around: str | None, radius: float | None) -> "Area":
    from sameplace.datasets.mapillary import Area
    from sameplace.errors import PositionError
    from sameplace.geo import LatLon

    if (area is None) == (around is None) or (area is not None and radius is not None):
        raise UsageError(
            "Either --area SOUTH,WEST,NORTH,EAST or --around LAT,LON with --radius METRES is wanted: give one of the two."
        )
    try:
        if around is not None:
            return Area.around(LatLon(*_degrees("--around", around, "LAT,LON")), RADIUS if radius is None else radius)
        return Area.between(*_degrees("--area", area or "", "SOUTH,WEST,NORTH,EAST"))
    except PositionError as error:
        raise UsageError(str(error)) from error


def _degrees(flag: str, text: str, form: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(form.split(",")):
        raise UsageError(f"{flag} wants {form} in degrees with commas between, got {text!r}; write it without blanks.")
    return numbers


def _say(to: Path, fetched: "Fetched", json: bool) -> None:
    if json:
        say_json(
            {
                "folder": str(to),
                "found": fetched.found,
                "here": fetched.here,
                "fetched": fetched.fetched,
                "failed": [{"path": problem.path, "reason": problem.reason} for problem in fetched.failed],
                "images": fetched.images,
                "bytes": fetched.bytes,
                "contributors": fetched.contributors,
                "seconds": round(fetched.seconds, 3),
            }
        )
        return
    by = counted(fetched.contributors, "contributor")
    say(
        f"{printable(str(to))}: {counted(fetched.images, 'image')} by {by}, CC BY-SA 4.0; "
        f"{fetched.fetched:,} fetched in {fetched.seconds:.1f} s"
    )
    list_problems("Not fetched", fetched.failed)
