"""An atlas on Milvus: the same questions and answers as of one in a folder, for more photos than one machine holds."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.atlas import remote_manifest
from sameplace.atlas.atlas import Atlas, Photos, absolute, image_set, of_a_new_atlas
from sameplace.atlas.manifest import Manifest
from sameplace.atlas.remote_columns import key, positions_of
from sameplace.atlas.remote_manifest import Learnt
from sameplace.atlas.remote_snapshot import RemoteSnapshot
from sameplace.atlas.remote_summary import summary
from sameplace.atlas.remote_update import RemoteUpdate, below, learn
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.update import Changes, Options, Progress
from sameplace.describer import Describer
from sameplace.description import DescriptorCache
from sameplace.errors import AtlasError
from sameplace.geo import EARTH, Positions
from sameplace.search.milvus import Address, Collection

TOKEN = "SAMEPLACE_MILVUS_TOKEN"
"""The variable of the environment that holds user:password, or a token, where the server wants one."""


class RemoteAtlas(Atlas):
    """An `Atlas` at an address like milvus://HOST:PORT/NAME, or milvus:///FOLDER/FILE.db/NAME for Milvus Lite.

    Unlike a folder it always tells what is there by now, and any number of processes may add to it at the same time. A photo that
    has moved is added under its new path, without being described again; pruning drops the old one.
    """

    def __init__(self, collection: Collection, manifest: Manifest, model: Describer | None = None) -> None:
        self._collection = collection
        super().__init__(self._now(manifest), model)

    @classmethod
    def at(cls, address: str, model: str | Path | Describer | None = None, *, create: bool = False) -> "RemoteAtlas":
        """Open it; where there is none, say so, or `create` one of this model, whose collection is made with its first photos."""
        where = Address.parse(address)
        collection = Collection.connect(where, os.environ.get(TOKEN, ""))
        if collection.exists():
            manifest = remote_manifest.read(collection)
            collection.load()
            atlas = cls(collection, manifest)
            if model is not None:
                atlas._take(model)
            return atlas
        if not create:
            raise AtlasError(
                f"There is no atlas {where.collection} at {where.uri}; make one with `sameplace index PHOTOS --to {where.text}`, "
                f"or check the name."
            )
        where.plan(collection.version)  # what cannot be built is said before anything is described
        describer, named = of_a_new_atlas(model)
        return cls(collection, Manifest(generation=0, model=named, frame=None), describer)

    def close(self) -> None:
        """Give the server, or the file, back."""
        self._collection.close()

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
        """Bring the atlas up to date with photos, as `Atlas.add` does."""
        options = Options(commit_every=commit_every, prune=prune, verify=verify, workers=workers, cache=cache, progress=progress)
        start = time.perf_counter()
        images = image_set(photos, positions)
        update = RemoteUpdate(self._collection, self._snapshot.manifest, images, self._describer, self._source, options)
        try:
            update.run()
        finally:
            self._snapshot = self._now(update.manifest)
        return update.changes(time.perf_counter() - start)

    def remove(self, paths: str | Path | Sequence[str | Path]) -> int:
        """Forget photos by path, or all below a folder; returns how many. Where one path is unknown, nothing is removed."""
        wanted = [str(absolute(path)) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        keys: set[str] = set()
        for path in wanted:
            found = {one["id"] for one in self._collection.of([key(path)], ("id",))} if self._snapshot.manifest.segments else set()
            if not found and self._snapshot.manifest.segments:
                folder = below(os.path.join(path, ""))  # noqa: PTH118
                found = {one["id"] for page in self._collection.matching(folder, ("id",)) for one in page}
            if not found:
                raise AtlasError(f"The atlas {self.path} has no photo at or below {path}; nothing was removed, check the path.")
            keys |= found
        self._collection.remove(sorted(keys))
        if len(self):
            learn(self._collection, self._snapshot.manifest, changed=len(keys))
        self._snapshot = self._now(self._snapshot.manifest)
        return len(keys)

    def positions(self) -> Positions:
        """Where the photos of the atlas were taken; all of them come here."""
        frame, columns = self.frame or EARTH, ("lat", "lon", "x_m", "y_m")
        pages = self._collection.matching('id >= ""', columns) if self._snapshot.manifest.segments else ()
        coordinates = [positions_of(page, frame).coordinates for page in pages]
        return Positions(frame, np.concatenate([np.empty((0, 2)), *coordinates]))

    def summary(self) -> dict[str, Any]:
        """What the atlas holds and how it is kept, as plain values."""
        return summary(self._snapshot, self._collection)

    @property
    def path(self) -> str:
        """The address."""
        return self._collection.address.text

    def _now(self, manifest: Manifest) -> Snapshot:
        """The atlas as it is from now on, with what it has learnt of itself."""
        learnt = Learnt.read(self._collection) if manifest.segments else None
        return RemoteSnapshot(
            folder=Path(),
            manifest=replace(manifest, impostors=learnt.impostors if learnt else None),
            segments=(),
            present=None,
            files=None,
            calibration=learnt.calibration if learnt else None,
            collection=self._collection if manifest.segments else None,
            called=self._collection.address.text,
        )
