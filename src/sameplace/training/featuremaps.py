"""The maps of the frozen layers, computed once and kept on disk: an epoch then costs no more than the layers that learn."""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
import PIL
import torch
from filelock import FileLock
from torch import Tensor

from sameplace.errors import ImageError, TrainingError
from sameplace.images import Problem, View
from sameplace.shapes import Array, Float, Float16, Int64, UInt8
from sameplace.training.augmentation import NONE, Augmentation
from sameplace.training.inputs import Pixels, Source, helper
from sameplace.training.learner import Learner, Precision

FORMAT_VERSION = 1
SECONDS_BETWEEN_RECORDS = 10.0
"""What a kill costs at most, beside one batch."""


class FeatureMaps:
    """Inputs from frozen maps on disk: of each image as it is and of `views` altered variants, in half precision.

    A seed picks one of the variants; without any, an altered variant is made anew from the image, through the frozen layers. Make
    them with `build`.
    """

    def __init__(self, path: Path, record: "_Record", pixels: Pixels, views: int) -> None:
        self.path = path
        self.pixels = pixels
        self.views = views
        self._record = record

    @classmethod
    def build(
        cls,
        sources: Sequence[Source],
        learner: Learner,
        *,
        folder: str | Path,
        augmentation: Augmentation = NONE,
        views: int = 0,
        precision: Precision = "float32",
        seed: int = 0,
        batch: int = 16,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> "FeatureMaps":
        """The maps of these images in the folder, computed as far as they are not there yet.

        They are known by the frozen weights, the size, the alterations and each file's path, size and time. A build that was killed
        goes on where it was; a second process waits for the first. An image that cannot be read is left out: see `unreadable`.
        """
        if learner.frozen is None:
            raise TrainingError(
                "Maps can be kept only of layers that do not learn, and all do; freeze some, or keep none (cache_maps)."
            )
        pixels = Pixels(sources, learner, augmentation=augmentation, precision=precision, workers=workers)
        path = Path(folder) / f"{_key(pixels, views, seed)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            group = max(1, batch // (1 + views))
            work = _Build(path=path, pixels=pixels, views=views, seed=seed, group=group, progress=progress)
            record = work.finished()
        return cls(path, record, pixels, views)

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, rows: Int64[Array, " batch"], seeds: Int64[Array, " batch"] | None = None) -> Float[Tensor, "batch ..."]:
        """The maps of the images, or of an altered variant of each."""
        for row in rows.tolist():
            if row in self._record.problems:
                raise ImageError(self._record.problems[row])
        if seeds is not None and self.views == 0:
            return self.pixels.load(rows, seeds)
        variants = np.zeros_like(rows) if seeds is None else np.where(seeds < 0, 0, 1 + seeds % self.views)
        # The map is dropped at once: what stays mapped counts as this process's memory as long as it runs.
        maps = torch.from_numpy(np.load(self.path, mmap_mode="r")[rows, variants])
        dtype: torch.dtype = getattr(torch, self.pixels.precision)
        return maps.to(self.pixels.learner.device).to(dtype)

    def unreadable(self) -> Mapping[int, Problem]:
        """The rows whose images could not be read, and why."""
        return {row: Problem(path=str(self.pixels.sources[row]), reason=reason) for row, reason in self._record.problems.items()}


