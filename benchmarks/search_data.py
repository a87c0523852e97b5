"""The descriptors that search_speed.py searches: drawn ones, and real ones that are moved a little."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sameplace import models
from sameplace.description import describe
from sameplace.images import ImageSet
from sameplace.shapes import Array, Float16, Float32, Int64

ROWS_AT_ONCE = 20_000


class Drawn:
    """Views of places in districts."""

    def __init__(self, rows: int, dim: int, noise: float, seed: int, views: int = 10, districts: int = 200) -> None:
        self.rng = np.random.default_rng(seed)
        self.dim, self.noise, self.views, self.places = dim, noise, views, -(-rows // views)
        spectrum = np.arange(1, dim + 1) ** -0.5
        self.spectrum = (spectrum / np.linalg.norm(spectrum)).astype(np.float32)
        self.asking = np.random.default_rng((seed, 2))  # queries are the same whether the rows are drawn before them or not
        self.districts = self.rng.standard_normal((districts, dim), np.float32)
        self.district = self.rng.integers(0, districts, self.places)

    def place(self, places: Int64[Array, " views"]) -> Float32[Array, "views dim"]:
        """What is common to the views of some places: 0.8 of it is their district's, 0.6 their own."""
        own = np.stack([np.random.default_rng((1, int(place))).standard_normal(len(self.spectrum), np.float32) for place in places])
        common: Float32[Array, "views dim"] = np.float32(0.8) * self.districts[self.district[places]] + np.float32(0.6) * own
        return common

    def part(self, first: int, last: int) -> Float32[Array, "views dim"]:
        """The rows from first up to but without last."""
        places, inverse = np.unique(np.arange(first, last) // self.views, return_inverse=True)
        return self._seen(self.place(places)[inverse], self.rng)

    def queries(self, count: int) -> Float32[Array, "queries dim"]:
        """Further views."""
        return self._seen(self.place(self.asking.integers(0, self.places, count)), self.asking)

    def _seen(self, common: Float32[Array, "views dim"], rng: np.random.Generator) -> Float32[Array, "views dim"]:
        noise = rng.standard_normal(common.shape, np.float32)
        return unit((common + np.float32(self.noise) * noise) * self.spectrum)


class Real:
    """Descriptors of photos, each moved along differences between others, which is how real ones vary."""

    def __init__(self, known: Float32[Array, "photos dim"], jitter: float, seed: int) -> None:
        self.rng, self.asking = np.random.default_rng(seed), np.random.default_rng((seed, 2))
        self.known, self.jitter = unit(known), np.float32(jitter)
        self.dim = known.shape[1]

    def part(self, first: int, last: int) -> Float32[Array, "views dim"]:
        """The rows from first up to but without last."""
        return self._moved(np.arange(first, last) % len(self.known), self.rng)

    def queries(self, count: int) -> Float32[Array, "queries dim"]:
        """Others moved alike."""
        return self._moved(self.asking.integers(0, len(self.known), count), self.asking)

    def _moved(self, rows: Int64[Array, " views"], rng: np.random.Generator) -> Float32[Array, "views dim"]:
        others = rng.integers(0, len(self.known), (6, len(rows)))
        aside = sum(self.known[others[pair]] - self.known[others[pair + 1]] for pair in (0, 2, 4))
        return unit(self.known[rows] + self.jitter * unit(np.asarray(aside, np.float32)))


def unit(rows: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    """Of unit length."""
    scaled: Float32[Array, "rows dim"] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


def settle(folder: Path, settings: Mapping[str, object]) -> None:
    """Make sure that a folder keeps what these settings made, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.json"
    if not file.exists():
        if strange := sorted(path.name for path in folder.iterdir() if path.name != "unfinished.json"):
            raise SystemExit(f"{folder} holds {strange[0]} but does not say of which settings; name a new --folder.")
        new = file.with_name("unfinished.json")
        new.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        new.replace(file)
    kept = json.loads(file.read_text("utf-8"))
    if others := [f"{name} {kept.get(name)}, not {value}" for name, value in settings.items() if kept.get(name) != value]:
        raise SystemExit(f"{folder} is of {'; '.join(others)}; ask for the same or name another --folder.")


def written(source: Drawn | Real, rows: int, file: Path) -> Float16[Array, "rows dim"]:
    """All rows in a file, mapped; the file of an earlier run where there is one."""
    if not file.exists():
        new = file.with_name("unfinished.npy")
        descriptors = np.lib.format.open_memmap(new, "w+", np.dtype("<f2"), (rows, source.dim))
        for first in range(0, rows, ROWS_AT_ONCE):
            descriptors[first : first + ROWS_AT_ONCE] = source.part(first, min(first + ROWS_AT_ONCE, rows))
        descriptors.flush()
        new.rename(file)
    mapped: Float16[Array, "rows dim"] = np.load(file, mmap_mode="r")
    if len(mapped) != rows:
        raise SystemExit(f"{file} holds {len(mapped):,} descriptors, not {rows:,}; name another --folder.")
    return mapped


def described(photos: Path, model: str, file: Path) -> Float32[Array, "photos dim"]:
    """The descriptors of all photos in a folder; the file of an earlier run where there is one."""
    if not file.exists():
        paths = [found.path for found in ImageSet.open(photos, ask_tables=False).files]
        batches = describe(paths, models.describer(model))
        new = file.with_name("unfinished_photos.npy")
        np.save(new, np.concatenate([batch.descriptors for batch in batches]))
        new.replace(file)
    kept: Float32[Array, "photos dim"] = np.load(file)
    return kept
