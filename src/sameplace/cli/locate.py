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
    asked = _asked(photos)
    width = min(max(len(shortened(one.path if isinstance(one, Problem) else one)) for one in asked), 40)
    located = opened.locate_all([one for one in asked if isinstance(one, str)], top)
    answers: list[Estimate | Problem] = []
    # Where the answers scroll past on the same terminal, they are progress enough.
    with nullcontext() if sys.stdout.isatty() else progress("locate") as show:
        for one in asked:
            answer = one if isinstance(one, Problem) else next(located)
            answers.append(answer)
            if json:
                say_json(_as_json(answer))
            else:
                say(_as_line(answer, width))
            if show is not None:
                show(len(answers), len(asked))
    if map is not None:
        from sameplace.atlas.page import write_page

        write_page(map, answers, opened.positions())
        note(f"The map is in {map}.")
    return 1 if any(isinstance(answer, Problem) for answer in answers) else 0


def _asked(photos: list[Path]) -> "list[str | Problem]":
    """The photos themselves, and those in folders, with what cannot be read there in its place."""
    from sameplace.errors import ImageError
    from sameplace.images import ImageSet

    asked: list[str | Problem] = []
    for photo in photos:
        if photo.is_dir():
            found = ImageSet.open(photo, ask_tables=False)
            by_path = {file.path: file.path for file in found.files} | {problem.path: problem for problem in found.problems}
            asked += [by_path[path] for path in sorted(by_path)]
        else:
            asked.append(str(photo))
    if not asked:
        raise ImageError(f"There are no photos in {photos[0]}; give photos, or folders of photos.")
    return asked


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
