"""How fast the nearest of a million descriptors are found, and how many of them, beside FAISS' flat index in single precision.

    python benchmarks/search_speed.py --rows 1000000
    python benchmarks/search_speed.py --rows 1000000 --descriptors descriptors.npy

Descriptors are drawn: ten views of each place, the places in 200 districts, a spectrum that decays, and the queries are further
views of the same places; or they are real ones from a file (rows, numbers), as often as it takes, moved along differences between
others of them. One thread, one query at a time; rounds of queries are answered by one way and then by the other, so that a busy
machine troubles both. Recall is against the flat index: whether its nearest comes first, and how many of its ten nearest are among
the first ten. "exact" is our own search without an index, which an atlas of up to 100,000 photos gets.

Wanted of a million: 30 times the speed at recall@1 of 0.99 and recall@10 of 0.95, under 100 bytes of memory for each descriptor
besides the mapped file, and less than 10 minutes of building.
"""
# ruff: noqa: T201

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SAMEPLACE_THREADS"), "1"))

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.search import Approximate, Effort, Found, exact, lists_for
from sameplace.shapes import Array, Float16, Float32, Int64

PROBES = (8, 16, 32, 64, 128, 256)
DEPTHS = (50, 100, 200, 400)
TOP = 10
QUERIES_A_ROUND = 20
ROWS_AT_ONCE = 20_000
TO = Path(__file__).parent.parent / "results" / "benchmarks"


