"""Compare two models on the parts of getty that none has learnt from: every tile asks for those of other panoramas.

python scripts/held_out.py MODEL AGAINST --data PHOTOS
"""

import argparse
from itertools import product
from pathlib import Path

import street_photos

from sameplace.description import DescriptorCache
from sameplace.evaluation import compare, evaluate
from sameplace.network.encoder import Encoder


def main() -> None:
    """Print the verdict indoors and outdoors, within 5 m and within 10 m."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("against", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder that keeps descriptors; by default the user's cache folder")
    arguments = parser.parse_args()
    cache = DescriptorCache(arguments.cache)
    for where, metres in product(("indoors", "outdoors"), (5.0, 10.0)):
        dataset = street_photos.held_out(arguments.data, where, metres)
        reports = [evaluate(Encoder.load(path), dataset, cache=cache) for path in (arguments.model, arguments.against)]
        for report in reports:
            print(report)
        comparison = compare(*reports)
        misses = [1 - float((report.answers.first == 0).mean()) for report in reports]
        print(comparison.verdict())
        fewer = 100 * (1 - misses[0] / misses[1])
        print(f"Misses at rank 1: {100 * misses[0]:.1f} % against {100 * misses[1]:.1f} %, {fewer:.0f} % fewer.")


if __name__ == "__main__":
    main()
