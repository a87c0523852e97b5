"""How fast photos become descriptors, from files on disk, beside eager float32 torch with Pillow as a competent user writes it.

    python benchmarks/description_speed.py efficientnet-lite0-vlad PHOTOS
    python benchmarks/description_speed.py vgg16-vlad PHOTOS --cores 2

Both take turns photo set by photo set, so that a busy machine slows both. The baseline decodes with Pillow (whole, then squashed
to the model's size), and describes batches in torch without gradients. On one core, time is that of the processor, of the whole
process; on several it is that of the clock, for which the machine should be idle: torch has all cores then, and threads decode its
next batch meanwhile. Told are the ratio with its spread, and how well the descriptors agree: the cosine at the 5th percentile.
Wanted: at least 3.5 times for efficientnet-lite0-vlad, 5 times for vgg16-vlad, a cosine of 0.99.
"""
# ruff: noqa: T201

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# Read by libraries when they are imported.
os.environ["OMP_NUM_THREADS"] = sys.argv[sys.argv.index("--cores") + 1] if "--cores" in sys.argv[:-1] else "1"
os.environ["SAMEPLACE_THREADS"] = os.environ["OMP_NUM_THREADS"]

import numpy as np
import torch
from PIL import Image, ImageOps

from sameplace import models
from sameplace.description import describe
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.images import ImageSet
from sameplace.network.encoder import Encoder
from sameplace.shapes import Array, Float32

WANTED = {"efficientnet-lite0-vlad": 3.5, "vgg16-vlad": 5.0}
COSINE = 0.99
BATCH = 16
RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


def pixels(path: str, size: tuple[int, int]) -> torch.Tensor:
    """A photo as a competent user reads it."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return torch.from_numpy(np.array(upright.resize((size[1], size[0]), Image.Resampling.BICUBIC)))


def eager(encoder: Encoder, photos: Sequence[str], cores: int) -> Float32[Array, "photos dim"]:
    """What a competent user writes: Pillow, a batch, float32, no gradients; with several cores decoding goes on meanwhile."""
    found = []
    with ThreadPoolExecutor(cores) as threads:
        decoding = threads.map if cores > 1 else map
        decoded = decoding(lambda path: pixels(path, encoder.size), photos)
        for first in range(0, len(photos), BATCH):
            batch = torch.stack([next(decoded) for _ in photos[first : first + BATCH]])
            with torch.inference_mode():
                found.append(encoder(batch.permute(0, 3, 1, 2).float()).numpy())
    return np.concatenate(found)


def timed(work: Callable[[], Float32[Array, "photos dim"]], cores: int) -> tuple[float, Float32[Array, "photos dim"]]:
    """Seconds: of the processor for one core, of the clock for several."""
    clock = time.process_time if cores == 1 else time.perf_counter
    start = clock()
    found = work()
    return clock() - start, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, help="a folder of real photos")
    parser.add_argument("--int8", type=Path, help="an int8 export of the model, if it is not computed in int8 without one")
    parser.add_argument("--count", type=int, default=320, help="photos in all")
    parser.add_argument("--rounds", type=int, default=5, help="parts that the photos are cut into, each described in both ways")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.cores)
    files = [file.path for file in ImageSet.open(asked.photos, ask_tables=False).files]
    photos = [files[row] for row in np.random.default_rng(0).permutation(len(files))[: asked.count]]
    encoder = Encoder.load(models.find(asked.model))
    describer = models.describer(asked.int8 or asked.model, runtime="openvino", threads=asked.cores)

    def ours(some: Sequence[str]) -> Float32[Array, "photos dim"]:
        return np.concatenate(
            [part.descriptors for part in describe(some, describer, batch=BATCH * asked.cores, workers=asked.cores)]
        )

    eager(encoder, photos[:BATCH], asked.cores)  # warm, and in ours all is compiled
    ours(photos[: -(-len(photos) // asked.rounds)])
    for path in photos:
        Path(path).read_bytes()  # from the disk once for both
    seconds: dict[str, list[float]] = {"eager": [], "sameplace": []}
    cosines = []
    ways = {"eager": lambda some: eager(encoder, some, asked.cores), "sameplace": ours}
    for number, part in enumerate(np.array_split(np.array(photos), asked.rounds)):
        found = {}
        for way in sorted(ways, reverse=number % 2 == 1):
            taken, found[way] = timed(partial(ways[way], part.tolist()), asked.cores)
            seconds[way].append(taken / len(part))
        cosines.append((found["eager"] * found["sameplace"]).sum(axis=1))
    ratios = [slow / quick for slow, quick in zip(seconds["eager"], seconds["sameplace"], strict=True)]
    cosine = float(np.percentile(np.concatenate(cosines), 5))
    per = "one core, processor time" if asked.cores == 1 else f"{asked.cores} cores, time of the clock"
    told = {
        "benchmark": f"{asked.model}: photos on disk to descriptors, {per}",
        "model": asked.model,
        "cores_used": asked.cores,
        "size": list(describer.size),
        "photos": len(photos),
        "rounds": asked.rounds,
        "runtime": describer.runtime,
        "precision": describer.precision,
        "photos_a_second": {name: round(float(1 / np.median(taken)), 2) for name, taken in seconds.items()},
        "times_eager": {
            "median": round(float(np.median(ratios)), 2),
            "least": round(min(ratios), 2),
            "most": round(max(ratios), 2),
        },
        "wanted_times_eager": WANTED.get(asked.model),
        "cosine_at_5th_percentile": round(cosine, 5),
        "wanted_cosine": COSINE,
        "torch": torch.__version__,
        **provenance(),
        "command": f"python benchmarks/description_speed.py {asked.model} PHOTOS --count {asked.count} --rounds {asked.rounds}"
        + (" --int8 EXPORT.int8.xml" if asked.int8 else "")
        + (f" --cores {asked.cores}" if asked.cores > 1 else ""),
    }
    to = asked.to or RESULTS / f"description_speed.{asked.model}{f'.{asked.cores}-cores' if asked.cores > 1 else ''}.json"
    to.parent.mkdir(parents=True, exist_ok=True)
    write_json(to, told)
    rates = told["photos_a_second"]
    print(
        f"{asked.model} in {describer.precision}: {rates} photos a second on {asked.cores} cores, {told['times_eager']} times "
        f"eager, cosine {cosine:.4f} at the 5th percentile of {len(photos)} photos"
    )
    return int(np.median(ratios) < WANTED.get(asked.model, 0) or cosine < COSINE)


if __name__ == "__main__":
    sys.exit(main())