class Drawn:
    """Views of places in districts."""

    def __init__(self, rows: int, dim: int, noise: float, seed: int, views: int = 10, districts: int = 200) -> None:
        self.rng = np.random.default_rng(seed)
        self.noise, self.views, self.places = noise, views, -(-rows // views)
        spectrum = np.arange(1, dim + 1) ** -0.5
        self.spectrum = (spectrum / np.linalg.norm(spectrum)).astype(np.float32)
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
        return self._seen(self.place(places)[inverse])

    def queries(self, count: int) -> Float32[Array, "queries dim"]:
        """Further views."""
        return self._seen(self.place(self.rng.integers(0, self.places, count)))

    def _seen(self, common: Float32[Array, "views dim"]) -> Float32[Array, "views dim"]:
        noise = self.rng.standard_normal(common.shape, np.float32)
        return unit((common + np.float32(self.noise) * noise) * self.spectrum)


class Real:
    """Descriptors from a file, each moved along differences between others, which is how real ones vary."""

    def __init__(self, file: Path, jitter: float, seed: int) -> None:
        self.rng, self.jitter = np.random.default_rng(seed), np.float32(jitter)
        self.known = unit(np.load(file).astype(np.float32))

    def part(self, first: int, last: int) -> Float32[Array, "views dim"]:
        """The rows from first up to but without last."""
        return self._moved(np.arange(first, last) % len(self.known))

    def queries(self, count: int) -> Float32[Array, "queries dim"]:
        """Others moved alike."""
        return self._moved(self.rng.integers(0, len(self.known), count))

    def _moved(self, rows: Int64[Array, " views"]) -> Float32[Array, "views dim"]:
        others = self.rng.integers(0, len(self.known), (6, len(rows)))
        aside = sum(self.known[others[pair]] - self.known[others[pair + 1]] for pair in (0, 2, 4))
        return unit(self.known[rows] + self.jitter * unit(np.asarray(aside, np.float32)))


def unit(rows: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    """Of unit length."""
    scaled: Float32[Array, "rows dim"] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


def written(source: Drawn | Real, rows: int, file: Path) -> Float16[Array, "rows dim"]:
    """All rows in a file, mapped."""
    dim = source.part(0, 1).shape[1]
    descriptors = np.lib.format.open_memmap(file, "w+", np.dtype("<f2"), (rows, dim))
    for first in range(0, rows, ROWS_AT_ONCE):
        descriptors[first : first + ROWS_AT_ONCE] = source.part(first, min(first + ROWS_AT_ONCE, rows))
    descriptors.flush()
    mapped: Float16[Array, "rows dim"] = np.load(file, mmap_mode="r")
    return mapped


def timed(
    search: Callable[[Float32[Array, "1 dim"]], Any], queries: Float32[Array, "queries dim"]
) -> tuple[list[float], list[Any]]:
    """Milliseconds and answers of queries, one at a time."""
    spent, answers = [], []
    for query in queries[:, None]:
        start = time.perf_counter()
        answers.append(search(query))
        spent.append(1000 * (time.perf_counter() - start))
    return spent, answers


def recall(found: Sequence[Found], right: Int64[Array, "queries top"]) -> tuple[float, float]:
    """Recall@1 and recall@10 against the flat index."""
    rows = np.concatenate([one.rows for one in found])
    shared = [len(set(mine) & set(wanted)) / TOP for mine, wanted in zip(rows.tolist(), right.tolist(), strict=True)]
    return float(np.mean(rows[:, 0] == right[:, 0])), float(np.mean(shared))


def flat_index(descriptors: Float16[Array, "rows dim"]) -> Any:
    """What everybody would start with."""
    index = faiss.IndexFlatIP(descriptors.shape[1])
    for first in range(0, len(descriptors), ROWS_AT_ONCE):
        index.add(descriptors[first : first + ROWS_AT_ONCE].astype(np.float32))
    return index


def paired(
    index: Approximate, flat: Any, queries: Float32[Array, "queries dim"]
) -> tuple[dict[str, list[float]], Int64[Array, "queries top"]]:
    """Medians of each round of queries, answered by one way and then by the other, their ratio, and what the flat index finds."""
    medians: dict[str, list[float]] = {"flat": [], "index": [], "ratio": []}
    right = []
    for first in range(0, len(queries), QUERIES_A_ROUND):
        part = queries[first : first + QUERIES_A_ROUND]
        slow, answers = timed(lambda query: flat.search(query, TOP), part)
        quick, _ = timed(lambda query: index.search(query, TOP), part)
        right += [rows for _, rows in answers]
        medians["flat"].append(float(np.median(slow)))
        medians["index"].append(float(np.median(quick)))
        medians["ratio"].append(medians["flat"][-1] / medians["index"][-1])
    return medians, np.concatenate(right)


def quartiles(values: Sequence[float]) -> dict[str, Any]:
    """The median and the middle half."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": round(float(middle), 3), "quartiles": [round(float(low), 3), round(float(high), 3)]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="descriptors in the database")
    parser.add_argument("--dim", type=int, default=512, help="numbers of a drawn descriptor")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.9, help="how much drawn views of a place differ")
    parser.add_argument("--descriptors", type=Path, help="real descriptors to draw from, .npy of (rows, numbers)")
    parser.add_argument("--jitter", type=float, default=0.6, help="how far these are moved, of their own length")
    parser.add_argument("--lists", type=int, help="lists of the index, if not those that sameplace would take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    faiss.omp_set_num_threads(1)
    kind = "drawn" if asked.descriptors is None else "real"
    to = asked.to or TO / f"search_speed.{kind}.{asked.rows}.json"
    drawn = Drawn(asked.rows, asked.dim, asked.noise, asked.seed)
    source = drawn if asked.descriptors is None else Real(asked.descriptors, asked.jitter, asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        descriptors = written(source, asked.rows, Path(folder) / "descriptors.npy")
        queries = source.queries(asked.queries)
        print(f"{asked.rows:,} descriptors of {descriptors.shape[1]} numbers are written", file=sys.stderr, flush=True)
        start = time.process_time()
        index = Approximate.build([descriptors], lists=asked.lists, seed=asked.seed)
        building = time.process_time() - start
        index.save(Path(folder) / "index")
        size = sum(file.stat().st_size for file in (Path(folder) / "index").iterdir())
        print(f"the index is built in {building:.0f} s of one core", file=sys.stderr, flush=True)
        flat = flat_index(descriptors)
        medians, right = paired(index, flat, queries)
        slow = quartiles(medians["flat"])
        del flat
        compared, _ = timed(partial(exact, database=[descriptors], top=TOP), queries[:QUERIES_A_ROUND])
        curve = []
        for probes in PROBES if index.codes[0].lists > 1 else (1,):
            for depth in DEPTHS:
                at = replace(index, effort=Effort(probes=probes, depth=depth))
                milliseconds, found = timed(partial(at.search, top=TOP), queries)
                at_1, at_10 = recall(found, right)
                middle = quartiles(milliseconds)
                curve.append(
                    {"probes": probes, "depth": depth, "recall@1": at_1, "recall@10": at_10, "milliseconds": middle}
                    | {"times_flat": round(slow["median"] / middle["median"], 1)}
                )
        at_1, at_10 = recall([index.search(queries, TOP)], right)
    told = {
        "benchmark": "one query of the nearest 10 descriptors, on one thread, beside FAISS IndexFlatIP in single precision",
        "descriptors": kind if kind == "drawn" else f"{len(source.known)} real ones, moved by {asked.jitter}",  # type: ignore[union-attr]
        "rows": asked.rows,
        "dim": int(descriptors.shape[1]),
        "queries": asked.queries,
        **({"noise": asked.noise} if kind == "drawn" else {}),
        "lists": index.codes[0].lists,
        "effort": {"probes": index.effort.probes, "depth": index.effort.depth},
        "milliseconds": {"flat": slow, "index": quartiles(medians["index"]), "exact": quartiles(compared)},
        "times_flat": quartiles(medians["ratio"]),
        "recall@1": at_1,
        "recall@10": at_10,
        "bytes_per_descriptor": round(size / asked.rows, 1),
        "bytes_per_descriptor_flat": 4 * int(descriptors.shape[1]),
        "building_seconds": round(building, 1),
        "curve": curve,
        **provenance(),
        "faiss": faiss.__version__,
        "command": f"python benchmarks/search_speed.py --rows {asked.rows}"
        + ("" if kind == "drawn" else f" --descriptors {asked.descriptors.name} --jitter {asked.jitter}"),
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    write_json(to, told)
    print_table(told)
    wanted = told["times_flat"]["median"] >= 30 and at_1 >= 0.99 and at_10 >= 0.95 and size < 100 * asked.rows and building < 600
    return int(asked.rows >= 1_000_000 and lists_for(asked.rows) == told["lists"] and not wanted)


def print_table(told: dict[str, Any]) -> None:
    """The curve, and the line that matters."""
    print(f"{told['rows']:,} x {told['dim']} ({told['descriptors']}), {told['lists']} lists, built in {told['building_seconds']} s")
    print("probes  depth  recall@1  recall@10       ms  times flat")
    for one in told["curve"]:
        print(
            f"{one['probes']:6}  {one['depth']:5}  {one['recall@1']:8.3f}  {one['recall@10']:9.3f}  "
            f"{one['milliseconds']['median']:7.2f}  {one['times_flat']:10.1f}"
        )
    times, spent = told["times_flat"], told["milliseconds"]
    print(
        f"as shipped: {times['median']:.1f} times flat {times['quartiles']}, recall@1 {told['recall@1']:.3f}, recall@10 "
        f"{told['recall@10']:.3f}, {told['bytes_per_descriptor']} bytes a descriptor; "
        f"{spent['index']['median']} ms beside {spent['flat']['median']} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
