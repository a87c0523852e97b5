"""The examination: counts, files, positions, twins and ground truth of a dataset, or of a folder that is to become one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sameplace.datasets import Dataset, WithinMetres, load_folder
from sameplace.errors import DatasetError, PositionError
from sameplace.evaluation.doctor.coordinates import coordinates
from sameplace.evaluation.doctor.files import Looked, contents, looks, sizes
from sameplace.evaluation.doctor.findings import Example, Finding, Findings, Part
from sameplace.evaluation.doctor.leftovers import every_photo, leftovers
from sameplace.evaluation.doctor.twins import duplicates, leaks
from sameplace.geo import Positions
from sameplace.images import ImageRecord
from sameplace.shapes import Array, Int64

Progress = Callable[[int, int], None]
UNTOLD = "no_truth"


def examine(dataset: Dataset, *, thorough: bool = False, progress: Progress | None = None) -> Findings:
    """Look for everything that makes figures on a dataset wrong, or mean something else than they seem to.

    Headers are read, and with `thorough` every pixel; files are read whole only where another has the same size.
    """
    return _examined(dataset, (), thorough, progress)


def examine_folder(
    folder: str | Path, *, radius: float = 25.0, burst: bool = False, thorough: bool = False, progress: Progress | None = None
) -> Findings:
    """Examine a folder of photos as a dataset, with what keeps its photos from being one.

    `radius` and `burst` are those of `load_folder`. DatasetError where there is no photo.
    """
    folder = Path(folder)
    try:
        dataset = load_folder(folder, radius=radius, burst=burst)
    except DatasetError as error:
        photos = every_photo(folder)
        if not photos:
            raise
        bare = Dataset(name=folder.resolve().name, database=photos, queries=photos, truth=WithinMetres(radius))
        unusable = _untold(folder.resolve().name, "It cannot be evaluated", error)
        return _examined(bare, (unusable, *leftovers(folder, bare)), thorough, progress)
    return _examined(dataset, tuple(leftovers(folder, dataset)), thorough, progress)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answers:
    """The ground truth, query by query: what is right, and what may not be found or does not count."""

    right: tuple[Int64[Array, " _rows"], ...]
    out: tuple[Int64[Array, " _out"], ...]

    @classmethod
    def of(cls, dataset: Dataset) -> "_Answers":
        out = tuple(np.union1d(rows, junk) for rows, junk in zip(dataset.excluded(), dataset.junk(), strict=True))
        right = tuple(np.setdiff1d(rows, gone) for rows, gone in zip(dataset.positives(), out, strict=True))
        return cls(right=right, out=out)

    def chance(self, database: int) -> float:
        """What guessing one of those that each query may find would reach."""
        shares = [len(rows) / max(database - len(gone), 1) for rows, gone in zip(self.right, self.out, strict=True)]
        return float(np.mean(shares)) if shares else 0.0


def _examined(dataset: Dataset, found: Sequence[Finding], thorough: bool, progress: Progress | None) -> Findings:
    one_part = dataset.queries is dataset.database
    parts = {"photos": dataset.database} if one_part else {"database": dataset.database, "queries": dataset.queries}
    images = [image for part in parts.values() for image in part]
    looked = looks([image.path for image in images], thorough=thorough, progress=progress)
    misplaced, zones = coordinates(images)
    problems = [*found, *_files(looked), *misplaced]
    answers = None
    if not any(look.missing for look in looked.values()):
        content = contents([image.path for image in images])
        problems += duplicates(dataset, content, one_part)
        if not found or found[0].kind != UNTOLD:
            try:
                answers = _Answers.of(dataset)
            except (PositionError, DatasetError) as error:
                problems.append(_untold(dataset.name, "Which images are right cannot be told", error))
            else:
                problems += [*leaks(dataset, content, answers.out), *_unanswerable(dataset, answers)]
    return Findings(
        dataset=dataset.name,
        protocol=dataset.protocol if answers else "",
        parts=tuple(_part(name, part, looked) for name, part in parts.items()),
        problems=tuple(sorted(problems, key=lambda problem: problem.rank)),
        positives=tuple(len(rows) for rows in answers.right) if answers else None,
        chance=answers.chance(len(dataset.database)) if answers else None,
        utm_zones=zones,
        thorough=thorough,
        places=_places(parts),
    )


def _untold(name: str, said: str, error: Exception) -> Finding:
    return Finding(
        kind=UNTOLD,
        severity="wrong",
        said=said,
        cure="Cure what is named here, and look again",
        examples=(Example(path=name, said=str(error).rstrip(".")),),
        of=1,
    )


def _part(name: str, images: Sequence[ImageRecord], looked: Mapping[Path, Looked]) -> Part:
    # Clocks with and without a time zone cannot be compared; days are told all the same.
    times = sorted(image.time.replace(tzinfo=None) for image in images if image.time is not None)
    return Part(
        name=name,
        images=len(images),
        placed=sum(image.position is not None for image in images),
        dated=len(times),
        first=times[0] if times else None,
        last=times[-1] if times else None,
        panoramas=len({image.panorama for image in images if image.panorama is not None}),
        sizes=sizes(looked, [image.path for image in images]),
    )


def _files(looked: Mapping[Path, Looked]) -> Iterator[Finding]:
    """Photos that are not there, and photos that cannot be read."""
    for kind, missing, words, cure in (
        ("missing", True, "Missing", "Get them again, or take them out of the list"),
        ("broken", False, "Broken, so that they cannot be read", "Copy them again from where they came from, or delete them"),
    ):
        bad = {path: look for path, look in looked.items() if look.size is None and look.missing == missing}
        if bad:
            yield Finding(
                kind=kind,
                severity="wrong",
                said=f"{words}: {len(bad):,} of {len(looked):,} photos",
                cure=cure,
                examples=tuple(Example(path=str(path), said=look.reason) for path, look in bad.items()),
                of=len(looked),
            )


def _unanswerable(dataset: Dataset, answers: _Answers) -> Iterator[Finding]:
    """Queries that nothing in the database is right for."""
    none = [row for row, right in enumerate(answers.right) if not len(right)]
    if not none:
        return
    count = len(dataset.queries)
    nearest = _nearest(dataset, none, answers)
    yield Finding(
        kind="no_positive",
        severity="doubtful" if len(none) < count else "wrong",
        said=f"Without a right image in the database: {len(none):,} of {count:,} queries, so that recall over all of them ends at "
        f"{100 * (1 - len(none) / count):.1f} %",
        cure="Add database photos there, or state the recall over answerable queries beside it",
        examples=tuple(
            Example(path=str(dataset.queries[row].path), said=said, position=dataset.queries[row].position)
            for row, said in zip(none, nearest, strict=True)
        ),
        of=count,
    )


def _nearest(dataset: Dataset, queries: Sequence[int], answers: _Answers) -> list[str]:
    """How far from each of these queries the nearest image is that it may find, where positions tell."""
    positions = [image.position for image in (*dataset.database, *(dataset.queries[row] for row in queries))]
    known = [position for position in positions if position is not None]
    if len(known) < len(positions):
        return [""] * len(queries)
    metric = Positions.of(known).metric()
    database = metric[: len(dataset.database)]
    told = []
    for row, here in zip(queries, metric[len(dataset.database) :], strict=True):
        away = np.delete(np.linalg.norm(database - here, axis=1), answers.out[row])
        told.append(f"the nearest that it may find is {away.min():,.0f} m away" if len(away) else "there is none that it may find")
    return told


def _places(parts: Mapping[str, Sequence[ImageRecord]]) -> tuple[tuple[str, Positions], ...]:
    """Where the images of each part were taken, for a map; nothing where the frames are mixed."""
    known = {name: [image.position for image in part if image.position is not None] for name, part in parts.items()}
    if len({position.frame for positions in known.values() for position in positions}) != 1:
        return ()
    return tuple((name, Positions.of(positions)) for name, positions in known.items() if positions)
