"""How fast panoramas are cut into tiles, beside the straightforward way: scipy's map_coordinates over a map of each tile.

    python benchmarks/panorama_tiles.py

One panorama of 8 megapixels, drawn from a smooth function of direction so that the error of both ways is known, is cut in the
layout of Pittsburgh: 24 tiles of 640 x 480. Time is that of the processor on one thread, so that a busy machine does not matter.
Wanted: at least 20 tiles a second per core.
"""
# ruff: noqa: T201

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from sameplace.datasets.panoramas import cut
from sameplace.datasets.tile_layout import LAYOUTS
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.images import ImageSet
from sameplace.images.panorama import Panorama, rays
from sameplace.shapes import Array, Float64, UInt8

TILES_A_SECOND = 20.0
ROUNDS = 5
LAYOUT = LAYOUTS["pittsburgh"]
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "panorama_tiles.json"


def colours(looks: Float64[Array, "height width 3"]) -> Float64[Array, "height width 3"]:
    """A smooth colour in every direction."""
    right, up, ahead = np.moveaxis(looks, 2, 0)
    waves = [np.sin(9 * right + up), np.cos(8 * up) * np.sin(7 * ahead), np.cos(9 * ahead + right)]
    found: Float64[Array, "height width 3"] = 127.5 + 120 * np.stack(waves, axis=2)
    return found


def drawn(height: int) -> UInt8[Array, "height width 3"]:
    """The panorama of these colours."""
    yaw = ((np.arange(2 * height) + 0.5) / height - 1) * np.pi
    up = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * np.pi
    looks = np.stack(np.broadcast_arrays(np.cos(up) * np.sin(yaw), np.sin(up), np.cos(up) * np.cos(yaw)), axis=2)
    pixels: UInt8[Array, "height width 3"] = np.rint(colours(looks)).astype(np.uint8)
    return pixels


def turned(yaw_deg: float, pitch_deg: float) -> Float64[Array, "height width 3"]:
    """Where the pixels of a tile look."""
    looks, angle = rays(LAYOUT.lens, pitch_deg), np.radians(yaw_deg)
    right, ahead = looks[..., 0].copy(), looks[..., 2].copy()
    looks[..., 0] = right * np.cos(angle) + ahead * np.sin(angle)
    looks[..., 2] = ahead * np.cos(angle) - right * np.sin(angle)
    return looks


def mapped(height: int, yaw_deg: float, pitch_deg: float) -> Float64[Array, "2 height width"]:
    """Rows and columns of a panorama that has one column more on either side, from beyond the seam."""
    looks = turned(yaw_deg, pitch_deg)
    columns = (np.arctan2(looks[..., 0], looks[..., 2]) / np.pi + 1) * height + 0.5
    rows = (0.5 - np.arcsin(np.clip(looks[..., 1], -1, 1)) / np.pi) * height - 0.5
    return np.stack([rows, columns])


def straightforward(
    pixels: UInt8[Array, "height width 3"], maps: Iterator[Float64[Array, "2 height width"]]
) -> Iterator[UInt8[Array, "height width 3"]]:
    """Tiles by scipy's bilinear interpolation, channel by channel."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (0, 0)), mode="wrap")
    for where in maps:
        channels = [map_coordinates(padded[..., channel], where, order=1, mode="nearest") for channel in range(3)]
        yield np.stack(channels, axis=2)


def timed(make: Callable[[], Iterator[UInt8[Array, "height width 3"]]]) -> tuple[float, float]:
    """Tiles for each second of the processor, the best of some rounds, and their mean error in levels of 255."""
    best, errors = float("inf"), []
    for number in range(ROUNDS):
        start = time.thread_time()
        tiles = list(make())
        best = min(best, time.thread_time() - start)
        if not number:
            errors = [
                float(np.abs(tile - colours(turned(one.yaw_deg, one.pitch_deg))).mean())
                for tile, one in zip(tiles, LAYOUT.tiles, strict=True)
            ]
    return len(LAYOUT.tiles) / best, float(np.mean(errors))


def whole(pixels: UInt8[Array, "height width 3"], panoramas: int = 3) -> float:
    """Tiles for each second of the processor with all that `sameplace cut` does: reading and writing JPEG files, too."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "panoramas").mkdir()
        for number in range(panoramas):
            Image.fromarray(pixels).save(Path(folder) / "panoramas" / f"{number}.jpg", quality=92)
        start = time.process_time()
        done = cut(ImageSet.open(Path(folder) / "panoramas"), Path(folder) / "tiles", LAYOUT, workers=1)
        return done.tiles / (time.process_time() - start)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=2_048, help="of the panorama in pixels, half of its width")
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    pixels = drawn(asked.height)
    directions = [(tile.yaw_deg, tile.pitch_deg) for tile in LAYOUT.tiles]
    kept = [mapped(asked.height, *direction) for direction in directions]
    rates: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name, make in {
        "sameplace": lambda: Panorama(pixels).tiles(directions, LAYOUT.lens),
        "scipy_maps_kept": lambda: straightforward(pixels, iter(kept)),
        "scipy_maps_made_anew": lambda: straightforward(pixels, (mapped(asked.height, *one) for one in directions)),
    }.items():
        rates[name], errors[name] = timed(make)
    told = {
        "benchmark": "24 tiles of 640 x 480 from one panorama, tiles a second per core",
        "panorama": [2 * asked.height, asked.height],
        "tiles_a_second": {name: round(rate, 1) for name, rate in rates.items()},
        "mean_error_in_levels": {name: round(error, 3) for name, error in errors.items()},
        "tiles_a_second_with_reading_and_writing": round(whole(pixels), 1),
        "tiles_a_second_wanted": TILES_A_SECOND,
        **provenance(),
        "command": "python benchmarks/panorama_tiles.py",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    for name, rate in rates.items():
        print(f"{name.replace('_', ' ')}: {rate:.1f} tiles a second per core, mean error {errors[name]:.2f} levels of 255")
    print(f"with reading and writing JPEG: {told['tiles_a_second_with_reading_and_writing']} tiles a second per core")
    return int(rates["sameplace"] < TILES_A_SECOND)


if __name__ == "__main__":
    sys.exit(main())
