"""How fast photos become pixels of a model's size, beside Pillow decoding them whole, and whether simplejpeg would be quicker.

    python benchmarks/decoding_speed.py

Drawn JPEG photos of three sizes, one thread, processor time, the ways in turns. `simplejpeg` decodes at the same reduction and
resizes with Pillow as `read_image` does: the same pixels, bit by bit, which is checked.
"""
# ruff: noqa: T201

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.images import read_image
from sameplace.images.reading import RESAMPLING
from sameplace.models.exporting import drawn
from sameplace.shapes import Array, UInt8

# Height and width of the photo, and of what is wanted.
CASES = (((480, 640), (224, 224)), ((480, 640), (240, 320)), ((3000, 4000), (480, 640)), ((3000, 4000), (224, 224)))
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "decoding_speed.json"

Way = Callable[[bytes, tuple[int, int]], UInt8[Array, "height width 3"]]


def whole(photo: bytes, size: tuple[int, int]) -> UInt8[Array, "height width 3"]:
    """As it is mostly written."""
    with Image.open(io.BytesIO(photo)) as image:
        return np.array(image.convert("RGB").resize((size[1], size[0]), RESAMPLING))


def by_simplejpeg(photo: bytes, size: tuple[int, int]) -> UInt8[Array, "height width 3"]:
    """The same reduction as `read_image` takes, by another binding of the same library."""
    header = JpegImageFile(io.BytesIO(photo))
    drafted = header.draft(None, (2 * size[1], 2 * size[0]))
    pixels = simplejpeg.decode_jpeg(photo, min_height=header.height, min_width=header.width)
    box = (0.0, 0.0, *drafted[1][2:]) if drafted else None
    return np.array(Image.fromarray(pixels).resize((size[1], size[0]), RESAMPLING, box=box))


WAYS: dict[str, Way] = {"pillow_whole": whole, "sameplace": read_image, "simplejpeg": by_simplejpeg}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    cases = []
    for photographed, size in CASES:
        stream = io.BytesIO()
        Image.fromarray(drawn(photographed, 1)[0]).save(stream, "JPEG", quality=90)
        photo = stream.getvalue()
        if not (by_simplejpeg(photo, size) == read_image(photo, size)).all():
            raise SystemExit("simplejpeg gave other pixels than read_image.")
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(asked.rounds):
            # Whoever follows the one that decodes whole finds its memory given back, and pays for getting it again.
            for name in [*list(WAYS)[turn % len(WAYS) :], *list(WAYS)[: turn % len(WAYS)]]:
                way = WAYS[name]
                start = time.thread_time()
                way(photo, size)
                seconds[name].append(time.thread_time() - start)
        rates = {name: round(float(1 / np.median(taken)), 1) for name, taken in seconds.items()}
        cases.append({"photo": list(photographed), "wanted": list(size), "photos_a_second": rates})
        print(f"{photographed} to {size}: {rates} photos a second of one core")
    told = {
        "benchmark": "JPEG photos to pixels of a model's size, one core",
        "rounds": asked.rounds,
        "cases": cases,
        **provenance(),
        "command": "python benchmarks/decoding_speed.py",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
