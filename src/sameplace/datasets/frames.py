"""Traverses whose images are matched by number: frame i of one shows what frame i of the other does."""

from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import Listed, WithinFrames

VPAIR_TOLERANCE = 3
OBTAIN_VPAIR = "the full VPAIR dataset from its authors (github.com/AerVisLoc/vpair), on request"
OBTAIN_STROMOVKA = "stromovka of the GRIEF datasets (T. Krajnik, github.com/gestom/GRIEF)"


def load_vp_air(root: Path) -> Dataset:
    """VP-Air: a light aircraft asks for 2,706 frames, among their aerial images and 10,000 others; right within 3 frames.

    The layout is that of the public repositories AerVisLoc/vpair (README.md) and AnyLoc/AnyLoc
    (custom_datasets/vpair_dataloader.py): queries, reference_views, distractors. AnyLoc's vpair_gt.npy is not read, for the
    numbers of the frames say the same. AnyLoc's code may have scored NetVLAD without the distractors, so that the 6.39 % printed
    there need not be reached or missed.
    """
    archive = Archive("vp-air", root, OBTAIN_VPAIR).inside("reference_views", "VPAir", "vpair")
    queries = archive.frames("queries")
    views = archive.frames("reference_views")
    alone = sorted(queries.keys() ^ views.keys())
    if alone:
        folder = "queries" if alone[0] in views else "reference_views"
        found = f"{len(queries):,} and {len(views):,} (frame {alone[0]} is missing in {folder})"
        raise archive.error("the same frames in queries and reference_views", found)
    distractors = archive.images("distractors")
    last = len(views) - 1
    near = [
        np.arange(max(frame - VPAIR_TOLERANCE, 0), min(frame + VPAIR_TOLERANCE, last) + 1, dtype=np.int64)
        for frame in range(len(queries))
    ]
    return Dataset(
        name=archive.name,
        database=records([*views.values(), *distractors]),
        queries=records(queries.values()),
        truth=Listed(tuple(near), f"within {VPAIR_TOLERANCE} frames; {len(distractors):,} distractors never are"),
        licence="academic use only, no commercial use",
    )


def load_frame_pairs(root: Path) -> Dataset:
    """Stromovka: two walks through a park in two seasons, season_00 the database, season_01 the queries; right is the very frame.

    The layout is that of the public repositories gestom/GRIEF (tools/match_all.cpp) and Zdeeno/Siamese-network-image-alignment
    (parser_grief.py): season_NN with images of nine digits. Their displacements.txt tells how far the robot was turned, which is
    no matter of places. They register images and rank none: that the frame must be the very one is this package's choice.
    """
    archive = Archive("stromovka", root, OBTAIN_STROMOVKA).inside("season_00", "stromovka")
    database = archive.frames("season_00")
    database = archive.frames("season_00", range(len(database)))
    return Dataset(
        name=archive.name,
        database=records(database.values()),
        queries=records(archive.frames("season_01", range(len(database))).values()),
        truth=WithinFrames(0),
    )


ENTRIES = (
    KnownDataset(
        name="vp-air",
        protocol="an aircraft asks, aerial images and 10,000 distractors are the database; right within 3 frames",
        database=2706 + 10_000,
        queries=2706,
        reference="Schleiss et al., VPAIR, arXiv 2205.11567, 2022",
        obtain=OBTAIN_VPAIR,
        load=load_vp_air,
    ),
    KnownDataset(
        name="stromovka",
        protocol="one season asks the other; right is the same frame, within 0 frames",
        database=500,
        queries=500,
        counts_vary=True,
        reference="Krajnik et al., Image Features for Visual Teach-and-Repeat Navigation, Robotics and Autonomous Systems 2017",
        obtain=OBTAIN_STROMOVKA,
        load=load_frame_pairs,
    ),
)
