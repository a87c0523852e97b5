"""Positions that cannot be true: swapped, mirrored, zero, astray, in another frame, or at odds with the file's own name."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sameplace.errors import PositionError
from sameplace.evaluation.doctor.findings import Example, Finding, Severity
from sameplace.geo import EARTH, LOCAL, LatLon, Position, Positions, distance, utm_zone
from sameplace.images import ImageRecord
from sameplace.images.positions import from_name
from sameplace.shapes import Array, Bool, Float64

FAR = 10.0
"""Astray is what lies farther from the middle than this many times the median distance ..."""
FAR_M = 1000.0
"""... and this many metres more."""
FEW = 0.05
"""Beyond this share, what lies far away is another place, and no mistake."""
CROWD = 0.2
"""A share of photos at exactly one position that no camera makes."""
ENOUGH = 10
DISAGREE_M = 100.0
DEGREES_SPREAD = 0.5
"""Degrees across the largest city, taken for metres."""


def coordinates(images: Sequence[ImageRecord]) -> tuple[list[Finding], tuple[int, ...]]:
    """Findings about the positions of images, as far as they have some, and the UTM zones of those that can be true."""
    placed = list({image.path: image for image in images if image.position is not None}.values())
    found = list(_disagreeing(placed))
    frames = Counter(image.position.frame for image in placed if image.position is not None)
    if not frames:
        return found, ()
    usual = frames.most_common(1)[0][0]
    same_frame = [image for image in placed if image.position is not None and image.position.frame == usual]
    if len(same_frame) < len(placed):
        found.append(_mixed([image for image in placed if image.position and image.position.frame != usual], len(placed), usual))
    astray, at_home = _astray(same_frame)
    crossed = _zones(at_home)
    return [*found, *astray, *_crowded(at_home), *_degrees(at_home), *_several_zones(crossed, len(at_home))], crossed


def _zones(images: Sequence[ImageRecord]) -> tuple[int, ...]:
    """The UTM zones that the positions on earth lie in, where UTM reaches."""
    positions = {image.position for image in images if isinstance(image.position, LatLon) and -80 <= image.position.lat <= 84}
    return tuple(sorted({utm_zone(position) for position in positions}))


def _example(image: ImageRecord, said: str = "") -> Example:
    return Example(path=str(image.path), said=said, position=image.position)


def _told(position: Position | None) -> str:
    if isinstance(position, LatLon):
        return f"{position.lat:.6f}, {position.lon:.6f}"
    return f"x {position.x_m:.2f}, y {position.y_m:.2f}" if position else "-"


def _mixed(others: Sequence[ImageRecord], count: int, usual: str) -> Finding:
    words = {EARTH: "latitude and longitude", LOCAL: "metres in a frame of their own"}
    strange = LOCAL if usual == EARTH else EARTH
    return Finding(
        kind="mixed_frames",
        severity="wrong",
        said=f"In {words[strange]}, while the others are in {words[usual]}, and no distance between the two is known: "
        f"{len(others):,} of {count:,} positions",
        cure="Give all of them one form; names like @east@north@ without a zone are the usual cause",
        examples=tuple(_example(image, _told(image.position)) for image in others),
        of=count,
    )


def _astray(images: Sequence[ImageRecord]) -> tuple[list[Finding], list[ImageRecord]]:
    """What lies far from the rest: swapped or mirrored where that brings it home, zero, or simply far away; and the rest."""
    positions = Positions.of([image.position for image in images if image.position is not None])
    metric = positions.metric()
    home = np.median(metric, axis=0)
    away = np.linalg.norm(metric - home, axis=1)
    reach = FAR * float(np.median(away)) + FAR_M
    left = away > reach
    zero = left & np.all(positions.coordinates == 0, axis=1)
    found = []

    def tell(kind: str, severity: Severity, rows: Bool[Array, " images"], said: str, cure: str) -> None:
        if rows.any():
            examples = tuple(
                _example(images[row], f"{_told(images[row].position)}, {away[row] / 1000:,.1f} km off")
                for row in np.flatnonzero(rows).tolist()
            )
            said = f"{said}: {len(examples):,} of {len(images):,} positions"
            found.append(Finding(kind=kind, severity=severity, said=said, cure=cure, examples=examples, of=len(images)))

    tell("zero", "wrong", zero, "0, 0, far from all others", "Give these photos their positions, or leave them out")
    left &= ~zero
    mended = zero
    for kind, words, mend in MISTAKES:
        better = left & _at_home(mend(positions.coordinates), positions.frame, home, reach)
        said, cure = f"Far from all others, and among them with {words}", "Correct them in positions.csv, or where they come from"
        tell(kind, "wrong", better, said, cure)
        left, mended = left & ~better, mended | better
    if len(images) < ENOUGH or left.sum() > max(FEW * len(images), 1):
        left = np.zeros(len(images), bool)
    tell("astray", "doubtful", left, "Far from all others", "Look where they were taken; a wrong digit or zone is the usual cause")
    return found, [image for image, gone in zip(images, mended | left, strict=True) if not gone]


def _at_home(
    coordinates: Float64[Array, "points 2"], frame: str, home: Float64[Array, " 3"], reach: float
) -> Bool[Array, " points"]:
    possible = np.ones(len(coordinates), bool) if frame == LOCAL else np.abs(coordinates[:, 0]) <= 90
    metric = Positions(frame, np.where(possible[:, None], coordinates, 0.0)).metric()
    home_again: Bool[Array, " points"] = possible & (np.linalg.norm(metric - home, axis=1) <= reach)
    return home_again


Mend = Callable[[Float64[Array, "points 2"]], Float64[Array, "points 2"]]
MISTAKES: tuple[tuple[str, str, Mend], ...] = (
    ("swapped", "their two coordinates swapped", lambda coordinates: coordinates[:, ::-1].copy()),
    ("mirrored", "the sign of the second coordinate turned", lambda coordinates: coordinates * np.array([1.0, -1.0])),
    ("mirrored", "the sign of the first coordinate turned", lambda coordinates: coordinates * np.array([-1.0, 1.0])),
    ("mirrored", "both signs turned", lambda coordinates: -coordinates),
)


def _crowded(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    """Very many photos at exactly one position: a place name looked up, or a receiver that stood still."""
    loose = [image for image in images if image.panorama is None]
    if not loose:
        return
    position, count = Counter(image.position for image in loose).most_common(1)[0]
    if count >= ENOUGH and count > CROWD * len(loose):
        yield Finding(
            kind="one_position",
            severity="doubtful",
            said=f"At exactly one and the same position, {_told(position)}: {count:,} of {len(loose):,} photos",
            cure="Check that it was measured, and not looked up from a name; name the panorama if they were cut from one",
            examples=tuple(_example(image) for image in loose if image.position == position),
            of=len(loose),
        )


def _degrees(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    """Degrees that were given as metres: many different numbers, and all within a step or two."""
    positions = Positions.of([image.position for image in images if image.position is not None])
    if positions.frame != LOCAL:
        return
    spread = np.ptp(positions.coordinates, axis=0)
    distinct = len(np.unique(positions.coordinates, axis=0))
    middle = np.abs(np.median(positions.coordinates, axis=0))
    like_degrees = bool((middle <= 180).all() and min(middle) <= 90 and (spread < DEGREES_SPREAD).all())
    if distinct >= ENOUGH and like_degrees:
        yield Finding(
            kind="degrees_as_metres",
            severity="doubtful",
            said=f"Within {max(spread):.3g} m of each other, as degrees taken for metres would be: all {len(images):,} positions",
            cure="Name the columns lat and lon if they are degrees",
            examples=tuple(_example(image, _told(image.position)) for image in images),
            of=len(images),
        )


def _several_zones(crossed: tuple[int, ...], count: int) -> Iterator[Finding]:
    """More than one UTM zone: right here, wrong wherever eastings are subtracted."""
    if len(crossed) > 1:
        yield Finding(
            kind="zones",
            severity="note",
            said=f"The positions lie in {len(crossed)} UTM zones: {', '.join(map(str, crossed))}",
            cure="Nothing to do here, where distances are right across zones; programs that subtract eastings measure them wrongly",
            examples=(),
            of=count,
        )


def _disagreeing(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    """Names that hold east, north and zone as well as latitude and longitude, and mean two places."""
    found = []
    for image in images:
        cells = image.path.stem.split("@")
        if len(cells) < 7 or cells[0] or not cells[3].strip():
            continue
        try:
            record = from_name(image.path)
            other = LatLon(float(cells[5]), float(cells[6]))
            apart = distance(record.position, other) if record and record.position else 0.0
        except (PositionError, ValueError):  # no latitude and longitude, or none that can be: nothing to compare
            continue
        if apart > DISAGREE_M:
            found.append(_example(image, f"{apart / 1000:,.1f} km apart"))
    if found:
        yield Finding(
            kind="name_contradicts_itself",
            severity="wrong",
            said="East, north and zone in the name are one place, latitude and longitude another: "
            f"{len(found):,} of {len(images):,} photos",
            cure="Correct the zone or the coordinates in the names; east, north and zone are what is used",
            examples=tuple(found),
            of=len(images),
        )
