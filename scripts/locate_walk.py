"""How much better photos of one walk are located together than each alone, from a video as well, and with the track of a receiver.

    python scripts/locate_walk.py --data PHOTOS

On the second pass of a drawn town of 300 places (by night, in rain and snow), and on Gardens Point where PHOTOS holds it: by
night on the right against by day on the right. Its frames have no positions: they are laid out along a line, 5 m apart, and an
answer is right within two frames.

The videos are made of the photos at five frames a second, each shown as long as it takes to the next: five seconds in toytown, one
on Gardens Point. They know no times but their own, so the photos are asked in order alone, too. The track is simulated: true
positions, one a second, with an error that wanders (40 m in each direction as a standard deviation, a third of it left after two
minutes, while the model takes 30 m and one minute), and eight reflections of 20 s that throw it off by another 100 m.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from sameplace import Atlas, Estimate, Positions, Problem, read_image
from sameplace.atlas import Track
from sameplace.atlas.sights import taken
from sameplace.datasets import toytown
from sameplace.geo import LocalPoint
from sameplace.images import ImageSet
from sameplace.shapes import Array, Float64

FRAME_M = 5.0
RATE = 5
TRACKS = 5
OFF_M, LASTING_SECONDS = 40.0, 120.0
REFLECTIONS, REFLECTED_M = 8, 100.0
BREAK_SECONDS = 60.0


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    frames = parser.parse_args().data / "gardens_point"
    with tempfile.TemporaryDirectory() as work:
        town = toytown.draw(Path(work) / "town", places=300)
        atlas = Atlas.build(town / "database", at=Path(work) / "town.atlas")
        queries = ImageSet.open(town / "queries").records()
        photos, truth = [q.path for q in queries], Positions.of([q.position for q in queries])
        seconds = np.array([moment.seconds for moment in taken(photos) if moment])
        tracks = [drifted(truth, seconds, np.random.default_rng(seed)) for seed in range(TRACKS)]
        compare("toytown, second pass", atlas, photos, truth, radius=25.0, work=Path(work), pace=5.0, tracks=tracks)
        if frames.is_dir():
            day, night = (sorted((frames / side).iterdir()) for side in ("day_right", "night_right"))
            atlas = Atlas.build(laid_out(day, Path(work)), at=Path(work) / "walk.atlas")
            line = Positions.of([LocalPoint(FRAME_M * number, 0.0) for number in range(len(night))])
            compare("Gardens Point, night", atlas, night, line, radius=2.5 * FRAME_M, work=Path(work), pace=1.0)


def laid_out(frames: Sequence[Path], work: Path) -> Path:
    """A positions.csv that puts frames on a line."""
    path = work / "frames.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "x_m", "y_m"])
        table.writerows([frame.resolve(), FRAME_M * number, 0] for number, frame in enumerate(frames))
    return path


def timeless(photo: Path) -> bytes:
    """The same pixels without EXIF."""
    stored = BytesIO()
    Image.open(photo).convert("RGB").save(stored, "PNG")
    return stored.getvalue()


def filmed(photos: Sequence[Path], to: Path, code: str, pace: float) -> Path:
    """A video that shows each photo for some seconds."""
    import cv2

    width, height = Image.open(photos[0]).size
    writer = cv2.VideoWriter(str(to), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), RATE, (width, height))
    for photo in photos:
        picture = np.ascontiguousarray(read_image(photo, (height, width))[..., ::-1])
        for _ in range(round(RATE * pace)):
            writer.write(picture)
    writer.release()
    return to


def drifted(truth: Positions, seconds: Float64[Array, " photos"], rng: np.random.Generator) -> Track:
    """What a receiver might have recorded between high houses: see above."""
    order = np.argsort(seconds, kind="stable")
    moments, points = [seconds[order[-1]]], [truth.coordinates[order[-1]]]
    for one, other in pairwise(order):
        lapse = seconds[other] - seconds[one]
        for part in np.arange(lapse) / lapse if 0 < lapse <= BREAK_SECONDS else np.zeros(1):
            moments.append(seconds[one] + part * lapse)
            points.append((1 - part) * truth.coordinates[one] + part * truth.coordinates[other])
    times, first = np.unique(np.array(moments), return_index=True)
    left = np.exp(-np.diff(times) / LASTING_SECONDS)
    errors = [rng.normal(scale=OFF_M, size=2)]
    for kept in left:
        errors.append(kept * errors[-1] + OFF_M * np.sqrt(1 - kept**2) * rng.normal(size=2))
    off = np.array(errors)
    for start in rng.integers(len(off), size=REFLECTIONS):
        off[start : start + 20] += rng.normal(scale=REFLECTED_M, size=2)
    there = np.array(points)[first]
    degrees = off / np.column_stack([np.full(len(off), 111_132.0), 111_320.0 * np.cos(np.radians(there[:, 0]))])
    return Track(times=times, positions=Positions(truth.frame, there + degrees))


def compare(
    name: str,
    atlas: Atlas,
    photos: Sequence[Path],
    truth: Positions,
    *,
    radius: float,
    work: Path,
    pace: float,
    tracks: Sequence[Track] = (),
) -> None:
    """Print the error of all ways."""
    alone = list(atlas.locate_all(photos))
    films = [atlas.locate_walk([filmed(photos, work / f"{code}.avi", code, pace)], every=pace) for code in ("FFV1", "mp4v")]
    ways = {
        "best match of each photo": [matched(alone)],
        "each photo alone": [located(alone)],
        "photos together": [located(atlas.locate_walk(photos))],
        "photos together, without their times": [located(atlas.locate_walk([timeless(photo) for photo in photos]))],
        "best match of each frame, lossless": [matched(films[0])],
        "frames together, lossless": [located(films[0])],
        "best match of each frame, MPEG-4": [matched(films[1])],
        "frames together, MPEG-4": [located(films[1])],
    }
    points = {way: [positions.metric() for positions in several] for way, several in ways.items()}
    if tracks:
        moments = taken(photos)
        points["simulated track alone"] = [track.told(moments) for track in tracks]
        points["photos together, with the track"] = [located(atlas.locate_walk(photos, track=track)).metric() for track in tracks]
    print(f"{name}: {len(photos)} photos, right within {radius:g} m", flush=True)
    for way, several in points.items():
        errors = np.linalg.norm(np.array(several) - truth.metric(), axis=2)
        middle, far = np.quantile(errors, (0.5, 0.9))
        right = np.mean(errors <= radius, axis=1)
        spread = f" ({right.min():.1%} to {right.max():.1%} of {len(right)} tracks)" if len(right) > 1 else ""
        print(f"  {way}: {right.mean():.1%} right{spread}, median {middle:.1f} m, 90th percentile {far:.1f} m", flush=True)


def matched(answers: Sequence[Estimate | Problem]) -> Positions:
    """Where their best matches were taken."""
    return Positions.of([answer.matches[0].position for answer in answers if isinstance(answer, Estimate)])


def located(answers: Sequence[Estimate | Problem]) -> Positions:
    """Where they were."""
    return Positions.of([answer.position for answer in answers if isinstance(answer, Estimate)])


if __name__ == "__main__":
    main()
