"""How much memory a training on 100,000 images takes, and how much disk.

    python benchmarks/training_memory.py

The images are drawn, small, and lie on disk as JPEGs. A network of the usual dimensions (EfficientNet-Lite0, 64 clusters of 112
numbers: 7,168 numbers a descriptor) is trained by `sameplace.train` as the paper does it, for one epoch of some of the queries,
so that all descriptors are made anew a couple of times; vocabulary, both whitenings (10,000 images, 4,096 dimensions) and
validation are those of any training. Only the size of the images is smaller than usual, which has no part in what is held in
memory but for the twelve images of a tuple.

Told are the peak of resident memory as the system keeps it of this process (VmHWM on Linux: it counts pages of mapped files and
libraries, too), and, sampled every 50 ms on Linux, the peak of anonymous memory (what cannot be dropped and read again), whole and
in each stage. All of the process counts: Python, torch, the drawing of the images, the records of all of them. Wanted: resident
memory under 4 GB.
"""
# ruff: noqa: T201

import argparse
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sameplace.datasets import Dataset, WithinMetres
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.models import DEFAULT_MODEL, find
from sameplace.network.backbones import efficientnet_lite0
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.progress import Moment
from sameplace.training.start import LEARNS_FROM
from sameplace.training.streets import Streets

GIGABYTES = 4.0
IMAGES_A_PLACE, PLACE_M, STREET_M = 4, 3.0, 100.0
"""Images of a place, metres between two of them, and between two places."""
PLACES_IN_A_ROW = 200
VALIDATION = 1_000
SECONDS_BETWEEN_SAMPLES = 0.05
STATUS = Path("/proc/self/status")
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "training_memory.json"


@dataclass
class Memory:
    """The most memory of this process that was seen, in bytes, by kind and by stage."""

    stage: str = "images"
    most: dict[str, int] = field(default_factory=dict)
    by_stage: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        """Take a sample."""
        status = STATUS.read_text("utf-8").splitlines()
        for line in status:
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon", "RssFile"):
                now = int(value.split()[0]) * 1024
                self.most[name] = max(self.most.get(name, 0), now)
                if name == "RssAnon":
                    self.by_stage[self.stage] = max(self.by_stage.get(self.stage, 0), now)

    def watch(self, moment: Moment) -> None:
        """Know which stage it is."""
        if moment.text:
            print(moment.text)
        if moment.stage != self.stage:
            print(f"{moment.stage} ...", file=sys.stderr, flush=True)
        self.stage = moment.stage


@contextmanager
def sampled() -> Iterator[Memory]:
    """Memory, sampled in a thread of its own where the system tells it."""
    memory, done = Memory(), threading.Event()

    def sample() -> None:
        while not done.wait(SECONDS_BETWEEN_SAMPLES):
            memory.look()

    sampler = threading.Thread(target=sample, daemon=True)
    if STATUS.exists():
        sampler.start()
    try:
        yield memory
    finally:
        done.set()
        if sampler.ident is not None:
            sampler.join()


def drawn(folder: Path, count: int, side: int, *, first_place: int = 0) -> tuple[ImageRecord, ...]:
    """Images of places along streets: those of a place show the same, but for noise."""
    folder.mkdir()
    records = []
    for number in range(count):
        place = first_place + number // IMAGES_A_PLACE
        look = np.random.default_rng(place).integers(0, 256, (6, 6, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(look).resize((side, side), Image.Resampling.BICUBIC))
        pixels = smooth + np.random.default_rng([1, number]).normal(0, 12, smooth.shape)
        path = folder / f"{number:06}.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=85)
        east = place % PLACES_IN_A_ROW * STREET_M + number % IMAGES_A_PLACE * PLACE_M
        records.append(ImageRecord(path=path, position=LocalPoint(x_m=east, y_m=place // PLACES_IN_A_ROW * STREET_M)))
    return tuple(records)


def asking(streets: Streets, queries: int) -> Streets:
    """The same streets, of which only so many random queries ask."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(streets.queries))[:queries])
    return replace(
        streets,
        queries=streets.queries[chosen],
        positives=tuple(streets.positives[query] for query in chosen.tolist()),
        near=tuple(streets.near[query] for query in chosen.tolist()),
    )


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text("utf-8")) if STATUS.exists() else None
    if found is not None:  # on Linux ru_maxrss begins with what the process had that started this one
        return 1024 * int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2_000, help="queries that ask in the one epoch")
    parser.add_argument("--refresh", type=int, default=1_000, help="queries between two refreshes")
    parser.add_argument("--side", type=int, default=64, help="height and width of the images")
    parser.add_argument("--whitening", type=int, default=4_096)
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, sampled() as memory:
        folder = Path(name)
        all_ask = Streets.of(drawn(folder / "images", asked.images, asked.side), name="drawn streets")
        others = drawn(folder / "validation", VALIDATION, asked.side, first_place=asked.images)
        held_out = Dataset(name="validation", database=others[::2], queries=others[1::2], truth=WithinMetres(10.0))
        config = TrainConfig(
            precision="bfloat16",
            epochs=1,
            refresh=asked.refresh,
            whitening=asked.whitening,
            learning_rate=1e-4,
            checkpoint_every=1_000,
        )
        backbone = efficientnet_lite0(trainable_from=LEARNS_FROM["efficientnet_lite0"])
        backbone.load_state_dict(Encoder.load(find(DEFAULT_MODEL)).backbone.state_dict())
        encoder = Encoder(backbone, NetVLAD(backbone.channels, 64), size=(asked.side, asked.side))
        few_ask = asking(all_ask, asked.queries)
        run = train(encoder, few_ask, validate_on=held_out, to=folder / "run", config=config, progress=memory.watch)
        disk = sum(file.stat().st_size for file in run.folder.rglob("*") if file.is_file())
    held = peak()
    told = {
        "benchmark": "memory of a training on drawn images, all descriptors mined from",
        "images": asked.images,
        "queries": len(few_ask.queries),
        "refreshes": -(-len(few_ask.queries) // asked.refresh),
        "descriptor": 64 * 112,
        "descriptors_gigabytes_in_single_precision": round(4e-9 * 64 * 112 * asked.images, 2),
        "whitening": asked.whitening,
        "side": asked.side,
        "peak_resident_gigabytes": round(held / 1e9, 3),
        "peak_anonymous_gigabytes": round(memory.most.get("RssAnon", 0) / 1e9, 3),
        "peak_anonymous_gigabytes_by_stage": {stage: round(most / 1e9, 3) for stage, most in memory.by_stage.items()},
        "gigabytes_wanted": GIGABYTES,
        "run_gigabytes_on_disk_in_the_end": round(disk / 1e9, 3),
        "seconds": round(time.perf_counter() - start, 1),
        **provenance(),
        "command": f"python benchmarks/training_memory.py --images {asked.images}",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    print(f"{asked.images:,} images, {told['refreshes']} refreshes, in {told['seconds']} s.")
    print(f"Peak of resident memory: {held / 1e9:.2f} GB; of anonymous memory: {told['peak_anonymous_gigabytes']:.2f} GB.")
    for stage, most in memory.by_stage.items():
        print(f"  {stage:12} {most / 1e9:.2f} GB")
    return int(held > GIGABYTES * 1e9)


if __name__ == "__main__":
    sys.exit(main())
