"""Instance retrieval: landmarks of Oxford and Paris, and Holidays, scored by mean average precision.

The layouts are those of the public repository Relja/netvlad, datasets/dbVGG.m and dbHolidays.m.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sameplace.datasets.archive import Archive, records
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.listing import images_below
from sameplace.datasets.truth import Relevant
from sameplace.images import View
from sameplace.shapes import Array, Int64

GROUND_TRUTH = "groundtruth"
CORRUPT = "corrupt.txt"
OBTAIN_OXFORD = "images/ and groundtruth/ of Oxford Buildings (robots.ox.ac.uk/~vgg/data/oxbuildings)"
OBTAIN_PARIS = "images/, groundtruth/ and the list corrupt.txt of Paris Buildings (robots.ox.ac.uk/~vgg/data/parisbuildings)"
OBTAIN_HOLIDAYS = (
    "the INRIA Holidays images in jpg/, and turned upright by hand in jpg_rotated/ (search for 'INRIA Holidays dataset')"
)


@dataclass(frozen=True, kw_only=True)
class _Query:
    """One query: an image, the part of it that asks, and what is right and what does not count."""

    image: str
    box: tuple[float, float, float, float]
    good: tuple[str, ...]
    junk: tuple[str, ...]


def load_landmarks(root: Path, *, name: str, prefix: str, obtain: str) -> Dataset:
    """Oxford 5k (5,063 images) and Paris 6k (6,392): 55 boxes ask; good and ok images are right, junk does not count.

    Text files <landmark>_<number>_{query,good,ok,junk}.txt name images without their suffix; Oxford's query files put oxc1_
    before the name. The 20 images of Paris in corrupt.txt, which cannot be decoded, are left out. The query's image stays in the
    database. Published figures also exist with the whole image as the query. The revisited sets with 70 queries are other
    benchmarks. References: Philbin et al., CVPR 2007 and CVPR 2008.
    """
    archive = Archive(name, root, obtain).inside(GROUND_TRUTH, name, name.replace("-", ""))
    images = archive.folder("images")
    corrupt = archive.text(CORRUPT).split() if (archive.root / CORRUPT).exists() else []
    left_out = {Path(image).stem for image in corrupt}
    database = [path for path in images_below(images) if path.stem not in left_out]
    row_of = {path.stem: row for row, path in enumerate(database)}
    queries = _queries(archive, prefix)
    unknown = {image for query in queries for image in (query.image, *query.good, *query.junk)} - row_of.keys() - left_out
    if unknown:
        raise archive.error(f"{min(unknown)}.jpg, which {GROUND_TRUTH} names", "none")

    def rows(names: Sequence[str]) -> Int64[Array, " rows"]:
        return np.array([row_of[name] for name in names if name not in left_out], np.int64)

    paths = [database[row_of[query.image]] for query in queries]
    return Dataset(
        name=name,
        database=records(database),
        queries=records(paths),
        truth=Relevant(
            good=tuple(rows(query.good) for query in queries),
            junk=tuple(rows(query.junk) for query in queries),
            said="as listed as good or ok; junk does not count",
        ),
        query_views=tuple(View(path=path, box=query.box) for path, query in zip(paths, queries, strict=True)),
        remark="queries cut to their boxes",
    )


def _queries(archive: Archive, prefix: str) -> list[_Query]:
    files = sorted((archive.root / GROUND_TRUTH).glob("*_query.txt"))
    return [_query(archive, file.name.removesuffix("query.txt"), prefix) for file in files]


def _query(archive: Archive, start: str, prefix: str) -> _Query:
    lists = {kind: archive.text(f"{GROUND_TRUTH}/{start}{kind}.txt").split() for kind in ("query", "good", "ok", "junk")}
    try:
        image, *edges = lists["query"]
        left, top, right, bottom = (np.floor(float(edge) + 0.5) for edge in edges)
    except ValueError:
        raise archive.error(f"a name and four numbers in {start}query.txt", " ".join(lists["query"]) or "nothing") from None
    return _Query(
        image=image.removeprefix(prefix),
        box=(float(left) - 1, float(top) - 1, float(right), float(bottom)),  # MATLAB counts pixels from 1 and takes in the last
        good=(*lists["good"], *lists["ok"]),
        junk=tuple(lists["junk"]),
    )


def load_holidays(root: Path, *, name: str, folder: str) -> Dataset:
    """Holidays: 500 of 1,491 images ask for the others of their group; the query itself does not count.

    Images are named by six digits; a number divisible by 100 is a query, and those that follow it up to the next are right.
    Upright Holidays are the same images turned by hand. Published code scales images above 1024 x 768 pixels down first and, for
    plain Holidays, does not turn those whose EXIF says so, as is done here. Reference: Jegou et al., ECCV 2008.
    """
    archive = Archive(name, root, OBTAIN_HOLIDAYS).inside(folder, "holidays")
    frames = archive.frames(folder)
    groups: dict[int, list[int]] = {}
    for row, number in enumerate(frames):
        groups.setdefault(number // 100, []).append(row)
    numbers = list(frames)
    headless = [numbers[rows[0]] for rows in groups.values() if numbers[rows[0]] % 100]
    if headless:
        raise archive.error(f"the query {headless[0] // 100 * 100} in {folder}", f"none, though {headless[0]} is there")
    paths = list(frames.values())
    return Dataset(
        name=name,
        database=records(paths),
        queries=records([paths[rows[0]] for rows in groups.values()]),
        truth=Relevant(
            good=tuple(np.array(rows[1:], np.int64) for rows in groups.values()),
            junk=tuple(np.array(rows[:1], np.int64) for rows in groups.values()),
            said="in the same group; the query itself does not count",
        ),
    )


def _landmarks(name: str, protocol: str, database: int, prefix: str, reference: str, obtain: str) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=protocol,
        database=database,
        queries=55,
        reference=reference,
        obtain=obtain,
        load=partial(load_landmarks, name=name, prefix=prefix, obtain=obtain),
    )


def _holidays(name: str, folder: str, turned: str) -> KnownDataset:
    return KnownDataset(
        name=name,
        protocol=f"holiday photos{turned} ask for the others of their group; the query itself does not count",
        database=1491,
        queries=500,
        reference="Jegou et al., Hamming Embedding and Weak Geometric Consistency, ECCV 2008",
        obtain=OBTAIN_HOLIDAYS,
        load=partial(load_holidays, name=name, folder=folder),
    )


BOXES = "boxes around landmarks ask; good and ok images are right, junk does not count"
ENTRIES = (
    _landmarks("oxford-5k", BOXES, 5063, "oxc1_", "Philbin et al., Object Retrieval, CVPR 2007", OBTAIN_OXFORD),
    _landmarks("paris-6k", BOXES, 6392, "", "Philbin et al., Lost in Quantization, CVPR 2008", OBTAIN_PARIS),
    _holidays("holidays", "jpg", ""),
    _holidays("holidays-upright", "jpg_rotated", ", turned upright by hand,"),
)
