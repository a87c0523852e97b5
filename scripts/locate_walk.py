"""How much better photos of one walk are located together than each alone.

    python scripts/locate_walk.py --data PHOTOS

On the second pass of a drawn town of 300 places (by night, in rain and snow), and on Gardens Point where PHOTOS holds it: by
night on the right against by day on the right. Its frames have no positions: they are laid out along a line, 5 m apart, and an
answer is right within two frames.
"""

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sameplace import Atlas, Positions
from sameplace.datasets import toytown
from sameplace.geo import LocalPoint
from sameplace.images import ImageSet

FRAME_M = 5.0


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    frames = parser.parse_args().data / "gardens_point"
    with tempfile.TemporaryDirectory() as work:
        town = toytown.draw(Path(work) / "town", places=300)
        atlas = Atlas.build(town / "database", at=Path(work) / "town.atlas")
        queries = ImageSet.open(town / "queries").records()
        compare("toytown, second pass", atlas, [q.path for q in queries], Positions.of([q.position for q in queries]), 25.0)
        if frames.is_dir():
            day, night = (sorted((frames / side).iterdir()) for side in ("day_right", "night_right"))
            atlas = Atlas.build(laid_out(day, Path(work)), at=Path(work) / "walk.atlas")
            line = Positions.of([LocalPoint(FRAME_M * number, 0.0) for number in range(len(night))])
            compare("Gardens Point, night", atlas, night, line, 2 * FRAME_M + FRAME_M / 2)


def laid_out(frames: Sequence[Path], work: Path) -> Path:
    """A positions.csv that puts frames on a line."""
    path = work / "frames.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "x_m", "y_m"])
        table.writerows([frame.resolve(), FRAME_M * number, 0] for number, frame in enumerate(frames))
    return path


def compare(name: str, atlas: Atlas, photos: Sequence[Path], truth: Positions, radius: float) -> None:
    """Print the error of both ways."""
    alone, walk = list(atlas.locate_all(photos)), atlas.locate_walk(photos)
    first = Positions.of([answer.matches[0].position for answer in alone])
    ways = {
        "first match": first,
        "each alone": Positions.of([answer.position for answer in alone]),
        "together": Positions.of([answer.position for answer in walk]),
    }
    print(f"{name}: {len(photos)} photos, right within {radius:g} m", flush=True)
    for way, positions in ways.items():
        errors = np.linalg.norm(positions.metric() - truth.metric(), axis=1)
        middle, far = np.quantile(errors, (0.5, 0.9))
        right = np.mean(errors <= radius)
        print(f"  {way}: {right:.1%} right, median {middle:.1f} m, 90th percentile {far:.1f} m", flush=True)


if __name__ == "__main__":
    main()
