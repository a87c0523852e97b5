"""How fast photos become descriptors, from files on disk, beside eager float32 torch with Pillow as a competent user writes it.

    python benchmarks/description_speed.py efficientnet-lite0-vlad PHOTOS
    python benchmarks/description_speed.py vgg16-vlad PHOTOS

Both use one core, and take turns photo set by photo set, so that a busy machine slows both. The baseline decodes with Pillow
(whole, then squashed to the model's size), and describes batches in torch without gradients. Time is that of the processor, of the
whole process. Told are the ratio with its spread, and how well the descriptors agree: the cosine at the 5th percentile.
Wanted: at least 3.5 times for efficientnet-lite0-vlad, 5 times for vgg16-vlad, a cosine of 0.99.
"""
# ruff: noqa: T201

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["SAMEPLACE_THREADS"] = "1"

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


def eager(encoder: Encoder, photos: Sequence[str]) -> Float32[Array, "photos dim"]:
    """What a competent user writes: Pillow, a batch, float32, no gradients."""
    found = []
    for first in range(0, len(photos), BATCH):
        pixels = []
        for path in photos[first : first + BATCH]:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            height, width = encoder.size
            pixels.append(torch.from_numpy(np.array(upright.resize((width, height), Image.Resampling.BICUBIC))))
        with torch.inference_mode():
            found.append(encoder(torch.stack(pixels).permute(0, 3, 1, 2).float()).numpy())
    return np.concatenate(found)


def timed(work: Callable[[], Float32[Array, "photos dim"]]) -> tuple[float, Float32[Array, "photos dim"]]:
    """Seconds of the processor, of all threads."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, help="a folder of real photos")
    parser.add_argument("--int8", type=Path, help="an int8 export of the model, if it is not computed in int8 without one")
    parser.add_argument("--count", type=int, default=320, help="photos in all")
    parser.add_argument("--rounds", type=int, default=5, help="parts that the photos are cut into, each described in both ways")
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    files = [file.path for file in ImageSet.open(asked.photos, ask_tables=False).files]
    photos = [files[row] for row in np.random.default_rng(0).permutation(len(files))[: asked.count]]
    encoder = Encoder.load(models.find(asked.model))
    describer = models.describer(asked.int8 or asked.model, runtime="openvino", threads=1)

    def ours(some: Sequence[str]) -> Float32[Array, "photos dim"]:
        return np.concatenate([part.descriptors for part in describe(some, describer, batch=BATCH, workers=1)])

    eager(encoder, photos[:BATCH]), ours(photos[: BATCH + 1])  # compiled, and warm
    seconds: dict[str, list[float]] = {"eager": [], "sameplace": []}
    cosines = []
    for part in np.array_split(np.array(photos), asked.rounds):
        slow, expected = timed(lambda part=part: eager(encoder, part.tolist()))
        quick, found = timed(lambda part=part: ours(part.tolist()))
        seconds["eager"].append(slow / len(part))
        seconds["sameplace"].append(quick / len(part))
        cosines.append((expected * found).sum(axis=1))
    ratios = [slow / quick for slow, quick in zip(seconds["eager"], seconds["sameplace"], strict=True)]
    cosine = float(np.percentile(np.concatenate(cosines), 5))
    told = {
        "benchmark": f"{asked.model}: photos on disk to descriptors, one core, processor time",
        "model": asked.model,
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
        + (" --int8 EXPORT.int8.xml" if asked.int8 else ""),
    }
    to = asked.to or RESULTS / f"description_speed.{asked.model}.json"
    to.parent.mkdir(parents=True, exist_ok=True)
    write_json(to, told)
    rates = told["photos_a_second"]
    print(
        f"{asked.model} in {describer.precision}: {rates} photos a second of one core, {told['times_eager']} times eager, "
        f"cosine {cosine:.4f} at the 5th percentile of {len(photos)} photos"
    )
    return int(np.median(ratios) < WANTED.get(asked.model, 0) or cosine < COSINE)


if __name__ == "__main__":
    sys.exit(main())
