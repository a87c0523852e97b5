"""`sameplace locate`: where photos were taken."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt
from cyclopts.validators import Number

from sameplace.cli.names import Json, ModelName, UsageError
from sameplace.cli.output import metres, note, painted, place, printable, progress, say, say_json, shortened
from sameplace.cli.walking import Walk

if TYPE_CHECKING:
    from sameplace.atlas import Estimate, Where
    from sameplace.geo import Position
    from sameplace.images import Problem
    from sameplace.models.why import Explainer
    from sameplace.verification import Verifier

WITHIN = 500.0
SECONDS = 5.0
Rate = Annotated[float, Parameter(validator=Number(gt=0, lt=1))]
VERDICTS = {True: ("known", "green"), False: ("not known", "yellow"), None: ("cannot tell", "dim")}


def locate(
    photos: Annotated[list[Path], Parameter(help="Photos, folders of photos, or videos with --walk.", negative="")],
    /,
    *,
    atlas: Annotated[str, Parameter(help="The atlas to look in: a folder, or milvus://HOST:PORT/NAME.")],
    top: Annotated[PositiveInt, Parameter(help="Matches to give for each photo.")] = 10,
    model: Annotated[ModelName | None, Parameter(help="The model that made the atlas, if its file has moved.")] = None,
    near: Annotated[
        str | None,
        Parameter(help="Ask only photos around a rough position, LAT,LON (or X,Y in metres).", allow_leading_hyphen=True),
    ] = None,
    within: Annotated[PositiveFloat | None, Parameter(help="Metres around it; 500 if not given.")] = None,
    heading: Annotated[
        float | None,
        Parameter(help="Ask only photos that look this way, in degrees clockwise from north.", allow_leading_hyphen=True),
    ] = None,
    heading_width: Annotated[PositiveFloat | None, Parameter(help="Degrees of that sector; 90 if not given.")] = None,
    since: Annotated[date | None, Parameter(help="Ask only photos taken on this day or later, in UTC.")] = None,
    until: Annotated[date | None, Parameter(help="Ask only photos taken on this day or before.")] = None,
    false_accept: Annotated[
        Rate | None, Parameter(help="Of photos from elsewhere, the part that may be called known; 0.05 if not given.")
    ] = None,
    level: Annotated[Rate | None, Parameter(help="Of such answers, the part that lie within the radius; 0.9 if not given.")] = None,
    walk: Annotated[Walk | None, Parameter(name="*", help="What is known of a walk.")] = None,
    verify: Annotated[
        NonNegativeInt,
        Parameter(help="Compare the local features of so many matches with the photo's, and put the proved ones first."),
    ] = 0,
    verify_seconds: Annotated[PositiveFloat | None, Parameter(help="Seconds for that, for each photo; 5 if not given.")] = None,
    why: Annotated[
        Path | None, Parameter(help="Also write pictures into this folder: what made the photo and its best matches similar.")
    ] = None,
    map: Annotated[Path | None, Parameter(help="Also write the answers as one HTML page with a map, which works offline.")] = None,
    coverage: Annotated[
        bool, Parameter(help="With --map: also show where the atlas is weak.", negative="", show_default=False)
    ] = False,
    json: Json = False,
) -> int:
    """Tell where photos were taken, one line a photo."""
    from sameplace.atlas import Atlas
    from sameplace.atlas.answering import LEVEL
    from sameplace.atlas.calibration import FALSE_ACCEPT
    from sameplace.images import Problem
    from sameplace.images.video import is_video

    if coverage and map is None:
        raise UsageError("--coverage is shown on a map; give --map FILE, or ask `sameplace show ATLAS --coverage` for the list.")
    opened = Atlas.open(atlas, model)
    where = _where(opened.frame, near, within, heading, heading_width, since, until)
    walk = walk or Walk()
    asked = _asked(photos)
    videos = [one for one in asked if isinstance(one, str) and is_video(one)]
    told = walk.options(videos)
    if videos and why is not None:
        raise UsageError("--why looks at photos, not at the frames of a video; leave it out.")
    if opened.advice is not None:
        note(opened.advice)
    rate = FALSE_ACCEPT if false_accept is None else false_accept
    if (doubt := opened.doubt(rate)) and (opened.one_pass or false_accept is not None or level is not None):
        note(doubt)
    readable = [one for one in asked if isinstance(one, str)]
    verifier = _verifier(verify, verify_seconds, walk.walk)
    explainer = None if why is None else _explainer(model or opened.model.source)
    promised: dict[str, Any] = {"where": where, "level": level or LEVEL, "false_accept": rate}
    located: Iterator[Estimate | Problem]
    if walk.walk:
        with progress("locate") as show:
            located = iter(opened.locate_walk(readable, top, **promised, **told, progress=show))
    else:
        budget = verify_seconds or SECONDS
        located = opened.locate_all(readable, top, **promised, verify=verify, verify_seconds=budget, verifier=verifier)
    if videos:  # each stands for as many answers as it has frames
        asked = [*(one for one in asked if isinstance(one, Problem)), *located]
    width = min(max(len(shortened(_name(one))) for one in asked), 40)
    answers: list[Estimate | Problem] = []
    # Where the answers scroll past on the same terminal, they are progress enough.
    with nullcontext() if sys.stdout.isatty() or walk.walk else progress("locate") as show:
        for one in asked:
            answer = next(located) if isinstance(one, str) else one
            answers.append(answer)
            if json:
                say_json(_as_json(answer))
            else:
                say(_as_line(answer, width))
            if show is not None:
                show(len(answers), len(asked))
    if verify:
        _note_cut_short([answer for answer in answers if not isinstance(answer, Problem)])
    if why is not None and explainer is not None:
        _write_why(why, explainer, [answer for answer in answers if not isinstance(answer, Problem)], verifier)
    if map is not None:
        from sameplace.atlas.page import write_page

        write_page(map, answers, opened.positions(), coverage=opened.coverage() if coverage else ())
        note(f"The map is in {map}.")
    return 1 if any(isinstance(answer, Problem) for answer in answers) else 0


def _verifier(verify: int, seconds: float | None, walk: bool) -> "Verifier | None":
    """What compares local features; None where nobody asked for it."""
    if seconds is not None and not verify:
        raise UsageError("--verify-seconds goes with --verify N: say how many matches are to be compared.")
    if walk and verify:
        raise UsageError("--verify looks at each photo alone, and --walk at all together: give one of the two.")
    if not verify:
        return None
    from sameplace.verification import best_verifier

    verifier = best_verifier()
    note(f"Matches are compared by {verifier.identity}; {verifier.least} inliers are proof.")
    return verifier


def _note_cut_short(answers: "list[Estimate]") -> None:
    late = [answer.verification for answer in answers if answer.verification and not answer.verification.in_time]
    if late:
        compared, wanted = sum(one.compared for one in late), sum(one.wanted for one in late)
        note(
            f"For {len(late)} photos {late[0].budget:g} s did not suffice: {compared} of {wanted} matches were compared, "
            f"and it took up to {max(one.seconds for one in late):.1f} s; allow more with --verify-seconds, or ask for fewer."
        )


def _explainer(model: str) -> "Explainer":
    from sameplace.models.why import Explainer

    return Explainer(model)


def _write_why(folder: Path, explainer: "Explainer", answers: "list[Estimate]", verifier: "Verifier | None") -> None:
    """Pictures of what made each photo and its best matches similar."""
    from sameplace.atlas.why import write_why

    stems, written = Counter(Path(answer.photo).stem for answer in answers), 0
    for number, answer in enumerate(answers, start=1):
        stem = Path(answer.photo).stem
        name = stem if stems[stem] == 1 else f"{stem}-of-{number}"
        written += len(write_why(folder, explainer, answer.photo, answer, name=name, verifier=verifier))
    note(f"{written} pictures are in {folder}: what glows made the two photos similar.")


def _where(
    frame: str | None,
    near: str | None,
    within: float | None,
    heading: float | None,
    heading_width: float | None,
    since: date | None,
    until: date | None,
) -> "Where | None":
    """What is known beforehand of the photos, from the flags; None where nothing is."""
    from sameplace.atlas import Where

    if (within is not None and near is None) or (heading_width is not None and heading is None):
        raise UsageError("--within goes with --near, and --heading-width with --heading: give both of the two, or neither.")
    if near is None and heading is None and since is None and until is None:
        return None
    try:
        return Where(
            near=None if near is None else _position(near, frame),
            within=None if near is None else within or WITHIN,
            heading=heading,
            heading_width=heading_width or Where.heading_width,
            since=since,
            until=until,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _position(text: str, frame: str | None) -> "Position":
    """LAT,LON, or X,Y for an atlas of local metres."""
    from sameplace.geo import LOCAL, LatLon, LocalPoint

    try:
        first, second = (float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--near wants two numbers with a comma between, LAT,LON or X,Y, got {text!r}; write it without blanks."
        ) from None
    return LocalPoint(first, second) if frame == LOCAL else LatLon(first, second)


def _asked(photos: list[Path]) -> "list[str | Problem | Estimate]":
    """The photos themselves, and those in folders, with what cannot be read there in its place."""
    from sameplace.errors import ImageError
    from sameplace.images import ImageSet

    asked: list[str | Problem | Estimate] = []
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


def _name(one: "str | Problem | Estimate") -> str:
    from sameplace.images import Problem

    return one if isinstance(one, str) else one.path if isinstance(one, Problem) else one.photo


def _as_json(answer: "Estimate | Problem") -> dict[str, object]:
    from sameplace.images import Problem

    return {"photo": answer.path, "error": answer.reason} if isinstance(answer, Problem) else answer.to_json()


def _as_line(answer: "Estimate | Problem", width: int) -> str:
    from sameplace.images import Problem

    if isinstance(answer, Problem):
        return f"{shortened(answer.path):<{width}}  {painted('not readable', 'red')}: {printable(answer.reason)}"
    word, colour = VERDICTS[answer.known]
    best = answer.matches[0]
    proof = "" if best.inliers is None else f" {painted(f'{best.inliers} inliers', 'green' if answer.proved else 'dim')}"
    return (
        f"{shortened(answer.photo):<{width}}  {painted(place(answer.position), 'bold')}  within {metres(answer.radius):<6}  "
        f"{painted(f'{word:<11}', colour)}  {best.similarity:.2f}{proof} {shortened(best.path)}"
    )
