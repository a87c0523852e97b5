"""The atlas: geotagged photos, described and searchable, in a folder."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sameplace import models
from sameplace.atlas.consensus import DEPTH, consensus
from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.manifest import MANIFEST, Model, check_describer
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.summary import summary
from sameplace.atlas.update import Changes, Options, Progress, Update, finish
from sameplace.atlas.writer import create, writing
from sameplace.describer import Describer
from sameplace.description import DescriptorCache, describe
from sameplace.errors import AtlasError, ImageError, ModelError
from sameplace.geo import Positions, point
from sameplace.images import ImageSet, Problem
from sameplace.modelfile import read_header
from sameplace.shapes import Array, Float32, Int64

Photos = str | Path | Sequence[str | Path] | ImageSet


class Atlas:
    """Geotagged photos that tell where other photos were taken.

    An open atlas is one generation of what is on disk: it stays readable and the same while other processes write, and moves on
    with its own `add` and `remove`; open it again to see what others wrote. One process writes at a time, any number read.
    """

    def __init__(self, snapshot: Snapshot, model: Describer | None = None) -> None:
        self._snapshot = snapshot
        self._model = model
        self._source = snapshot.manifest.model.source

    @classmethod
    def build(
        cls,
        photos: Photos,
        *,
        at: str | Path,
        model: str | Path | Describer | None = None,
        positions: str | Path | None = None,
        commit_every: int = Options.commit_every,
        prune: bool = Options.prune,
        verify: bool = Options.verify,
        workers: int | None = Options.workers,
        cache: DescriptorCache | None = Options.cache,
        progress: Progress | None = Options.progress,
    ) -> "Atlas":
        """Describe photos and make them an atlas in a folder; run it again to add what is new and update what changed.

        Takes what `ImageSet.open` takes. The model is a published name, a file or any Describer; by default that of the atlas, or
        the default model for a new one. For the rest see `add`.
        """
        images = _images(photos, positions)
        atlas = cls.open_or_create(at, model)
        atlas.add(images, commit_every=commit_every, prune=prune, verify=verify, workers=workers, cache=cache, progress=progress)
        return atlas

    @classmethod
    def open(cls, path: str | Path, model: str | Path | Describer | None = None) -> "Atlas":
        """Open an atlas that is there; AtlasError where it is missing, broken, or made with another model than the one given.

        Without a model, the one that made it is found by name when the first photo is described.
        """
        atlas = cls(Snapshot.load(_absolute(path)))
        if model is not None:
            atlas._take(model)
        return atlas

    @classmethod
    def open_or_create(cls, path: str | Path, model: str | Path | Describer | None = None) -> "Atlas":
        """Open an atlas, or make an empty one of this model where there is none yet."""
        folder = _absolute(path)
        if not (folder / MANIFEST).exists():
            chosen = models.DEFAULT_MODEL if model is None else model
            model = models.describer(chosen) if isinstance(chosen, str | Path) else chosen
            create(folder, Model.of(model, _source(chosen)))
        return cls.open(folder, model)

    def add(
        self,
        photos: Photos,
        *,
        positions: str | Path | None = None,
        commit_every: int = Options.commit_every,
        prune: bool = Options.prune,
        verify: bool = Options.verify,
        workers: int | None = Options.workers,
        cache: DescriptorCache | None = Options.cache,
        progress: Progress | None = Options.progress,
    ) -> Changes:
        """Bring the atlas up to date with photos: add new ones, describe changed ones again, follow moved ones.

        A photo of the same path, size and time of change and the same row in positions.csv is not opened; `verify` looks at its
        content nevertheless. Photos without a position, or that are no readable images, are skipped with their reasons. `prune`
        drops photos whose files are gone from below the folder of `photos`, or from below that of a photo which a CSV names. All is
        committed every `commit_every` photos, so that whatever stops the run costs no more than those. With a `cache` nothing is
        described that `evaluate` or another atlas has described before. `progress` hears how many are done, of how many, and how
        many are safe.
        """
        options = Options(commit_every=commit_every, prune=prune, verify=verify, workers=workers, cache=cache, progress=progress)
        start = time.perf_counter()
        images = _images(photos, positions)
        with writing(self.path) as writer:
            try:
                update = Update(writer, images, self._describer, self._source, options)
                update.run()
            finally:
                self._snapshot = writer.snapshot  # what is committed is there even where the run stopped halfway
        return Changes(
            added=update.added,
            updated=update.updated,
            removed=update.removed,
            skipped=tuple(update.skipped),
            seconds=time.perf_counter() - start,
        )

    def remove(self, paths: str | Path | Sequence[str | Path]) -> int:
        """Forget photos by path, or all below a folder; returns how many. Where one path is unknown, nothing is removed."""
        wanted = [str(_absolute(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        with writing(self.path) as writer:
            found = dict.fromkeys(wanted, 0)
            rows = []
            for row, entry in writer.snapshot.entries():
                named = [place for place in _places(entry.path) if place in found]
                found.update((place, found[place] + 1) for place in named)
                if named:
                    rows.append(row)
            if missing := [path for path, photos in found.items() if not photos]:
                raise AtlasError(
                    f"The atlas {self.path} has no photo at or below {missing[0]}; nothing was removed, check the path."
                )
            try:
                if rows:
                    writer.commit(removed=np.array(rows, np.int64))
                finish(writer)
            finally:
                self._snapshot = writer.snapshot
        return len(rows)

    def locate(self, photo: str | Path, top: int = 10) -> Estimate:
        """Where a photo was taken, and the `top` photos of the atlas that say so; ImageError where it cannot be read."""
        answer = next(self.locate_all([photo], top))
        if isinstance(answer, Problem):
            raise ImageError(answer.reason)
        return answer

    def locate_all(
        self, photos: Sequence[str | Path], top: int = 10, *, workers: int | None = None
    ) -> Iterator[Estimate | Problem]:
        """Where each photo was taken, in order; a Problem for one that cannot be read."""
        if top < 1:
            raise ValueError(f"At least one match was wanted, got top={top}; ask for top=1 or more.")
        snapshot = self._snapshot
        if not len(snapshot):
            raise AtlasError(f"The atlas {self.path} holds no photos yet; add some with `sameplace index PHOTOS --to {self.path}`.")
        index = snapshot.index()
        numbers = iter(range(len(photos)))
        for batch in describe(photos, self._describer(), workers=workers):
            found = index.search(batch.descriptors, max(top, DEPTH + 1))
            rows, failures = batch.rows.tolist(), iter(batch.failures)
            for _ in range(len(rows) + len(batch.failures)):
                number = next(numbers)
                if number not in rows:
                    yield next(failures)
                    continue
                line = rows.index(number)
                yield _estimate(snapshot, str(photos[number]), found.similarities[line], found.rows[line], top)

    def positions(self) -> Positions:
        """Where the photos of the atlas were taken."""
        return self._snapshot.positions(self._snapshot.rows())

    def summary(self) -> dict[str, Any]:
        """What the atlas holds and how it is kept, as plain values, with a quick test of its health (see `summary.self_recall`)."""
        return summary(self._snapshot)

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._snapshot.folder

    @property
    def model(self) -> Model:
        """The model that describes its photos."""
        return self._snapshot.manifest.model

    @property
    def frame(self) -> str | None:
        """The frame of its positions, "earth" (latitude and longitude) or "local" (metres); None while it is empty."""
        return self._snapshot.manifest.frame

    def _take(self, model: str | Path | Describer) -> None:
        """Use this model from now on; a file of the recorded identity is loaded when it is needed."""
        if isinstance(model, str | Path):
            self._source = _source(model)
            if _identity(model) == self.model.identity:
                return
            model = models.describer(model)
        elif model.identity != self.model.identity:
            self._source = model.name
        check_describer(self.path, self._snapshot.manifest, model)
        self._model = model

    def _describer(self) -> Describer:
        if self._model is None:
            try:
                self._model = models.describer(self._source)
            except ModelError as error:
                raise AtlasError(
                    f"The model {self.model.name} that made the atlas {self.path} is not at hand ({error}); "
                    f"install it, or open the atlas with model=..."
                ) from error
        check_describer(self.path, self._snapshot.manifest, self._model)
        return self._model


def _estimate(
    snapshot: Snapshot, photo: str, similarities: Float32[Array, " found"], rows: Int64[Array, " found"], top: int
) -> Estimate:
    """The answer to one photo from what the search found; the position hears the same matches however many are shown."""
    similarities = np.clip(similarities, -1, 1)  # descriptors in half precision are not quite of unit length
    entries = [snapshot.entry_at(row) for row in rows.tolist()]
    positions = snapshot.positions(rows)
    heard = slice(DEPTH)
    agreed = consensus(
        similarities[heard].astype(np.float64),
        positions.metric()[heard],
        [entry.panorama for entry in entries[heard]],
        chance=float(similarities[DEPTH]) if len(similarities) > DEPTH else 0.0,
    )
    impostors = snapshot.manifest.impostors
    level = impostors.similarity if impostors else None
    return Estimate(
        photo=photo,
        position=point(positions.frame, agreed.point),
        radius=agreed.radius,
        known=None if level is None else bool(similarities[0] > level),
        matches=tuple(
            Match(path=entry.path, similarity=float(similarities[rank]), position=positions[rank])
            for rank, entry in enumerate(entries[:top])
        ),
    )


def _images(photos: Photos, positions: str | Path | None) -> ImageSet:
    if not isinstance(photos, ImageSet):
        return ImageSet.open(photos, positions)
    if positions is not None:
        raise ValueError("An ImageSet was given, which has its positions already; use ImageSet.open(photos, positions) instead.")
    return photos


def _absolute(path: str | Path) -> Path:
    # Not resolve(): photos and atlases are known by the path that they were given by, links and all.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _source(model: str | Path | Describer) -> str:
    """What a model is called in an atlas, so that it is found again from any folder: a name, or the whole path of a file."""
    if not isinstance(model, str | Path):
        return model.name
    return str(_absolute(model)) if Path(model).is_file() else str(model)


def _identity(model: str | Path) -> str | None:
    """The identity of a model that lies in a file, told without loading it; None for any other."""
    try:
        return str(read_header(models.find(model))["identity"])
    except ModelError:  # a baseline has no file; of what is no model at all, loading it tells more
        return None


def _places(path: str) -> Iterator[str]:
    """A path and all folders above it."""
    yield path
    while (above := os.path.dirname(path)) != path:  # noqa: PTH120  (Path is too slow for each of a million photos)
        yield (path := above)
