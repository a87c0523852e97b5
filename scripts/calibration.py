"""Whether radii and `known` hold: atlases made of a part of some photos are asked for others, taken elsewhere or at another time.

    python scripts/calibration.py --data PHOTOS [--to PLOTS] [--only NAME] [--getty LOW HIGH] [--cache FOLDER]

PHOTOS holds getty/, koe_indoor/, penn_campus/, gardens_point/, facades/, iiit_campus/ and campus_buildings/, as far as they are
there; toytown is drawn. Nothing of the queries is known to the atlases, which learn their radii from themselves. Prints a table,
and draws the coverage of the radii and the accepted queries over false accepts. Models may have learnt from getty above
x_m = -110.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path

import numpy as np

from sameplace import Atlas, DescriptorCache, Positions, models
from sameplace.atlas import leave_out
from sameplace.atlas.answering import FOUND, FoundPhoto, Wanted, estimate
from sameplace.atlas.calibration import LEVELS
from sameplace.datasets import toytown
from sameplace.datasets.toytown import album
from sameplace.evaluation.curves import Line, Plot
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageRecord, ImageSet

MODEL = "efficientnet-lite0-vlad"
ANSWERABLE_M = 10.0
ELSEWHERE_M = 25.0
FOLDS = 5
RATES = (0.01, 0.05)
OTHERS = ("facades", "iiit_campus", "campus_buildings")
FRAME_M = 3.0
"""About so far apart are two frames of Gardens Point."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An atlas, and who asks it."""

    name: str
    atlas: Sequence[ImageRecord]
    queries: Sequence[ImageRecord]
    unknown: Sequence[ImageRecord]
    fewest_places: int = leave_out.FEWEST_PLACES
    """0 asks for the radii of an atlas that is too small to have any, to see what they would have been worth."""


