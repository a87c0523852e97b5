"""How long scoring takes, and how much memory, at the size of Pittsburgh 30k: 6,816 queries, 10,000 images, 4,096 numbers each.

    python benchmarks/score_pitts30k.py

Descriptors and positions are synthetic. All that `evaluate` does is timed but for the description: ground truth from positions,
exact search, figures and their intervals. Wanted: at most a minute on two cores, and 2 GB over the descriptors themselves.
"""
# ruff: noqa: T201

import argparse
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.datasets import Dataset, WithinMetres
from sameplace.describer import Describer
from sameplace.description import Described
from sameplace.evaluation import evaluate
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord

SECONDS, GIGABYTES = 60.0, 2.0
SIDE_M, IMAGES_A_PLACE = 3_000.0, 24  # a panorama of Pittsburgh is cut into 24 images
LATENT, NOISE, BATCH = 64, 4.0, 512
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "score_pitts30k.json"


class Synthetic:
    """Both describer and cache: makes the descriptors of a town of places, and tells how long that took."""

    name = identity = runtime = "synthetic"
    precision = "float32"
    size = (1, 1)

    def __init__(self, dim: int, places: dict[Path, int]) -> None:
        rng = np.random.default_rng(0)
        self.dim, self.places, self.seconds = dim, places, 0.0
        self.latent = rng.standard_normal((max(places.values()) + 1, LATENT), np.float32)
        self.projection = rng.standard_normal((LATENT, dim), np.float32) / np.sqrt(np.float32(LATENT))

    def describe(
        self,
        sources: Sequence[Any],
        describer: Describer,  # noqa: ARG002
        *,
        workers: int | None = None,  # noqa: ARG002
        progress: Callable[[int, int], None] | None = None,  # noqa: ARG002
    ) -> Iterator[Described]:
        """What a model would say: the look of the place, and noise."""
        for first in range(0, len(sources), BATCH):
            start = time.perf_counter()
            part = sources[first : first + BATCH]
            noise = np.random.default_rng(first).standard_normal((len(part), self.dim), np.float32)
            made = self.latent[[self.places[path] for path in part]] @ self.projection + np.float32(NOISE) * noise
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            rows = np.arange(first, first + len(part))
            self.seconds += time.perf_counter() - start
            yield Described(rows=rows, descriptors=made, failures=())


def town(folder: Path, database: int, queries: int) -> tuple[Dataset, dict[Path, int]]:
    """A dataset of empty files: places in a square, each with its images, and queries some metres off."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0, SIDE_M, (database // IMAGES_A_PLACE + 1, 2))
    places: dict[Path, int] = {}
    parts = []
    for name, count in (("database", database), ("queries", queries)):
        (folder / name).mkdir()
        chosen = np.arange(count) // IMAGES_A_PLACE if name == "database" else rng.integers(0, len(centres), count)
        points = centres[chosen] + rng.normal(0, 0.0 if name == "database" else 8.0, (count, 2))
        paths = [folder / name / f"{number:05}.jpg" for number in range(count)]
        for path, place in zip(paths, chosen.tolist(), strict=True):
            path.touch()
            places[path] = place
        parts.append(
            tuple(
                ImageRecord(path=path, position=LocalPoint(x_m=x, y_m=y))
                for path, (x, y) in zip(paths, points.tolist(), strict=True)
            )
        )
    return Dataset(name="synthetic", database=parts[0], queries=parts[1], truth=WithinMetres(25.0)), places


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins with what the process had that started this one
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text("utf-8"))[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=6_816)
    parser.add_argument("--dim", type=int, default=4_096)
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        dataset, places = town(Path(folder), asked.database, asked.queries)
        synthetic = Synthetic(asked.dim, places)
        before, start = peak(), time.perf_counter()
        report = evaluate(synthetic, dataset, cache=synthetic)
        seconds = time.perf_counter() - start - synthetic.seconds
    descriptors = 4 * asked.dim * (asked.database + asked.queries)
    over = max(0, peak() - descriptors)
    told = {
        "benchmark": "scoring at the size of Pittsburgh 30k, descriptors and positions synthetic",
        "database": asked.database,
        "queries": asked.queries,
        "descriptor": asked.dim,
        "seconds": round(seconds, 2),
        "seconds_wanted": SECONDS,
        "descriptors_gigabytes": round(descriptors / 1e9, 3),
        "before_gigabytes": round(before / 1e9, 3),
        "peak_over_descriptors_gigabytes": round(over / 1e9, 3),
        "gigabytes_wanted": GIGABYTES,
        "recall": {str(top): share for top, share in report.recall.items()},
        **provenance(),
        "command": "python benchmarks/score_pitts30k.py",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    what = f"{asked.queries:,} x {asked.database:,} descriptors of {asked.dim:,} numbers"
    print(f"{what} scored in {seconds:.1f} s on {told['hardware']['cores']} cores.")
    print(f"Peak memory: {over / 1e9:.2f} GB over the {descriptors / 1e9:.2f} GB of the descriptors.")
    return int(seconds > SECONDS or over > GIGABYTES * 1e9)


if __name__ == "__main__":
    sys.exit(main())
