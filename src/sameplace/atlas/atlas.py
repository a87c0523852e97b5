"""The atlas: geotagged photos, described and searchable, in a folder."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from sameplace import models
from sameplace.atlas import foresight
from sameplace.atlas.answering import FOUND, LEVEL, FoundPhoto, Wanted, estimate
from sameplace.atlas.calibration import FALSE_ACCEPT, doubt
from sameplace.atlas.coverage import Part, coverage
from sameplace.atlas.estimate import Estimate
from sameplace.atlas.manifest import MANIFEST, Model, check_describer
from sameplace.atlas.sights import Film, Sight, expected, sights
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.summary import summary
from sameplace.atlas.track import Track
from sameplace.atlas.update import Changes, Options, Progress, Update, finish
from sameplace.atlas.verified import verified
from sameplace.atlas.walk import SPEED, walked
from sameplace.atlas.where import Where
from sameplace.atlas.writer import create, writing
from sameplace.describer import Describer
from sameplace.description import DescriptorCache, describe
from sameplace.errors import AtlasError, ImageError, ModelError
from sameplace.geo import Positions
from sameplace.images import ImageSet, Problem
from sameplace.images.video import EVERY
from sameplace.modelfile import read_header
from sameplace.search.milvus import is_address
from sameplace.verification import SECONDS, Verifier, best_verifier

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
        self._verifier: Verifier | None = None  # keeps the local features that it has found

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
        workers: int | str | None = Options.workers,
        cache: DescriptorCache | None = Options.cache,
        progress: Progress | None = Options.progress,
    ) -> "Atlas":
        """Describe photos and make them an atlas in a folder; run it again to add what is new and update what changed.

        Takes what `ImageSet.open` takes. The model is a published name, a file or any Describer; by default that of the atlas, or
        the default model for a new one. For the rest see `add`.
        """
        images = image_set(photos, positions)
        atlas = cls.open_or_create(at, model)
        atlas.add(images, commit_every=commit_every, prune=prune, verify=verify, workers=workers, cache=cache, progress=progress)
        return atlas

    @classmethod
    def open(cls, path: str | Path, model: str | Path | Describer | None = None) -> "Atlas":
        """Open an atlas that is there; AtlasError where it is missing, broken, or made with another model than the one given.

        Without a model, the one that made it is found by name when the first photo is described. An address like
        milvus://HOST:PORT/NAME opens an atlas on Milvus (docs/scale.md).
        """
        if is_address(path):
            return _remote(str(path), model, create=False)
        atlas = cls(Snapshot.load(absolute(path)))
        if model is not None:
            atlas._take(model)
        return atlas

    @classmethod
    def open_or_create(cls, path: str | Path, model: str | Path | Describer | None = None) -> "Atlas":
        """Open an atlas, or make an empty one of this model where there is none yet."""
        if is_address(path):
            return _remote(str(path), model, create=True)
        folder = absolute(path)
        if not (folder / MANIFEST).exists():
            model, named = of_a_new_atlas(model)
            create(folder, named)
        return cls.open(folder, model)

    def add(
        self,
        photos: Photos,
        *,
        positions: str | Path | None = None,
        commit_every: int = Options.commit_every,
        prune: bool = Options.prune,
        verify: bool = Options.verify,
        workers: int | str | None = Options.workers,
        cache: DescriptorCache | None = Options.cache,
        progress: Progress | None = Options.progress,
    ) -> Changes:
        """Bring the atlas up to date with photos: add new ones, describe changed ones again, follow moved ones.

        A photo of the same path, size and time of change and the same row in positions.csv is not opened; `verify` looks at its
        content nevertheless. Photos without a position, or that are no readable images, are skipped with their reasons. `prune`
        drops photos whose files are gone from below the folder of `photos`, or from below that of a photo which a CSV names. All is
        committed every `commit_every` photos, so that whatever stops the run costs no more than those. With a `cache` nothing is
        described that `evaluate` or another atlas has described before. `workers` are threads that read photos, or the address of a
        Ray cluster like ray://HOST:PORT, which describes them without the cache (docs/scale.md). `progress` hears how many are
        done, of how many, and how many are safe.
        """
        options = Options(commit_every=commit_every, prune=prune, verify=verify, workers=workers, cache=cache, progress=progress)
        start = time.perf_counter()
        images = image_set(photos, positions)
        with writing(self._snapshot.folder) as writer:
            try:
                update = Update(writer, images, self._describer, self._source, options)
                update.run()
            finally:
                self._snapshot = writer.snapshot  # what is committed is there even where the run stopped halfway
        return update.changes(time.perf_counter() - start)

    def remove(self, paths: str | Path | Sequence[str | Path]) -> int:
        """Forget photos by path, or all below a folder; returns how many. Where one path is unknown, nothing is removed."""
        wanted = [str(absolute(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        with writing(self._snapshot.folder) as writer:
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

    def locate(
        self,
        photo: str | Path | bytes,
        top: int = 10,
        *,
        where: Where | None = None,
        level: float = LEVEL,
        false_accept: float = FALSE_ACCEPT,
        verify: int = 0,
        verify_seconds: float = SECONDS,
        verifier: Verifier | None = None,
    ) -> Estimate:
        """Where a photo was taken, and the `top` photos of the atlas that say so; ImageError where it cannot be read.

        Only photos that fit `where` are looked at, such as those around a rough position; AtlasError where none does.
        Of such answers `level` lie within the radius, and of photos from elsewhere no more than `false_accept` count as known, as
        far as the atlas can tell (docs/trust.md); with `where` it cannot.

        The best `verify` matches are put in a new order by how many of their local features agree with the photo's, within
        `verify_seconds`; where these do not suffice, the answer says so (docs/verification.md). `best_verifier()` does it unless
        another one is given.
        """
        located = self.locate_all(
            [photo],
            top,
            where=where,
            level=level,
            false_accept=false_accept,
            verify=verify,
            verify_seconds=verify_seconds,
            verifier=verifier,
        )
        answer = next(located)
        if isinstance(answer, Problem):
            raise ImageError(answer.reason)
        return answer

    def locate_all(
        self,
        photos: Sequence[str | Path | bytes],
        top: int = 10,
        *,
        where: Where | None = None,
        level: float = LEVEL,
        false_accept: float = FALSE_ACCEPT,
        verify: int = 0,
        verify_seconds: float = SECONDS,
        verifier: Verifier | None = None,
        workers: int | None = None,
    ) -> Iterator[Estimate | Problem]:
        """Where each photo was taken, in order; a Problem for one that cannot be read. For the rest see `locate`."""
        wanted = Wanted(top=max(top, verify), level=level, false_accept=false_accept, filtered=where is not None)
        snapshot = self._snapshot
        if verify and verifier is None:
            verifier = self._verifier = self._verifier or best_verifier()
        tool = verifier if verify else None
        for photo, one in zip(photos, self._found(snapshot, photos, where, max(top, verify, FOUND), workers), strict=True):
            answer = one if isinstance(one, Problem) else estimate(snapshot, one, wanted)
            if tool is not None and isinstance(answer, Estimate):
                answer = verified(answer, photo, tool, count=verify, top=top, seconds=verify_seconds)
            yield answer

    def locate_walk(
        self,
        photos: Sequence[str | Path | bytes],
        top: int = 10,
        *,
        track: Track | None = None,
        every: float = EVERY,
        began: datetime | None = None,
        speed: float = SPEED,
        where: Where | None = None,
        level: float = LEVEL,
        false_accept: float = FALSE_ACCEPT,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Estimate | Problem]:
        """Where the photos of one walk were taken, in order: together they tell more than each alone.

        A video among them stands for its frames, one `every` so many seconds, and `began` says when it began where it does not say
        so itself. Between two photos one rarely gets farther than `speed` metres a second allow by the times in their EXIF, or
        past a few houses where there are none. A `track` that a receiver recorded on the walk is one more witness. `known` and
        matches are those of each photo alone; the radius is not calibrated. `progress` hears how many have been looked at, of about
        how many.
        """
        wanted = Wanted(top=top, level=level, false_accept=false_accept, filtered=where is not None)
        snapshot = self._snapshot
        film = Film(size=self._describer().size, every=every, began=began)
        if track is not None:
            foresight.check(track, self.frame, photos, film)

        def find(some: Sequence[str | Path | bytes]) -> Iterator[FoundPhoto | Problem]:
            return self._found(snapshot, some, where, max(top, FOUND), workers)

        seen, total = list[Sight | Problem](), expected(photos, film) if progress else 0
        for one in sights(photos, film, find):
            seen.append(one)
            if progress is not None:
                progress(len(seen), max(len(seen), total))
        read = [one for one in seen if isinstance(one, Sight)]
        walk = iter(walked(snapshot, [one.found for one in read], [one.moment for one in read], speed, track))
        return [
            replace(estimate(snapshot, one.found, wanted), calibrated=False, radii=(), **next(walk))
            if isinstance(one, Sight)
            else one
            for one in seen
        ]

    def _found(
        self, snapshot: Snapshot, photos: Sequence[str | Path | bytes], where: Where | None, count: int, workers: int | None
    ) -> Iterator[FoundPhoto | Problem]:
        """What the search finds for each photo, in order; a Problem for one that cannot be read."""
        if not len(snapshot):
            raise AtlasError(f"The atlas {self.path} holds no photos yet; add some with `sameplace index PHOTOS --to {self.path}`.")
        index = snapshot.searching(where)
        numbers = iter(range(len(photos)))
        for batch in describe(photos, self._describer(), workers=workers):
            found = index.search(batch.descriptors, count)
            rows, failures = batch.rows.tolist(), iter(batch.failures)
            for _ in range(len(rows) + len(batch.failures)):
                number = next(numbers)
                if number not in rows:
                    yield next(failures)
                    continue
                line = rows.index(number)
                yield FoundPhoto(
                    photo=_called(photos[number], number),
                    descriptor=batch.descriptors[line],
                    similarities=found.similarities[line],
                    rows=found.rows[line],
                )

    def positions(self) -> Positions:
        """Where the photos of the atlas were taken."""
        return self._snapshot.positions(self._snapshot.rows())

    @property
    def advice(self) -> str | None:
        """What would make this atlas quicker on this machine, in one sentence; None where nothing would."""
        return self._snapshot.advice

    def doubt(self, false_accept: float = FALSE_ACCEPT) -> str | None:
        """What radius and `known` cannot promise in this atlas, and the cure, in one sentence; None where they hold."""
        return doubt(self._snapshot.calibration, false_accept)

    @property
    def one_pass(self) -> bool:
        """Whether the atlas knows that all its photos were taken on one pass, so that it has never seen another light."""
        calibration = self._snapshot.calibration
        return calibration is not None and calibration.several_passes is False

    def coverage(self) -> tuple[Part, ...]:
        """Which parts of the atlas are weak, and why, told by locating its own photos among the others; weak parts first."""
        return coverage(self._snapshot)

    def summary(self) -> dict[str, Any]:
        """What the atlas holds and how it is kept, as plain values, with a quick test of its health (see `summary.self_recall`)."""
        return summary(self._snapshot)

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        from sameplace.atlas.showing import address_card, atlas_card
        from sameplace.pages import shown

        if isinstance(self.path, str):
            return shown(lambda: address_card(str(self.path), len(self), self.model.name))
        return shown(lambda: atlas_card(self._snapshot, self.doubt()))

    def __len__(self) -> int:
        return len(self._snapshot)

    @property
    def path(self) -> Path | str:
        """The folder, or the address of an atlas on Milvus."""
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
            self._source = _source_of(model)
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


def _remote(address: str, model: str | Path | Describer | None, *, create: bool) -> Atlas:
    from sameplace.atlas.remote import RemoteAtlas

    return RemoteAtlas.at(address, model, create=create)


def image_set(photos: Photos, positions: str | Path | None) -> ImageSet:
    """Photos as a set, with their positions."""
    if not isinstance(photos, ImageSet):
        return ImageSet.open(photos, positions)
    if positions is not None:
        raise ValueError("An ImageSet was given, which has its positions already; use ImageSet.open(photos, positions) instead.")
    return photos


def absolute(path: str | Path) -> Path:
    """The path from the root, links kept."""
    # Not resolve(): photos and atlases are known by the path that they were given by, links and all.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _called(photo: str | Path | bytes, number: int) -> str:
    return f"image {number}" if isinstance(photo, bytes) else str(photo)


def of_a_new_atlas(model: str | Path | Describer | None) -> tuple[Describer, Model]:
    """The describer of an atlas that is made, the default model unless another one is given, and how the atlas knows it."""
    chosen = models.DEFAULT_MODEL if model is None else model
    describer = models.describer(chosen) if isinstance(chosen, str | Path) else chosen
    return describer, Model.of(describer, _source_of(chosen))


def _source_of(model: str | Path | Describer) -> str:
    """What a model is called in an atlas, so that it is found again from any folder: a name, or the whole path of a file."""
    if not isinstance(model, str | Path):
        return model.name
    return str(absolute(model)) if Path(model).is_file() else str(model)


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