@dataclass(frozen=True, kw_only=True)
class _Record:
    """How far a file of maps has come; it lies beside it."""

    done: int
    """Images whose maps are safely on disk."""
    shape: tuple[int, ...]
    """Of the map of one image."""
    problems: Mapping[int, str]
    """Images that could not be read, whose maps are zeros, and why."""

    @classmethod
    def read(cls, path: Path) -> "_Record | None":
        """The record; None where none can be read: then the maps are computed."""
        try:
            facts = json.loads(path.read_text())
            problems = {int(row): str(reason) for row, reason in facts["problems"].items()}
            return cls(done=int(facts["done"]), shape=tuple(facts["shape"]), problems=problems)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Replace the record in one step."""
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        with unfinished.open("w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Build:
    """The computation of the maps of a list of images, in the order of the file."""

    path: Path
    pixels: Pixels
    views: int
    seed: int
    group: int
    """Images that go through the network at once, with their variants."""
    progress: Callable[[int, int], None] | None

    def finished(self) -> _Record:
        """The record once all maps are there; computes what is missing."""
        record = self._found() or self._begun()
        if record.done == len(self.pixels):
            return record
        recorded = time.monotonic()
        with self.path.open("r+b") as file:
            file.seek(self._bytes(record))
            file.truncate()
            for maps, problems in self._computed(record):
                file.write(maps.tobytes())
                record = replace(record, done=record.done + len(maps), problems={**record.problems, **problems})
                if record.done == len(self.pixels) or time.monotonic() - recorded > SECONDS_BETWEEN_RECORDS:
                    file.flush()
                    os.fsync(file.fileno())
                    record.write(self.path.with_suffix(".json"))
                    recorded = time.monotonic()
                if self.progress is not None:
                    self.progress(record.done, len(self.pixels))
        return record

    def _found(self) -> _Record | None:
        """How far an earlier build has come, if what it recorded is there."""
        record = _Record.read(self.path.with_suffix(".json"))
        there = self.path.stat().st_size if self.path.exists() else -1
        return record if record is not None and there >= self._bytes(record) else None

    def _begun(self) -> _Record:
        """A file without maps; its header says already how many there will be."""
        trial = self.pixels.through(np.zeros((1, *self.pixels.learner.size, 3), np.uint8))
        record = _Record(done=0, shape=tuple(trial.shape[1:]), problems={})
        self.path.write_bytes(self._header(record))
        return record

    def _header(self, record: _Record) -> bytes:
        shape = (len(self.pixels), 1 + self.views, *record.shape)
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f2", "fortran_order": False, "shape": shape})
        return header.getvalue()

    def _bytes(self, record: _Record) -> int:
        """Bytes of the file up to the last map that is recorded."""
        return len(self._header(record)) + 2 * record.done * (1 + self.views) * prod(record.shape)

    def _computed(self, record: _Record) -> Iterator[tuple[Float16[Array, "group variants *map"], dict[int, str]]]:
        """The maps that are missing, group by group, and which images could not be read; the next ones are decoded meanwhile."""
        groups = [
            range(first, min(first + self.group, len(self.pixels))) for first in range(record.done, len(self.pixels), self.group)
        ]
        with helper("groups") as reader:
            waiting = deque([reader.submit(self._decoded, groups[0])])
            for number in range(len(groups)):
                images, problems = waiting.popleft().result()
                if number + 1 < len(groups):
                    waiting.append(reader.submit(self._decoded, groups[number + 1]))
                maps = self.pixels.through(images.reshape(-1, *images.shape[2:])).half().cpu().numpy()
                if not np.isfinite(maps).all():
                    raise TrainingError(
                        "The frozen layers give numbers that half precision cannot hold; keep no maps (cache_maps=False), or let "
                        "learning start at another layer."
                    )
                yield maps.reshape(*images.shape[:2], *record.shape), problems

    def _decoded(self, rows: range) -> tuple[UInt8[Array, "group variants height width 3"], dict[int, str]]:
        """The variants of some images; zeros for those that cannot be read."""
        seeds = [self.seed * self.views + view for view in range(self.views)]
        problems = {}
        images = np.zeros((len(rows), 1 + self.views, *self.pixels.learner.size, 3), np.uint8)
        for place, variants in enumerate(self.pixels.variants(rows, seeds)):
            if isinstance(variants, ImageError):
                problems[rows[place]] = str(variants)
            else:
                images[place] = variants
        return images, problems


def _key(pixels: Pixels, views: int, seed: int) -> str:
    """32 hexadecimal digits that stand for all that the maps depend on."""
    frozen = pixels.learner.frozen
    assert frozen is not None
    said = {
        "format_version": FORMAT_VERSION,
        "layers": str(frozen),
        "size": list(pixels.learner.size),
        "precision": pixels.precision,
        "augmentation": asdict(pixels.augmentation) if views else None,
        "views": views,
        "seed": seed if views else None,
        "pillow": PIL.__version__,
    }
    digest = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16)
    for name, tensor in (*frozen.named_parameters(), *frozen.named_buffers()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    for source in pixels.sources:
        digest.update(repr(_stamp(source)).encode())
    return digest.hexdigest()


def _stamp(source: Source) -> tuple[str, int, int, str]:
    """What tells a file, and the part of it that is shown, from another; a file that is missing is told when it is read."""
    path = os.path.abspath(source.path if isinstance(source, View) else source)  # noqa: PTH100  (Path.absolute is slow)
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return path, -1, -1, ""
    return path, status.st_size, status.st_mtime_ns, repr((source.box, source.turns)) if isinstance(source, View) else ""
