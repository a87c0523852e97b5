"""Bringing an atlas on Milvus up to date with photos: adding a photo twice is adding it once, whoever does it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sameplace.atlas.calibration import Calibration
from sameplace.atlas.impostors import SAMPLE, measure
from sameplace.atlas.leave_out import calibrate
from sameplace.atlas.manifest import Manifest, SegmentEntry
from sameplace.atlas.remote_columns import COLUMNS, TOLD, entry_of, key, row, sendable
from sameplace.atlas.remote_manifest import LEARNT, SAID, Learnt, said
from sameplace.atlas.remote_snapshot import in_memory
from sameplace.atlas.segment import Entry
from sameplace.atlas.update import UNCHANGED, Descriptors, Looked, Options, Update, outermost
from sameplace.describer import Describer
from sameplace.errors import AtlasError
from sameplace.images import ImageFile, ImageSet
from sameplace.search.milvus import DESCRIPTOR, Collection, Row, numbers, quoted

CONTENTS_AT_ONCE = 200
CALIBRATED_UP_TO = 20_000
"""Photos of which all come here so that the atlas learns how far to trust its answers; a larger one tells spreads."""


class RemoteUpdate(Update):
    """One run of `Atlas.add` on Milvus, without a lock: several may run at the same time, with different photos or the same."""

    def __init__(
        self,
        collection: Collection,
        manifest: Manifest,
        photos: ImageSet,
        describer: Callable[[], Describer],
        source: str,
        options: Options,
    ) -> None:
        """`manifest` is what the collection says of itself, or what it is to say once it is made with its first photos."""
        self._collection = collection
        self._manifest = manifest
        self._entries: list[Entry] = []
        self._prepare(photos, describer, source, options)

    @property
    def manifest(self) -> Manifest:
        """What the atlas says of itself by now."""
        return self._manifest

    @property
    def called(self) -> str:
        """What users call the atlas."""
        return self._collection.address.text

    def _known(self, path: str) -> Entry | None:
        number = self.standing.get(path)
        return None if number is None else self._entries[number]

    def _pending(self) -> list[ImageFile]:
        """The files that are not known to be unchanged; the server is asked for these files alone."""
        wanted = {key(file.path): file for file in self.photos.files}
        if not self._manifest.segments:
            return list(wanted.values())
        for found in self._collection.of(list(wanted), ("id", "about")):
            entry = entry_of(found)
            if entry.is_still(wanted[found["id"]]) and not self.options.verify:
                del wanted[found["id"]]
            else:
                self.standing[entry.path] = len(self._entries)
                self._entries.append(entry)
        return list(wanted.values())

    def _from_atlas(self, looked: Sequence[Looked]) -> Descriptors:
        """The descriptors of content that the atlas holds already, under the same or another path."""
        by_content: dict[str, NDArray[np.float16]] = {}
        runtimes: set[str] = set()
        wanted = sorted({one.entry.content for one in looked}) if self._manifest.segments else []
        for first in range(0, len(wanted), CONTENTS_AT_ONCE):
            listed = ", ".join(map(quoted, wanted[first : first + CONTENTS_AT_ONCE]))
            for found in self._collection.matching(f"content in [{listed}]", ("content", "runtime", DESCRIPTOR)):
                by_content.update(
                    zip((one["content"] for one in found), numbers(found, self._manifest.model.dim), strict=True),
                )
                runtimes |= {part for one in found for part in one["runtime"].split("+")}
        return Descriptors(by_content=by_content, runtimes=runtimes, precision=self._manifest.precision or "", moved_from={})

    def _commit(self, settled: Sequence[Looked], descriptors: Descriptors) -> None:
        """Make photos part of the atlas, in place of what stood at their path."""
        if not settled:
            return
        runtime = "+".join(sorted(descriptors.runtimes))
        if not self._manifest.segments:
            self._make(descriptors, settled[0].position.frame, runtime)
        self._collection.add(
            [row(one.entry, one.position, runtime) for one in settled],
            np.stack([descriptors.by_content[one.entry.content] for one in settled]),
        )
        for one in settled:
            known = self.standing.pop(one.entry.path, None) is not None
            self.updated += known
            self.added += not known

    def _make(self, descriptors: Descriptors, frame: str, runtime: str) -> None:
        """Make the collection, now that it is known what it holds."""
        model = descriptors.model or self._manifest.model
        segment = SegmentEntry(name="", rows=0, runtime=runtime, precision=descriptors.precision)
        self._manifest = replace(self._manifest, model=model, frame=frame, segments=(segment,))
        if self._collection.exists():
            raise AtlasError(f"The atlas {self.called} was made by somebody else just now; run the same command again.")
        self._collection.create(COLUMNS, model.dim, {SAID: said(self._manifest)})

    def _prune(self) -> None:
        """Drop photos whose files are gone from the indexed folder, or from the folder of a photo that is there."""
        self._refuse_to_prune_all()
        there = {file.path for file in self.photos.files}
        gone = []
        for start in outermost({str(self.photos.root), *(os.path.dirname(path) for path in there)}):  # noqa: PTH120
            for found in self._collection.matching(below(start), ("id", "about")) if self._manifest.segments else ():
                entries = [(one["id"], entry_of(one).path) for one in found]
                gone += [one for one, path in entries if path not in there and not os.path.lexists(path)]
        self._collection.remove(gone)
        self.removed = len(gone)

    def _finish(self) -> None:
        if self._manifest.segments:
            learn(self._collection, self._manifest, changed=self.added + self.updated + self.removed)


def learn(collection: Collection, manifest: Manifest, changed: int) -> None:
    """Learn what the atlas tells of itself, where so many photos have changed that it matters."""
    before = Learnt.read(collection)
    images = collection.count()
    changed += before.changed if before else 0
    if before is not None and changed * UNCHANGED <= images:
        if changed != before.changed:
            collection.say(**{LEARNT: replace(before, changed=changed).to_json()})
        return
    calibration: Calibration | None = None
    sample = in_memory(manifest, _sample(collection, images, min(images, CALIBRATED_UP_TO)))
    if images <= CALIBRATED_UP_TO:
        calibration = calibrate(sample)
    collection.say(**{LEARNT: Learnt(changed=0, impostors=measure(sample), calibration=calibration).to_json()})


def _sample(collection: Collection, images: int, count: int) -> list[Row]:
    """All photos of a small atlas, else about SAMPLE of them: keys are hashes, so the lowest are an even draw."""
    wanted = 'id >= ""' if count == images else f"id < {quoted(f'{SAMPLE * 16**8 // images:08x}')}"
    return [one for found in collection.matching(wanted, (*TOLD, DESCRIPTOR)) for one in found]


def below(start: str) -> str:
    """The photos whose paths start so, as a filter: a comparison, for a pattern would have letters of its own."""
    return f"path >= {quoted(sendable(start))} and path < {quoted(sendable(start[:-1] + chr(ord(start[-1]) + 1)))}"
