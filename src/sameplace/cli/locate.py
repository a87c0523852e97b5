"""`sameplace locate`: where photos were taken."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from sameplace.cli.names import Json, ModelName
from sameplace.cli.output import metres, note, painted, place, printable, progress, say, say_json, shortened

if TYPE_CHECKING:
    from sameplace.atlas import Estimate
    from sameplace.images import Problem

VERDICTS = {True: ("known", "green"), False: ("not known", "yellow"), None: ("cannot tell", "dim")}


def locate(
    photos: Annotated[list[Path], Parameter(help="Photos, or folders of photos.", negative="")],
    /,
    *,
    atlas: Annotated[Path, Parameter(help="The atlas to look in.")],
    top: Annotated[PositiveInt, Parameter(help="Matches to give for each photo.")] = 10,
    model: Annotated[ModelName | None, Parameter(help="The model that made the atlas, if its file has moved.")] = None,
    map: Annotated[Path | None, Parameter(help="Also write the answers as one HTML page with a map, which works offline.")] = None,
    json: Json = False,
) -> int:
    """Tell where photos were taken, one line a photo."""
    from sameplace.atlas import Atlas
    from sameplace.images import Problem

    opened = Atlas.open(atlas, model)
    paths = _files(photos)
    width = min(max(len(shortened(path)) for path in paths), 40)
    answers = []
    # Where the answers scroll past on the same terminal, they are progress enough.
    with nullcontext() if sys.stdout.isatty() else progress("locate") as show:
        for answer in opened.locate_all(paths, top):
            answers.append(answer)
            if json:
                say_json(_as_json(answer))
            else:
                say(_as_line(answer, width))
            if show is not None:
                show(len(answers), len(paths))
    if map is not None:
        from sameplace.atlas.page import write_page

        write_page(map, answers, opened.positions())
        note(f"The map is in {map}.")
    return 1 if any(isinstance(answer, Problem) for answer in answers) else 0


def _files(photos: list[Path]) -> list[str]:
    """The photos themselves, and those in folders."""
    from sameplace.images import ImageSet

    return [
        path
        for photo in photos
        for path in ([file.path for file in ImageSet.open(photo).files] if photo.is_dir() else [str(photo)])
    ]


def _as_json(answer: "Estimate | Problem") -> dict[str, object]:
    from sameplace.images import Problem

    return {"photo": answer.path, "error": answer.reason} if isinstance(answer, Problem) else answer.to_json()


def _as_line(answer: "Estimate | Problem", width: int) -> str:
    from sameplace.images import Problem

    if isinstance(answer, Problem):
        return f"{shortened(answer.path):<{width}}  {painted('not readable', 'red')}: {printable(answer.reason)}"
    word, colour = VERDICTS[answer.known]
    best = answer.matches[0]
    return (
        f"{shortened(answer.photo):<{width}}  {painted(place(answer.position), 'bold')}  within {metres(answer.radius):<6}  "
        f"{painted(f'{word:<11}', colour)}  {best.similarity:.2f} {shortened(best.path)}"
    )
