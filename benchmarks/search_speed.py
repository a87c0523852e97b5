"""How fast the nearest of a million descriptors are found, and how many of them, beside FAISS' flat index in single precision.

    python benchmarks/search_speed.py --rows 1000000
    python benchmarks/search_speed.py --rows 1000000 --photos PHOTOS
    python benchmarks/search_speed.py --rows 10000000 --queries 60 --folder FOLDER

Descriptors are drawn: ten views of each place, the places in 200 districts, a spectrum that decays, and the queries are further
views of the same places; or they are those of all photos in a folder, as often as it takes, moved along differences between others
of them, and so are the queries. A folder keeps descriptors and index for a run that is broken off. Where the flat index would take
more than 4 GB, it is made and asked in parts, one after the other, and its times are added.

One thread, one query at a time; rounds of queries are answered by one way and then by the other. The processor's time counts, which
on a quiet machine is that of a clock; on a busy one the flat index, which reads far more memory, would by the clock seem slower
than it is. Recall is against the flat index: whether its nearest comes first, and how many of its ten nearest are among the first
ten. "exact" is our own search without an index, which an atlas of up to 100,000 photos gets.

Wanted of a million: 30 times the speed at recall@1 of 0.99 and recall@10 of 0.95, under 100 bytes of memory for each descriptor
besides the mapped file, and less than 10 minutes of building.
"""
# ruff: noqa: T201

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SAMEPLACE_THREADS"), "1"))

import argparse
import json
import shutil
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
from search_data import ROWS_AT_ONCE, Drawn, Real, described, settle, written

from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.search import Approximate, Effort, Found, exact, lists_for
from sameplace.shapes import Array, Float16, Float32, Float64, Int64

PROBES = (8, 16, 32, 64, 128, 256)
DEPTHS = (50, 100, 200, 400)
TOP = 10
QUERIES_A_ROUND = 20
ROWS_OF_FLAT = 2_000_000
TO = Path(__file__).parent.parent / "results" / "benchmarks"


def timed(
    search: Callable[[Float32[Array, "1 dim"]], Any], queries: Float32[Array, "queries dim"]
) -> tuple[Float64[Array, "clocks queries"], list[Any]]:
    """Milliseconds, of the processor and of the clock on the wall, and answers of queries, one at a time."""
    spent, answers = [], []
    for query in queries[:, None]:
        start = time.thread_time(), time.perf_counter()
        answers.append(search(query))
        spent.append((time.thread_time() - start[0], time.perf_counter() - start[1]))
    return 1000 * np.transpose(spent), answers


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
    index: Approximate, descriptors: Float16[Array, "rows dim"], queries: Float32[Array, "queries dim"]
) -> tuple[dict[str, list[float]], Int64[Array, "queries top"]]:
    """Medians of each round of queries, answered by one way and then by the other, their ratio, and what the flat index finds."""
    starts = range(0, len(queries), QUERIES_A_ROUND)
    flat_spent, spent = np.zeros((2, len(starts))), []
    similarities, right = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for offset in range(0, len(descriptors), ROWS_OF_FLAT):
        flat = flat_index(descriptors[offset : offset + ROWS_OF_FLAT])
        answers = []
        for number, first in enumerate(starts):
            part = queries[first : first + QUERIES_A_ROUND]
            slow, found = timed(partial(flat.search, k=TOP), part)
            quick, _ = timed(partial(index.search, top=TOP), part)
            flat_spent[:, number] += np.median(slow, axis=1)
            spent.append(np.median(quick, axis=1))
            answers += found
        similarities = np.concatenate([similarities, np.concatenate([values for values, _ in answers])], axis=1)
        right = np.concatenate([right, offset + np.concatenate([rows for _, rows in answers])], axis=1)
    best = np.argsort(-similarities, axis=1, kind="stable")[:, :TOP]
    index_spent = np.median(np.reshape(spent, (-1, len(starts), 2)), axis=0).T
    medians = {"flat": flat_spent[0], "index": index_spent[0], "ratio": flat_spent[0] / index_spent[0]}
    medians |= {"flat on the wall": flat_spent[1], "index on the wall": index_spent[1]}
    return {way: values.tolist() for way, values in medians.items()}, np.take_along_axis(right, best, axis=1)


def built(descriptors: Float16[Array, "rows dim"], folder: Path, lists: int | None, seed: int) -> tuple[Approximate, float]:
    """The index, as it is opened from its files, and what its building took of one core; those of an earlier run where they are."""
    at, building, unfinished = folder / "index", folder / "building.json", folder / "unfinished"
    if not building.exists():
        for left in (at, unfinished):  # of a run that was broken off
            shutil.rmtree(left, ignore_errors=True)
        start = time.process_time()
        index = Approximate.build([descriptors], lists=lists, seed=seed)
        spent = time.process_time() - start
        index.save(unfinished)
        unfinished.rename(at)
        write_json(folder / "unfinished.json", {"building_seconds": round(spent, 1)})
        (folder / "unfinished.json").replace(building)
    return Approximate.open(at, [descriptors]), json.loads(building.read_text("utf-8"))["building_seconds"]


