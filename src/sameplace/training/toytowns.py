"""Toytowns to learn from: drawn towns that are none of the benchmark, so that the whole way can be walked in a minute."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sameplace.datasets import Dataset, load
from sameplace.datasets.toytown import PASSES, draw, is_town
from sameplace.images import ImageSet
from sameplace.threads import usable_cores
from sameplace.training.config import TrainConfig
from sameplace.training.reach import Reach
from sameplace.training.streets import Streets

BENCHMARK_SEED = 0
"""The town that `sameplace evaluate MODEL toytown` asks about: never learnt from."""
VALIDATION_SEED = 100
FIRST_SEED = 101
TOWNS, PLACES, VALIDATION_PLACES = 6, 200, 100
TOYTOWN = TrainConfig(
    trivial=0.0,
    loss="sare",
    sharpness=7.0,
    batch=32,
    images_per_place=2,
    optimiser="adamw",
    learning_rate=5e-4,
    assignment_rate=100.0,
    schedule="cosine",
    warm_up=10,
    epochs=4,
    whitening=None,
    precision="float32",
)
"""What drawn towns need: the second pass stands some metres beside the first, often less than the paper's 1 m: it still teaches."""


def draw_towns(
    folder: str | Path,
    *,
    towns: int = TOWNS,
    places: int = PLACES,
    validation_places: int = VALIDATION_PLACES,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, ...]:
    """Draw towns to learn from, and last one to validate on, below a folder; those that are there whole are left as they are."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(folder / f"town-{seed}", places, seed) for seed in range(FIRST_SEED, FIRST_SEED + towns)]
    wanted.append((folder / "validation", validation_places, VALIDATION_SEED))
    with ThreadPoolExecutor(usable_cores()) as artists:
        for done, _ in enumerate(artists.map(_drawn, wanted), start=1):
            if progress is not None:
                progress(done, len(wanted))
    return tuple(path for path, _, _ in wanted)


def toytown_streets(towns: Sequence[Path], reach: Reach) -> Streets:
    """Drawn towns to learn from: every photo of either pass asks and answers."""
    images = [image for town in towns for drive in PASSES for image in ImageSet.open(town / drive.folder).records()]
    return Streets.of(images, reach, name=f"{len(towns)} toytowns")


def toytown_validation(town: Path) -> Dataset:
    """A drawn town under the protocol of the benchmark: the second pass asks, the first is the database."""
    return replace(load(town), name="another toytown")


def _drawn(wanted: tuple[Path, int, int]) -> Path:
    """Draw a town, unless it is there to its last line: the tables of positions are written last."""
    folder, places, seed = wanted
    tables = [folder / drive.folder / "positions.csv" for drive in PASSES]
    if is_town(folder) and all(table.is_file() and len(table.read_text("utf-8").splitlines()) == places + 1 for table in tables):
        return folder
    return draw(folder, places=places, seed=seed)
