"""`sameplace cut`: cut panoramas into perspective tiles."""

import re
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from sameplace.cli.names import Json, UsageError
from sameplace.cli.output import counted, list_problems, note, printable, progress, say, say_json

if TYPE_CHECKING:
    from sameplace.datasets.tile_layout import Layout


def cut(
    panoramas: Annotated[list[Path], Parameter(help="A folder (searched through), a CSV file, or panoramas.", negative="")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The folder for tiles and their positions.csv: made, or gone on with.")],
    like: Annotated[Literal["pittsburgh", "tokyo"], Parameter(help="The set whose layout is followed.")] = "pittsburgh",
    yaws: Annotated[PositiveInt | None, Parameter(help="Directions around instead, evenly apart.")] = None,
    pitches: Annotated[
        list[float] | None,
        Parameter(help="Degrees up of each round instead.", negative="", consume_multiple=True),
    ] = None,
    field_of_view: Annotated[PositiveFloat | None, Parameter(help="Degrees from left to right instead.")] = None,
    size: Annotated[str | None, Parameter(help="WIDTHxHEIGHT of a tile in pixels instead.")] = None,
    positions: Annotated[
        Path | None, Parameter(help="A CSV file with the panoramas' positions, which goes before EXIF and names.")
    ] = None,
    workers: Annotated[PositiveInt | None, Parameter(help="Panoramas cut at a time; as many as cores if not given.")] = None,
    json: Json = False,
) -> int:
    """Cut panoramas of the whole sphere into perspective tiles that keep place, date, heading, pitch and panorama."""
    from sameplace.datasets.panoramas import cut as cut_all
    from sameplace.datasets.tile_layout import LAYOUTS
    from sameplace.images import ImageSet

    started = perf_counter()
    layout = _changed(LAYOUTS[like], yaws, pitches, field_of_view, size)
    images = ImageSet.open(panoramas[0] if len(panoramas) == 1 else panoramas, positions)
    try:
        with progress("cut", "panoramas") as show:
            done = cut_all(images, to, layout, workers=workers, progress=show)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted; what was cut is safe in {to}. The same command goes on from there.") from None
    if json:
        say_json(
            {
                "folder": str(to),
                "panoramas": done.panoramas,
                "cut": done.cut,
                "tiles": done.tiles,
                "skipped": [{"path": problem.path, "reason": problem.reason} for problem in done.skipped],
                "seconds": round(perf_counter() - started, 3),
            }
        )
    else:
        what = f"{counted(done.tiles, 'tile')} of {counted(done.panoramas, 'panorama')}"
        say(f"{printable(str(to))}: {what} ({done.cut:,} cut now) in {perf_counter() - started:.1f} s; {layout}")
        list_problems(f"{counted(len(done.skipped), 'file')} left out", done.skipped)
    if not done.panoramas:
        note("sameplace: Nothing could be cut; panoramas of 360 x 180 degrees, twice as wide as high, are wanted.")
    return int(not done.panoramas)


def _changed(
    layout: "Layout", yaws: int | None, pitches: list[float] | None, field_of_view: float | None, size: str | None
) -> "Layout":
    """The layout with what was given instead."""
    lens = layout.lens
    try:
        if size is not None:
            width, height = _pixels(size)
            lens = replace(lens, width=width, height=height)
        if field_of_view is not None:
            lens = replace(lens, field_of_view=field_of_view)
        return replace(
            layout,
            lens=lens,
            yaws=layout.yaws if yaws is None else yaws,
            pitches=layout.pitches if pitches is None else tuple(pitches),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _pixels(size: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", size.strip().lower())
    if found is None:
        raise UsageError(f"--size wants WIDTHxHEIGHT in pixels, got {size!r}; write it like 640x480.")
    return int(found[1]), int(found[2])
