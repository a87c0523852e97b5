"""VPR-Bench: folders ref and query of numbered images, and an npy file that lists what is right.

The layout is that of the public repository MubarizZaffar/VPR-Bench (helper_functions/numpy_gt_create.py,
evaluate_vpr_techniques.py), of the name lists that of amaralibey/gsv-cities (dataloaders/val). The lists decide what is right;
how far they reach is checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.arrays import read_array, read_lists
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import listed_images
from sameplace.datasets.truth import Listed, Rows
from sameplace.images import ImageRecord

TRUTH = "ground_truth_new.npy"
OBTAIN = "{} of the VPR-Bench datasets (github.com/MubarizZaffar/VPR-Bench)"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is known of one dataset in this layout."""

    name: str
    folder: str
    lists: str | None = None
    """The first part of the names of its name lists, where it is also shared in such a form."""
    reach: int | None = None
    """How many frames a right image may be away; None where only the list knows."""
    every: int = 1
    """Query i shows the place of reference i times this."""

    @property
    def obtain(self) -> str:
        """Where it comes from."""
        return OBTAIN.format(self.folder)


SEVENTEEN_PLACES = Benchmark(name="17-places", folder="17places", reach=5)
CORRIDOR = Benchmark(name="corridor", folder="corridor")
SPED = Benchmark(name="sped", folder="SPEDTEST", lists="SPED", reach=0)
NORDLAND = Benchmark(name="nordland-vpr-bench", folder="Nordland", lists="Nordland", reach=1, every=10)


def load_vpr_bench(root: Path, *, benchmark: Benchmark) -> Dataset:
    """A dataset of VPR-Bench: the images of ref and query by number, and right what the npy file lists.

    17 Places: ground_truth_new.npy reaches 5 frames, as AnyLoc's paper says; my_ground_truth_new.npy beside it gives other figures,
    and a ground truth of 2 frames carries the same name. Nordland: 2,760 summer images, every tenth, ask 27,592 winter images,
    right within a frame; other protocols carry the same name. SPED: the image of the same number. Corridor: how many frames are
    right only its list knows.
    """
    archive = Archive(benchmark.name, root, benchmark.obtain).inside("ref", benchmark.folder, benchmark.name)
    images = f"{benchmark.lists}_dbImages.npy"
    if benchmark.lists and not (archive.root / TRUTH).exists() and (archive.root / images).exists():
        database, queries = (_named(archive, f"{benchmark.lists}_{side}Images.npy") for side in ("db", "q"))
        rows = read_lists(archive.file(f"{benchmark.lists}_gt.npy"))
    else:
        database, queries = records(archive.sequence("ref")), records(_numbered(archive, benchmark))
        rows = read_lists(archive.file(TRUTH), column=1)
        _one_row_each(archive, len(queries))
    check_reach(archive, rows, benchmark.reach, every=benchmark.every)
    frames = {None: "", 1: ", within 1 frame"}.get(benchmark.reach, f", within {benchmark.reach} frames")
    return Dataset(name=benchmark.name, database=database, queries=queries, truth=Listed(rows, f"as listed{frames}"))


def _numbered(archive: Archive, benchmark: Benchmark) -> Sequence[Path]:
    """The queries by number; where only every tenth frame asks, they may have kept their numbers."""
    return archive.sequence("query") if benchmark.every == 1 else list(archive.frames("query").values())


def _named(archive: Archive, name: str) -> tuple[ImageRecord, ...]:
    return records(listed_images(archive, ("",), [str(image) for image in read_array(archive.file(name))], f"images of {name}"))


def _one_row_each(archive: Archive, queries: int) -> None:
    numbers = [row.tolist() for row in read_lists(archive.root / TRUTH, column=0)]
    if numbers != [[number] for number in range(queries)]:
        raise archive.error(f"rows 0 to {queries - 1} in {TRUTH}, one for each query", f"{len(numbers)} rows")


def check_reach(archive: Archive, rows: Rows, expected: int | None, *, every: int = 1) -> None:
    """Another ground truth of the same name would give other figures, so that how far this one reaches is part of its name."""
    reach = max((int(abs(row - query * every).max()) for query, row in enumerate(rows) if len(row)), default=0)
    if expected is not None and reach != expected:
        raise archive.error(f"a ground truth within {expected} frames", f"one that reaches {reach}")


def _entry(benchmark: Benchmark, protocol: str, database: int, queries: int, reference: str) -> KnownDataset:
    return KnownDataset(
        name=benchmark.name,
        protocol=protocol,
        database=database,
        queries=queries,
        reference=reference,
        obtain=benchmark.obtain,
        load=partial(load_vpr_bench, benchmark=benchmark),
    )


ENTRIES = (
    _entry(
        SEVENTEEN_PLACES,
        "one walk through offices asks another; right within 5 frames, as listed",
        406,
        406,
        "Sahdev and Tsotsos, Indoor Place Recognition System for Localization of Mobile Robots, CRV 2016",
    ),
    _entry(
        CORRIDOR,
        "one walk along a corridor asks another, in very small images; right as listed",
        111,
        111,
        "Milford, Vision-Based Place Recognition: How Low Can You Go?, IJRR 2013",
    ),
    _entry(
        SPED,
        "surveillance cameras at another time; right is the same camera, within 0 frames",
        607,
        607,
        "Chen et al., Learning Context Flexible Attention Model for Long-Term Visual Place Recognition, RA-L 2018",
    ),
    _entry(
        NORDLAND,
        "every tenth summer frame asks all winter frames of a railway; right within 1 frame",
        27_592,
        2760,
        "Skrede, Nordland Dataset, 2013; Zaffar et al., VPR-Bench, IJCV 2021",
    ),
)