def settings(asked: argparse.Namespace) -> dict[str, object]:
    """All that decides about descriptors and index, as it is kept beside them."""
    told: dict[str, object] = {"rows": asked.rows, "seed": asked.seed, "lists": asked.lists or lists_for(asked.rows)}
    if asked.photos is None:
        return told | {"descriptors": "drawn", "dim": asked.dim, "noise": asked.noise}
    return told | {"descriptors": "real", "photos": str(asked.photos.resolve()), "model": asked.model, "jitter": asked.jitter}


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
    parser.add_argument("--photos", type=Path, help="a folder of photos whose descriptors are moved")
    parser.add_argument("--model", default="efficientnet-lite0-vlad", help="what describes them")
    parser.add_argument("--jitter", type=float, default=0.6, help="how far these are moved, of their own length")
    parser.add_argument("--lists", type=int, help="lists of the index, if not those that sameplace would take")
    parser.add_argument("--folder", type=Path, help="keeps descriptors and index, and goes on from them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    faiss.omp_set_num_threads(1)
    kind = "drawn" if asked.photos is None else "real"
    to = asked.to or TO / f"search_speed.{kind}.{asked.rows}.json"
    source: Drawn | Real
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        settle(folder, settings(asked))
        if asked.photos is None:
            source, what = Drawn(asked.rows, asked.dim, asked.noise, asked.seed), "drawn"
        else:
            source = Real(described(asked.photos, asked.model, folder / "photos.npy"), asked.jitter, asked.seed)
            what = f"of {len(source.known):,} photos, moved by {asked.jitter}"
        descriptors = written(source, asked.rows, folder / "descriptors.npy")
        queries = source.queries(asked.queries)
        print(f"{asked.rows:,} descriptors of {descriptors.shape[1]} numbers are written", file=sys.stderr, flush=True)
        index, building = built(descriptors, folder, asked.lists, asked.seed)
        size = sum(file.stat().st_size for file in (folder / "index").iterdir())
        print(f"the index is built in {building:.0f} s of one core", file=sys.stderr, flush=True)
        start = time.perf_counter()
        Approximate.open(folder / "index", [np.load(folder / "descriptors.npy", mmap_mode="r")])
        opening = time.perf_counter() - start
        medians, right = paired(index, descriptors, queries)
        slow = quartiles(medians["flat"])
        (compared, _), _ = timed(partial(exact, database=[descriptors], top=TOP), queries[:QUERIES_A_ROUND])
        curve = []
        for probes in PROBES if index.codes[0].lists > 1 else (1,):
            for depth in DEPTHS:
                at = replace(index, effort=Effort(probes=probes, depth=depth))
                (milliseconds, _), found = timed(partial(at.search, top=TOP), queries)
                at_1, at_10 = recall(found, right)
                middle = quartiles(milliseconds.tolist())
                curve.append(
                    {"probes": probes, "depth": depth, "recall@1": at_1, "recall@10": at_10, "milliseconds": middle}
                    | {"times_flat": round(slow["median"] / middle["median"], 1)}
                )
        at_1, at_10 = recall([index.search(queries, TOP)], right)
    told = {
        "benchmark": "processor time of a query of the nearest 10 descriptors, on one thread, beside FAISS IndexFlatIP, float32",
        "descriptors": what,
        **({} if asked.photos is None else {"model": asked.model}),
        "rows": asked.rows,
        "dim": int(descriptors.shape[1]),
        "queries": asked.queries,
        **({"noise": asked.noise} if kind == "drawn" else {}),
        "lists": index.codes[0].lists,
        "effort": {"probes": index.effort.probes, "depth": index.effort.depth},
        "milliseconds": {"flat": slow, "index": quartiles(medians["index"]), "exact": quartiles(compared.tolist())},
        "milliseconds_on_the_wall": {way: quartiles(medians[f"{way} on the wall"]) for way in ("flat", "index")},
        "times_flat": quartiles(medians["ratio"]),
        "recall@1": at_1,
        "recall@10": at_10,
        "bytes_per_descriptor": round(size / asked.rows, 1),
        "bytes_per_descriptor_flat": 4 * int(descriptors.shape[1]),
        "building_seconds": building,
        "opening_seconds": round(opening, 3),
        "curve": curve,
        **provenance(),
        "faiss": faiss.__version__,
        "command": " ".join(
            [
                f"python benchmarks/search_speed.py --rows {asked.rows}",
                *([] if asked.queries == parser.get_default("queries") else [f"--queries {asked.queries}"]),
                *([] if kind == "drawn" else [f"--photos PHOTOS --jitter {asked.jitter}"]),
            ]
        ),
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
