"""Whether photos described the quick way find as many places as in float32: a paired test, query by query.

    python benchmarks/description_loss.py efficientnet-lite0-vlad PHOTOS/getty
    python benchmarks/description_loss.py vgg16-vlad PHOTOS/getty

PHOTOS/getty is a folder of photos with positions. A sample of them, the same each time, is described in both ways; each photo
asks for the others, not for those of its own panorama, and is answered right within 5 m. Wanted: no significant loss of recall@1.
"""
# ruff: noqa: T201

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sameplace import datasets, models
from sameplace.evaluation import compare, evaluate
from sameplace.evaluation.precision import SIGNIFICANT
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json

RADIUS = 5.0
RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Describe, compare, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path, help="a folder of photos with positions")
    parser.add_argument("--int8", type=Path, help="an int8 export of the model, if it is not computed in int8 without one")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    quick = models.describer(asked.int8 or asked.model, runtime="openvino")
    precise = models.describer(asked.model, runtime="onnxruntime")
    whole = datasets.load(asked.photos, radius=RADIUS)
    chosen = np.sort(np.random.default_rng(0).permutation(len(whole.database))[: asked.queries])
    images = tuple(whole.database[row] for row in chosen.tolist())
    part = replace(whole, name=asked.photos.name, database=images, queries=images)
    comparison = compare(*(evaluate(describer, part, (1,)) for describer in (quick, precise)))
    reports = {"quick": comparison.report, "float32": comparison.against}
    lost = comparison.difference["recall@1"] < 0 and comparison.p_value < SIGNIFICANT
    facts = {
        "benchmark": f"{asked.model}: recall@1 within {RADIUS:g} m of {len(images):,} queries, quick beside float32",
        "model": asked.model,
        "runtime": quick.runtime,
        "precision": quick.precision,
        "queries": len(images),
        "recall@1": {way: round(float((report.answers.first == 0).mean()), 4) for way, report in reports.items()},
        "only_quick": comparison.only_first,
        "only_float32": comparison.only_second,
        "difference": comparison.difference["recall@1"],
        "difference_interval_95": list(comparison.interval["recall@1"]),
        "p_value": comparison.p_value,
        **provenance(),
        "command": f"python benchmarks/description_loss.py {asked.model} PHOTOS/getty --queries {asked.queries}"
        + (" --int8 EXPORT.int8.xml" if asked.int8 else ""),
    }
    file = asked.to or RESULTS / f"description_loss.{asked.model}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, facts)
    print(comparison.verdict())
    return int(lost)


if __name__ == "__main__":
    sys.exit(main())
