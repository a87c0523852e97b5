"""The photos of a folder that are no part of its dataset, and why."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sameplace.datasets import Dataset
from sameplace.datasets.folder import DATABASE, QUERIES
from sameplace.errors import ImageError, PositionError
from sameplace.evaluation.doctor.findings import Example, Finding, Severity
from sameplace.images import ImageFile, ImageRecord, ImageSet
from sameplace.images.positions import NO_FIX, WHY_UNPLACED

REASONS: dict[str, tuple[Severity, str, str]] = {
    "broken_left_out": ("wrong", "Left out, for they cannot be read", "Copy them again from where they came from, or delete them"),
    "impossible": ("wrong", "Left out, for their position cannot be understood", "Correct it where it comes from"),
    "zero_left_out": ("doubtful", "Left out, for their position is 0, 0", "Give them one in a positions.csv"),
    "unplaced": ("doubtful", "Left out, for they have no position", "Give them one in a positions.csv"),
    "table": ("doubtful", "In a positions.csv, but of no use", "Correct the lines, or add the files that they name"),
}


def every_photo(folder: Path) -> tuple[ImageRecord, ...]:
    """All photos below a folder that can be opened, with or without a position."""
    return ImageSet.open(folder).records() if folder.is_dir() else ()


def leftovers(folder: Path, dataset: Dataset) -> Iterator[Finding]:
    """What lies in the folder and could not be used, by reason."""
    used = {str(image.path) for image in (*dataset.database, *dataset.queries) if image.position is not None}
    found: defaultdict[str, list[Example]] = defaultdict(list)
    count = 0
    for part in [folder / DATABASE, folder / QUERIES] if (folder / QUERIES).is_dir() else [folder]:
        if not part.is_dir():
            continue
        photos = ImageSet.open(part)
        count += len(photos.files)
        found["table"] += [Example(path=problem.path, said=problem.reason.rstrip(".")) for problem in photos.problems]
        for file in photos.files:
            if file.path not in used:
                kind, said = _why(photos, file)
                found[kind].append(Example(path=file.path, said=said))
    for kind, (severity, words, cure) in REASONS.items():
        if found[kind]:
            yield Finding(
                kind=kind,
                severity=severity,
                said=f"{words}: {len(found[kind]):,} {'lines' if kind == 'table' else f'of {count:,} photos'}",
                cure=cure,
                examples=tuple(found[kind]),
                of=count,
            )


def _why(photos: ImageSet, file: ImageFile) -> tuple[str, str]:
    """Why a photo is no part of the dataset."""
    try:
        record = photos.record(file)
    except ImageError as error:
        return "broken_left_out", str(error).rstrip(".")
    except PositionError as error:
        return "impossible", str(error).rstrip(".")
    reason = record.extra.get(WHY_UNPLACED, "")
    return ("zero_left_out", "") if reason == NO_FIX else ("unplaced", reason)
