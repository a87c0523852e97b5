"""Descriptors of the moment, on disk in half precision: mining and whitening read the rows they need and never hold all."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sameplace.errors import TrainingError
from sameplace.network.whitening import PCAWhitening
from sameplace.shapes import Array, Float16, Float32, Int64
from sameplace.training.inputs import Inputs, ahead
from sameplace.training.learner import Learner, Precision, arithmetic

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Descriptors:
    """Descriptors of some rows of a list of images, in one .npy file or several; a file is opened for as long as it is read."""

    parts: tuple[tuple[Path, Int64[Array, " _rows"]], ...]
    """Files, and the rows of images that they hold, ascending."""

    @classmethod
    def open(cls, path: Path, rows: Int64[Array, " rows"]) -> "Descriptors":
        """The descriptors of these images that `described` has written; TrainingError where the file is another one."""
        try:
            shape = _mapped(path).shape
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"Descriptors were wanted in {path}, but it cannot be read ({error}); describe them again."
            ) from error
        if len(shape) != 2 or shape[0] != len(rows):
            raise TrainingError(
                f"{path} was to hold descriptors of {len(rows)} images, but its shape is {shape}; describe them again."
            )
        return cls(parts=((path, rows),))

    @classmethod
    def joined(cls, *descriptors: "Descriptors") -> "Descriptors":
        """Descriptors in several files, of different rows, as one."""
        return cls(parts=tuple(part for some in descriptors for part in some.parts))

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    @property
    def dim(self) -> int:
        """Numbers in a descriptor."""
        return int(_mapped(self.parts[0][0]).shape[1])

    @property
    def rows(self) -> Int64[Array, " rows"]:
        """The rows of images that are described, ascending."""
        return np.sort(np.concatenate([rows for _, rows in self.parts]))

    def of(self, rows: Int64[Array, " wanted"]) -> Float32[Array, "wanted descriptor"]:
        """The descriptors of rows of images, in their order; an image may be asked for twice."""
        return self._half(rows).float().numpy()

    def tensor(self) -> Tensor:
        """All of one file, memory-mapped: reading a part of it reads that part of the file. Changes stay in memory."""
        if len(self.parts) != 1:
            raise ValueError(f"Descriptors in one file were wanted, these are in {len(self.parts)}; describe them into one.")
        return torch.from_numpy(np.load(self.parts[0][0], mmap_mode="c"))

    def _half(self, rows: Int64[Array, " wanted"]) -> Tensor:
        """The descriptors of rows, in half precision as they lie on disk."""
        found = torch.empty(len(rows), self.dim, dtype=torch.float16)
        known = np.zeros(len(rows), bool)
        for path, held in self.parts:
            place = np.minimum(np.searchsorted(held, rows), len(held) - 1)
            here = held[place] == rows if len(held) else np.zeros(len(rows), bool)
            # The map is dropped at once: what stays mapped counts as this process's memory as long as it runs.
            found.numpy()[here] = _mapped(path)[place[here]]
            known |= here
        if not known.all():
            raise ValueError(f"Image {rows[~known][0]} was not described; describe the rows that are asked for.")
        return found


def described(
    learner: Learner,
    inputs: Inputs,
    rows: Int64[Array, " rows"],
    *,
    into: Path,
    seeds: Int64[Array, " rows"] | None = None,
    batch: int = 32,
    precision: Precision = "float32",
    whitening: PCAWhitening | None = None,
    progress: Progress | None = None,
) -> Descriptors:
    """Describe rows of images (ascending, each once), or altered variants of them, by the learner as it is now, into one .npy file.

    Through a whitening, if one is given. The file appears whole or not at all. Nothing is learnt; the learner is left in the mode
    it was in.
    """
    if (np.diff(rows) <= 0).any():
        raise ValueError("Ascending rows, each once, were wanted; give np.unique(rows).")
    made = descriptor_batches(learner, inputs, rows, seeds, batch=batch, precision=precision, whitening=whitening)
    write(into, len(rows), learner.dim if whitening is None else whitening.output_dim, made, progress)
    return Descriptors.open(into, rows)


def descriptor_batches(
    learner: Learner,
    inputs: Inputs,
    rows: Int64[Array, " rows"],
    seeds: Int64[Array, " rows"] | None = None,
    *,
    batch: int = 32,
    precision: Precision = "float32",
    whitening: PCAWhitening | None = None,
) -> Iterator[Float16[Array, "_batch descriptor"]]:
    """Descriptors of rows of images, in order."""
    starts = range(0, len(rows), batch)
    wanted = ((rows[at : at + batch], None if seeds is None else seeds[at : at + batch]) for at in starts)
    was_training = learner.training
    learner.eval()
    try:
        for maps in ahead(inputs, wanted):
            with torch.no_grad():
                with arithmetic(precision, learner.device):
                    made = learner(maps)
                if whitening is not None:
                    made = whitening(made.float())
            if not made.isfinite().all():
                raise TrainingError(
                    "The network gives descriptors that are no numbers: it has diverged; train with a lower learning rate."
                )
            yield made.half().cpu().numpy()
    finally:
        learner.train(was_training)


def write(
    path: Path,
    rows: int,
    dim: int,
    batches: Iterable[Float16[Array, "_batch descriptor"]],
    progress: Progress | None = None,
) -> None:
    """Write that many descriptors as one .npy file, which appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    done = 0
    try:
        with unfinished.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)})
            for part in batches:
                file.write(np.ascontiguousarray(part, dtype="<f2").tobytes())
                done += len(part)
                if progress is not None:
                    progress(done, rows)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _mapped(path: Path) -> Float16[Array, "rows descriptor"]:
    mapped: Float16[Array, "rows descriptor"] = np.load(path, mmap_mode="r")
    return mapped
