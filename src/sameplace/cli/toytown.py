"""`sameplace toytown`: draw a town to try things on."""

from pathlib import Path
from time import perf_counter
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from sameplace.cli.names import Json
from sameplace.cli.output import counted, printable, say, say_json


def toytown(
    folder: Annotated[Path, Parameter(name="DIR", help="The folder to draw into.")],
    /,
    *,
    places: Annotated[PositiveInt, Parameter(help="Places to photograph, once on each of two passes.")] = 100,
    seed: Annotated[NonNegativeInt, Parameter(help="Another number is another town.")] = 0,
    json: Json = False,
) -> None:
    """Draw a tiny town with true positions, photographed on two passes: database/ by day, queries/ at night and in the rain."""
    from sameplace.datasets.toytown import draw

    started = perf_counter()
    draw(folder, places=places, seed=seed)
    seconds = perf_counter() - started
    if json:
        say_json({"folder": str(folder), "database": places, "queries": places, "seconds": round(seconds, 3)})
    else:
        say(f"{printable(str(folder))}: {counted(places, 'place')}, photographed twice, in {seconds:.1f} s")
