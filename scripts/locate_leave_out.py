"""How far off the located position is when each photo of a folder is located among the others, without its burst.

    python scripts/locate_leave_out.py FOLDER

What `sameplace locate` would answer, where `sameplace evaluate FOLDER --burst` tells of the first match alone.
"""

import argparse
from pathlib import Path

import numpy as np

from sameplace import Positions, datasets, describe, models
from sameplace.atlas.consensus import DEPTH, consensus


def main() -> None:
    """Print the median error of the first match and of the consensus, for every published model that is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    dataset = datasets.load(parser.parse_args().folder, burst=True)
    points = Positions.of([image.position for image in dataset.database if image.position is not None]).metric()
    panoramas = [image.panorama for image in dataset.database]
    excluded = dataset.excluded()
    for published in models.published():
        if models.installed(published.name) is None:
            continue
        describer = models.describer(published.name)
        batches = describe([image.path for image in dataset.database], describer)
        descriptors = np.concatenate([batch.descriptors for batch in batches])
        first, located = [], []
        for row, similarities in enumerate(descriptors @ descriptors.T):
            similarities[excluded[row]] = -1
            order = np.argsort(-similarities, kind="stable")[: DEPTH + 1]
            heard = order[:DEPTH]
            agreed = consensus(
                similarities[heard].astype(np.float64),
                points[heard],
                [panoramas[match] for match in heard],
                chance=float(similarities[order[DEPTH]]),
            )
            first.append(np.linalg.norm(points[order[0]] - points[row]))
            located.append(np.linalg.norm(agreed.point - points[row]))
        errors = f"first match {np.median(first):.1f} m, consensus {np.median(located):.1f} m"
        print(f"{published.name}: {errors} (medians of {len(first)})")


if __name__ == "__main__":
    main()
