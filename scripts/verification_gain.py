"""How much geometric verification gains at rank 1, and what it costs a query.

    python scripts/verification_gain.py choose --data PHOTOS [--night]
    python scripts/verification_gain.py unrelated --data PHOTOS
    python scripts/verification_gain.py report DATASET --data PHOTOS [--queries 150]

`choose` compares geometries and least numbers of inliers on getty -85 <= x_m < -35, the part that choices are made on, and
`unrelated` tells how many pairs agree there with the most similar tile from 25 m away or farther. `report` tells of gardens-point
or getty (x_m < -110, every tile asks for those of other panoramas) with what was chosen, before and after the best matches are put
in a new order, and adds to results/benchmarks/verification_gain.json. PHOTOS holds the folders getty and gardens_point.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import street_photos
from PIL import Image

from sameplace import datasets, models
from sameplace.datasets import Dataset
from sameplace.description import describe
from sameplace.evaluation.retrieval import Rules, retrieve
from sameplace.images import read_image
from sameplace.images.header import upright_size
from sameplace.measures import mcnemar, wilson
from sameplace.training.light import night
from sameplace.verification import Either, LighterGlue, Ransac, RootSift, Verifier, XFeat, rerank
from sameplace.verification.reranking import LEAST, RANKED_FROM

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks" / "verification_gain.json"
FEATURES = ("rootsift", "xfeat")
GEOMETRIES = {"homography": Ransac(), "fundamental": Ransac(geometry="fundamental", threshold=2.0), "either": Either()}
LEASTS = (0, 7, 10, 14, 20, 25, 35, 50, 70, 100)
METRES = (5.0, 10.0)
FAR = 25.0
COSTED = 20
"""Queries of which the cost is measured, nothing being known beforehand."""


def verifier(features: str) -> Verifier:
    """As `best_verifier` makes it, of the features that are asked for."""
    if features == "xfeat":
        return Verifier(XFeat(), matcher=LighterGlue(), ransac=Either(), least=LEAST["xfeat"])
    return Verifier(RootSift(), ransac=Either(), least=LEAST["rootsift"])


def retrieved(dataset: Dataset, model: str, top: int, chosen: Sequence[int]) -> list[list[int]]:
    """The rows of the database that the chosen queries find, best first, under the rules of the dataset."""
    describer = models.describer(model)
    found = []
    for sources in (dataset.query_sources, dataset.database_sources):
        if found and dataset.query_sources == dataset.database_sources:
            found.append(found[0])
        else:
            found.append(np.concatenate([batch.descriptors for batch in describe(sources, describer)]))
    rules = Rules.of(dataset)
    rows = np.array(chosen)
    without = tuple(rules.without[row] for row in chosen)
    return [ranking.tolist() for ranking in retrieve(found[0][rows], found[1], replace(rules, without=without), top).rows]


def by_night(dataset: Dataset, chosen: Sequence[int], folder: Path) -> Dataset:
    """The same dataset, asked by the chosen queries alone, as they might look by night."""
    altered = []
    for number in chosen:
        image = dataset.queries[number]
        pixels = night(read_image(image.path, upright_size(image.path)), np.random.default_rng(number))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        altered.append(replace(image, path=folder / f"{number}.png"))
    return replace(dataset, queries=tuple(altered))


def choose(data: Path, model: str, top: int, queries: int, kinds: Sequence[str], folder: Path | None) -> None:
    """Print recall@1 for each geometry and least number of inliers; with a folder, of queries made to look like night."""
    parts = {metres: street_photos.getty_part(data, *street_photos.CHOSEN_ON, name="", metres=metres) for metres in METRES}
    dataset = parts[METRES[0]]
    chosen = sample(len(dataset.queries), queries)
    if folder is not None:
        parts = {metres: by_night(part, chosen, folder) for metres, part in parts.items()}
        dataset, chosen = parts[METRES[0]], list(range(len(chosen)))
    rankings = retrieved(dataset, model, top, chosen)
    right = {metres: [set(Rules.of(part).positives[row].tolist()) for row in chosen] for metres, part in parts.items()}
    before = {
        metres: np.mean([ranking[0] in good for ranking, good in zip(rankings, right[metres], strict=True)]) for metres in METRES
    }
    print(f"before: {', '.join(f'{100 * share:.1f} % within {metres:g} m' for metres, share in before.items())}")
    for features in kinds:
        tool = verifier(features)
        counts: dict[str, list[list[int]]] = {geometry: [] for geometry in GEOMETRIES}
        for number, ranking in zip(chosen, rankings, strict=True):
            asked = tool.features(dataset.query_sources[number])
            for counted in counts.values():
                counted.append([])
            for row in ranking:
                found = tool.features(dataset.database_sources[row])
                pairs = tool.matcher.pairs(asked, found)
                ends = asked.points[pairs[:, 0]], found.points[pairs[:, 1]]
                for geometry, ransac in GEOMETRIES.items():
                    counts[geometry][-1].append(int(ransac.best(*ends)[2].sum()))
        for geometry, counted in counts.items():
            for least in LEASTS:
                first = [
                    ranking[max(range(len(ranking)), key=lambda place: (agree[place] * (agree[place] >= least), -place))]
                    for ranking, agree in zip(rankings, counted, strict=True)
                ]
                shares = [np.mean([row in good for row, good in zip(first, right[metres], strict=True)]) for metres in METRES]
                print(f"{features} {geometry} least {least}: {', '.join(f'{100 * share:.1f}' for share in shares)}", flush=True)


def unrelated(data: Path, model: str, queries: int, kinds: Sequence[str]) -> None:
    """Print how many pairs agree, by percentiles of the queries, with the most similar tile from far away."""
    dataset = street_photos.getty_part(data, *street_photos.CHOSEN_ON, name="", metres=FAR)
    chosen = sample(len(dataset.queries), queries)
    near = Rules.of(dataset).positives
    rankings = retrieved(dataset, model, len(dataset.database) // 2, chosen)
    far = [next(row for row in ranking if row not in near[number]) for number, ranking in zip(chosen, rankings, strict=True)]
    for features in kinds:
        tool = verifier(features)
        counts = [
            tool.match(dataset.query_sources[number], dataset.database_sources[row]).count
            for number, row in zip(chosen, far, strict=True)
        ]
        told = {share: round(float(np.percentile(counts, share))) for share in (50, 90, 95, 99, 100)}
        print(f"{features}: {told}", flush=True)


def report(name: str, data: Path, model: str, top: int, queries: int, features: str, seconds: float) -> None:
    """Print and keep recall@1 before and after, and the cost of a query."""
    if name == "gardens-point":
        parts = [datasets.load(name, root=data / "gardens_point")]
    else:
        parts = [street_photos.outdoors(data, metres) for metres in METRES]
    dataset = parts[0]
    chosen = sample(len(dataset.queries), queries)
    rankings = retrieved(dataset, model, top, chosen)
    tool = verifier(features)
    tool.features(dataset.query_sources[chosen[0]])  # loading the networks belongs to no query
    after, costs, compared, late = [], [], 0, 0
    for place, (number, ranking) in enumerate(zip(chosen, rankings, strict=True)):
        start = time.process_time()
        # Of the first queries each pays for the features of its own matches; after them what was found once is kept.
        tool = verifier(features) if place <= COSTED else tool
        done = rerank(tool, dataset.query_sources[number], [dataset.database_sources[row] for row in ranking], seconds=seconds)
        costs += [1000 * (time.process_time() - start)] if place < COSTED else []
        after.append(ranking[done.order[0]])
        compared += done.compared
        late += not done.in_time
    for part in parts:
        positives = Rules.of(part).positives
        was = np.array([ranking[0] in positives[number] for number, ranking in zip(chosen, rankings, strict=True)])
        now = np.array([row in positives[number] for number, row in zip(chosen, after, strict=True)])
        reachable = np.mean([bool(set(ranking) & set(positives[number])) for number, ranking in zip(chosen, rankings, strict=True)])
        line = {
            "dataset": part.name,
            "protocol": part.protocol,
            "model": model,
            "features": tool.identity,
            "least": tool.least,
            "ranked_from": RANKED_FROM,
            "top": top,
            "queries": len(chosen),
            "recall_at_1_before": float(was.mean()),
            "recall_at_1_after": float(now.mean()),
            "wilson_95_after": list(wilson(float(now.mean()), len(now))),
            "mcnemar_p": mcnemar(was, now),
            f"recall_at_{top}": float(reachable),
            "cpu_ms_a_query_median": float(np.median(costs)),
            "queries_costed": len(costs),
            "cpu_ms_a_query_p95": float(np.percentile(costs, 95)),
            "compared": compared,
            "queries_cut_short": late,
            "seconds_allowed": seconds,
            "commit": subprocess.run(
                ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
            ).stdout.strip(),
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        print(json.dumps(line))
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        same = ("dataset", "model", "features", "top", "ranked_from")
        kept = [other for other in kept if any(other[key] != line[key] for key in same)]
        RESULTS.write_text(json.dumps([*kept, line], indent=1) + "\n")


def sample(total: int, wanted: int) -> list[int]:
    """Rows of some queries, the same each time."""
    return sorted(np.random.default_rng(0).permutation(total)[:wanted].tolist())


def main() -> None:
    """Choose, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("choose", "unrelated", "report"))
    parser.add_argument("dataset", nargs="?", choices=("gardens-point", "getty"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=models.DEFAULT_MODEL)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--features", choices=FEATURES, nargs="+", default=FEATURES)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--night", action="store_true", help="let the queries of `choose` look as by night")
    given = parser.parse_args()
    if given.task == "choose":
        with TemporaryDirectory() as folder:
            night_folder = Path(folder) if given.night else None
            choose(given.data, given.model, given.top, given.queries, given.features, night_folder)
        return
    if given.task == "unrelated":
        unrelated(given.data, given.model, given.queries, given.features)
        return
    for features in given.features:
        report(given.dataset, given.data, given.model, given.top, given.queries, features, given.seconds)


if __name__ == "__main__":
    main()