@dataclass(kw_only=True)
class Outcome:
    """What came of the trials of one name, put together."""

    photos: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    radii: list[Mapping[float, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    known: dict[float, list[bool]] = field(default_factory=dict)
    unknown: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    accepted: dict[float, list[bool]] = field(default_factory=dict)
    others: dict[float, list[bool]] = field(default_factory=dict)
    doubts: set[str] = field(default_factory=set)


def main() -> None:
    """Run all trials, print the table, draw the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--only", default="", help="trials whose name begins like this")
    parser.add_argument("--getty", type=float, nargs=2, default=(-200.0, -110.0), metavar=("LOW", "HIGH"))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "sameplace-calibration")
    given = parser.parse_args()
    described = Described(given.cache)
    others = [path for name in OTHERS for path in photos_in(given.data / name / "images")]
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as work:
        wanted = (one for one in trials(given.data, Path(work), *given.getty) if one.name.startswith(given.only))
        for number, (name, same) in enumerate(groupby(wanted, lambda trial: trial.name)):
            outcomes[name] = Outcome()
            for part, trial in enumerate(same):
                run(trial, Path(work) / f"{number}-{part}", described, others, outcomes[name])
            print("\n".join(told(name, outcomes[name])), flush=True)
    if given.to is not None:
        given.to.mkdir(parents=True, exist_ok=True)
        coverage_plot(outcomes).save(given.to / "coverage.svg")
        accepted_plot(outcomes).save(given.to / "known.svg")


class Described:
    """Descriptors of photos, each made once."""

    def __init__(self, cache: Path) -> None:
        self.model = models.describer(MODEL)
        self.cache = DescriptorCache(cache)

    def of(self, paths: Sequence[Path]) -> np.ndarray:
        """One row a photo."""
        return np.concatenate([batch.descriptors for batch in self.cache.describe(paths, self.model)])


def trials(data: Path, work: Path, low: float, high: float) -> Iterator[Trial]:
    """Each atlas that there are photos for, with its queries."""
    if (data / "getty").is_dir():
        hall = [image for image in ImageSet.open(data / "getty").records() if low <= image.position.x_m < high]
        yield from halves(f"getty, {low:g} <= x_m < {high:g}", hall)
    if (data / "koe_indoor").is_dir():
        images = ImageSet.open(data / "koe_indoor" / "images", timed(data / "koe_indoor" / "places.csv", work)).records()
        old, new = ([image for image in images if (image.time.month < 6) == before] for before in (True, False))
        yield Trial(name="koe_indoor, another session", atlas=new, queries=old, unknown=())
        yield Trial(name="koe_indoor, 14 squares taken for enough", atlas=new, queries=old, unknown=(), fewest_places=0)
    if (data / "penn_campus").is_dir():
        yield from parts("penn_campus", ImageSet.open(data / "penn_campus").records())
    if (data / "gardens_point").is_dir():
        # Frames below 100 had a say in how likeness is measured.
        day, night = walked(data / "gardens_point" / "day_right", 1), walked(data / "gardens_point" / "night_right", 3)
        other_day = walked(data / "gardens_point" / "day_left", 2)
        for name, atlas in (("one day", day[100:]), ("two days", [*day[100:], *other_day[100:]])):
            yield Trial(name=f"Gardens Point, night asks {name}", atlas=atlas, queries=night[100:], unknown=night[:90])
    third = replace(album.PASSES[1], folder="third", start=datetime(2025, 2, 5))
    album.PASSES = (*album.PASSES, third)  # drawn like the second, months later, with other weathers and other people
    town, other = toytown.draw(work / "town", places=300), toytown.draw(work / "other", places=100, seed=1)
    first, second, last = (ImageSet.open(town / drive.folder).records() for drive in album.PASSES)
    unknown = ImageSet.open(other / "third").records()
    yield Trial(name="toytown, second pass asks the first", atlas=first, queries=second, unknown=unknown)
    yield Trial(name="toytown, third pass asks two", atlas=[*first, *second], queries=last, unknown=unknown)


def halves(name: str, images: Sequence[ImageRecord]) -> Iterator[Trial]:
    """Three fifths of the places are in the atlas, but for a fifth of their panoramas, which ask; 25 m beyond all is unknown."""
    points = Positions.of([image.position for image in images]).metric()
    for sign in (1, -1):
        along = sign * points[:, 1]
        here = along <= np.quantile(along, 0.6)
        away = np.linalg.norm(points[:, None] - points[here][None], axis=2).min(axis=1)
        unknown = [image for image, far in zip(images, away, strict=True) if far > ELSEWHERE_M]
        for part in parts(name, [image for image, there in zip(images, here, strict=True) if there]):
            yield Trial(name=name, atlas=part.atlas, queries=part.queries, unknown=unknown)


def parts(name: str, images: Sequence[ImageRecord]) -> Iterator[Trial]:
    """Each fifth of the panoramas, or standpoints, asks the others."""
    points = Positions.of([image.position for image in images]).metric()
    near = np.linalg.norm(points[:, None] - points[None], axis=2) < 1
    groups = np.unique([image.panorama or f"{np.argmax(near[row])}" for row, image in enumerate(images)], return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(groups.max() + 1) % FOLDS
    for number in range(FOLDS):
        asks = fold[groups] == number
        yield Trial(
            name=name,
            atlas=[image for image, asking in zip(images, asks, strict=True) if not asking],
            queries=[image for image, asking in zip(images, asks, strict=True) if asking],
            unknown=(),
        )


def walked(folder: Path, day: int) -> list[ImageRecord]:
    """The frames of one walk of Gardens Point along a line: their true positions nobody knows."""
    return [
        ImageRecord(path=path, position=LocalPoint(FRAME_M * frame, 0.0), time=datetime(2013, 5, day, 10, frame // 60, frame % 60))
        for frame, path in enumerate(sorted(folder.glob("*.jpg")))
    ]


def run(trial: Trial, folder: Path, described: Described, others: Sequence[Path], outcome: Outcome) -> None:
    """Make the atlas, ask it, and note what it said."""
    table = write_table(folder.with_suffix(".csv"), trial.atlas)
    leave_out.FEWEST_PLACES = trial.fewest_places
    atlas = Atlas.build(table, at=folder, model=described.model, cache=described.cache)
    calibration = atlas._snapshot.calibration
    outcome.photos.append(len(atlas))
    outcome.doubts.add(atlas.doubt() or "none")
    there = Positions.of([image.position for image in trial.atlas]).metric()
    points = Positions.of([image.position for image in trial.queries]).metric()
    answerable = np.linalg.norm(points[:, None] - there[None], axis=2).min(axis=1) <= ANSWERABLE_M
    for answer, point, right in zip(asked(atlas, described, [i.path for i in trial.queries]), points, answerable, strict=True):
        if right:
            outcome.errors.append(float(np.linalg.norm(Positions.of([answer.position]).metric()[0] - point)))
            outcome.radii.append(dict(answer.radii))
            outcome.scores.append(answer.score)
            for rate in RATES:
                outcome.known.setdefault(rate, []).append(bool(calibration.known(answer.score, rate)))
    for paths, accepted in (([image.path for image in trial.unknown], outcome.accepted), (others, outcome.others)):
        answers = asked(atlas, described, paths) if paths else []
        if accepted is outcome.accepted:
            outcome.unknown += [answer.score for answer in answers]
        else:
            outcome.foreign += [answer.score for answer in answers]
        for rate in RATES:
            accepted.setdefault(rate, []).extend(bool(calibration.known(answer.score, rate)) for answer in answers)


def asked(atlas: Atlas, described: Described, paths: Sequence[Path]) -> list:
    """What `Atlas.locate_all` answers, with descriptors from the cache."""
    descriptors = described.of(paths)
    found = atlas._snapshot.index().search(descriptors, FOUND)
    lines = zip(paths, descriptors, found.similarities, found.rows, strict=True)
    photos = (FoundPhoto(photo=str(path), descriptor=one, similarities=alike, rows=rows) for path, one, alike, rows in lines)
    return [estimate(atlas._snapshot, photo, Wanted()) for photo in photos]


def told(name: str, outcome: Outcome) -> Iterator[str]:
    """The figures of one name, as lines."""
    errors = np.array(outcome.errors)
    yield f"{name}: atlases of {min(outcome.photos)} to {max(outcome.photos)} photos, {len(errors)} answerable queries"
    yield f"  error: median {np.median(errors):.1f} m, 90th percentile {np.quantile(errors, 0.9):.1f} m"
    for doubt in sorted(outcome.doubts):
        yield f"  doubt: {doubt}"
    for level in LEVELS:
        inside, radii, known = covered(outcome, level)
        if len(inside):
            accepted = f", {inside[known].mean():.1%} of those called known at 5 %" if known.any() else ""
            yield f"  radius {level:.0%}: {inside.mean():.1%} of {len(inside)} inside{accepted}; median {np.median(radii):.1f} m"
    for rate in RATES:
        yield (
            f"  false accepts {rate:.0%}: {np.mean(outcome.known[rate]):.1%} answered; accepted of unknown places "
            f"{share(outcome.accepted[rate])}, of other photos {share(outcome.others[rate])}"
        )
    if outcome.unknown:
        for rate in RATES:
            level = np.quantile(outcome.unknown, 1 - rate, method="higher")
            answered = np.mean(np.array(outcome.scores) > level)
            yield f"  at {rate:.0%} false accepts among the unknown themselves: {answered:.1%} answered"


def share(which: Sequence[bool]) -> str:
    """A share and of how many."""
    return f"{np.mean(which):.2%} of {len(which)}" if which else "-"


def covered(outcome: Outcome, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all answers with a radius at this level: whether the error lies within, the radius, and whether the place is known."""
    lines = zip(outcome.errors, outcome.radii, outcome.known[0.05], strict=True)
    kept = [(error <= radii[level], radii[level], known) for error, radii, known in lines if level in radii]
    return tuple(np.array(column) for column in zip(*kept, strict=True)) if kept else (np.empty(0, bool),) * 3


def coverage_plot(outcomes: Mapping[str, Outcome]) -> Plot:
    """The part of the answers that lie within their radius, over the level that was promised."""
    lines = [Line(name="what is promised", across=np.array(LEVELS), up=np.array(LEVELS))]
    for name, outcome in outcomes.items():
        inside = [covered(outcome, level)[0] for level in LEVELS]
        told = [(level, part.mean()) for level, part in zip(LEVELS, inside, strict=True) if len(part)]
        if told:
            lines.append(Line(name=name, across=np.array([at for at, _ in told]), up=np.array([part for _, part in told])))
    return Plot(
        title="Answers within their radius",
        protocol=f"{MODEL}; answerable: a photo of the atlas within {ANSWERABLE_M:g} m; radii learnt from each atlas alone",
        across="level of the radius",
        up="answers within the radius",
        lines=tuple(lines),
        least=0.5,
    )


def accepted_plot(outcomes: Mapping[str, Outcome]) -> Plot:
    """Answerable queries that are called known, over photos of unknown places that are."""
    rates = np.linspace(0, 0.2, 81)[1:]
    lines = []
    for name, outcome in outcomes.items():
        if name.startswith("koe") and lines and lines[-1].name.startswith("koe"):
            continue  # the same answers once more
        # Where no part of the same site was kept out, photos of other sites are what is unknown.
        unknown, told = (outcome.unknown, name) if outcome.unknown else (outcome.foreign, f"{name}; other sites")
        levels = np.quantile(unknown, 1 - rates, method="higher")
        up = np.array([np.mean(np.array(outcome.scores) > level) for level in levels])
        lines.append(Line(name=told, across=rates, up=up))
    return Plot(
        title="Known places that are answered",
        protocol=f"{MODEL}; unknown: places more than {ELSEWHERE_M:g} m outside the atlas, or of another town",
        across="unknown places called known",
        up="known places called known",
        lines=tuple(lines),
        most=0.2,
    )


def write_table(path: Path, images: Sequence[ImageRecord]) -> Path:
    """A positions.csv of some images."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        earth = isinstance(images[0].position, LatLon)
        table.writerow(["file", *(("lat", "lon") if earth else ("x_m", "y_m")), "time", "heading_deg", "panorama"])
        for image in images:
            at = (image.position.lat, image.position.lon) if earth else (image.position.x_m, image.position.y_m)
            time = "" if image.time is None else image.time.isoformat()
            table.writerow([image.path, *at, time, "" if image.heading_deg is None else image.heading_deg, image.panorama or ""])
    return path


def timed(table: Path, work: Path) -> Path:
    """koe_indoor's places.csv with its times where they are looked for."""
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    path = work / "koe.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["file", "lat", "lon", "time"])
        for row in rows:
            taken = datetime.strptime(row["date"], "%Y:%m:%d %H:%M:%S")
            out.writerow([(table.parent / row["file"]).resolve(), row["lat"], row["lon"], taken.isoformat()])
    return path


def photos_in(folder: Path) -> list[Path]:
    """All photos of a folder."""
    if not folder.is_dir():
        return []
    return [Path(file.path) for file in ImageSet.open(folder, ask_tables=False).files]


if __name__ == "__main__":
    main()
