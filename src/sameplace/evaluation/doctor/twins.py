"""The same photo twice: within a part of a dataset, or on both sides, where it gives the answer away."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

from sameplace.datasets import Dataset
from sameplace.evaluation.doctor.files import what_of
from sameplace.evaluation.doctor.findings import Example, Finding
from sameplace.shapes import Array, Int64


def duplicates(dataset: Dataset, contents: Mapping[Path, str], one_part: bool) -> Iterator[Finding]:
    """Photos that are there under two names in one part: they weigh twice."""
    parts = {"photos" if one_part else "database": dataset.database_sources}
    for name, sources in (parts if one_part else parts | {"queries": dataset.query_sources}).items():
        groups: defaultdict[Hashable, list[Path]] = defaultdict(list)
        for path, part in map(what_of, sources):
            groups[contents.get(path, str(path)), part].append(path)
        doubles = [
            Example(path=str(path), said=f"the same as {_briefly(group[0], path)}")
            for group in groups.values()
            for path in group[1:]
        ]
        if doubles:
            asks = name != "database"
            yield Finding(
                kind="duplicates",
                severity="doubtful" if asks else "note",
                said="There already under another name: "
                f"{len(doubles):,} of {len(sources):,} {'database images' if name == 'database' else name}",
                cure=f"Delete the copies: they {'weigh more in a figure' if asks else 'take places among those retrieved'}",
                examples=tuple(doubles),
                of=len(sources),
            )


def _briefly(path: Path, beside: Path) -> str:
    return path.name if path.parent == beside.parent else str(path)


def leaks(dataset: Dataset, contents: Mapping[Path, str], allowed: Sequence[Int64[Array, " _rows"]]) -> Iterator[Finding]:
    """Queries that can find themselves, or their own panorama; rows that are left out anyway are allowed."""
    content = _shared(
        [contents.get(query.path, str(query.path)) for query in dataset.queries],
        [contents.get(image.path, str(image.path)) for image in dataset.database],
        allowed,
    )
    panorama = _shared([query.panorama for query in dataset.queries], [image.panorama for image in dataset.database], allowed)
    if content:
        yield Finding(
            kind="leakage",
            severity="wrong",
            said="In the database, too, with the very same content, so that they may find themselves: "
            f"{len(content):,} of {len(dataset.queries):,} queries",
            cure="Take them out of one side, or compare the figures only with others of this very protocol",
            examples=_examples(dataset, content, "also in the database as"),
            of=len(dataset.queries),
        )
    only = {query: row for query, row in panorama.items() if query not in content}
    if only:
        yield Finding(
            kind="panorama_leakage",
            severity="wrong",
            said="Cut from a panorama from which database images were cut, too, so that they may find these: "
            f"{len(only):,} of {len(dataset.queries):,} queries",
            cure="Leave a query's own panorama out, or keep each panorama on one side",
            examples=_examples(dataset, only, "of one panorama with"),
            of=len(dataset.queries),
        )


def _shared(
    queries: Sequence[str | None], database: Sequence[str | None], allowed: Sequence[Int64[Array, " _rows"]]
) -> dict[int, int]:
    """For each query that has its key in the database, where it may be found: the first such row."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(database):
        if key is not None:
            rows[key].append(row)
    found = {}
    for query, key in enumerate(queries):
        first = next((row for row in rows.get(key or "", ()) if row not in allowed[query]), None)
        if first is not None:
            found[query] = first
    return found


def _examples(dataset: Dataset, pairs: Mapping[int, int], said: str) -> tuple[Example, ...]:
    return tuple(
        Example(
            path=str(dataset.queries[query].path),
            said=f"{said} {dataset.database[row].path}",
            position=dataset.queries[query].position,
        )
        for query, row in pairs.items()
    )
