"""Checkpoints: all that a training needs to go on as if it had never stopped, kept so that a kill or a power cut loses none."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sameplace.atlas.disk import NewFile, replace, sync_folder
from sameplace.errors import TrainingError
from sameplace.training.run import CHECKPOINT

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Tensors, and facts that JSON can tell."""

    number: int
    """The first has 1."""
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Make a checkpoint the one that `load` reads.

    The tensors are written to a new file, and then checkpoint.json, which names it, is replaced: at any moment one whole
    checkpoint is there.
    """
    name = f"checkpoint-{checkpoint.number:06d}.safetensors"
    content = to_safetensors({key: tensor.detach().cpu().contiguous() for key, tensor in checkpoint.tensors.items()})
    facts = {"format_version": FORMAT_VERSION, "number": checkpoint.number, "tensors": name, **checkpoint.facts}
    try:
        _write(folder / name, content)
        write_json(folder / CHECKPOINT, facts)
    except OSError as error:
        raise _told(error, folder) from error
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def load(folder: Path) -> Checkpoint | None:
    """The last checkpoint of a run; None where there is none yet, TrainingError where it is damaged."""
    if not (folder / CHECKPOINT).is_file():
        return None
    try:
        facts = json.loads((folder / CHECKPOINT).read_text("utf-8"))
        if facts["format_version"] != FORMAT_VERSION:
            raise TrainingError(
                f"The checkpoint of {folder} has format {facts['format_version']}, {FORMAT_VERSION} was wanted; go on with the "
                f"sameplace that wrote it, or train again into a new folder."
            )
        return Checkpoint(number=facts["number"], tensors=load_file(folder / facts["tensors"]), facts=facts)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(f"The checkpoint of {folder} cannot be read ({error}); train again into a new folder.") from error


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write plain values: the file is replaced whole and durably, or not at all."""
    unfinished = path.with_name(f".{path.name}.new")
    _write(unfinished, (json.dumps(facts, indent=2, allow_nan=False) + "\n").encode())
    replace(unfinished, path)
    sync_folder(path.parent)


def _write(path: Path, content: bytes) -> None:
    """Write a new file durably, over what a kill may have left of it."""
    path.unlink(missing_ok=True)
    with NewFile(path) as file:
        file.write(content)


def _told(error: OSError, folder: Path) -> TrainingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingError(f"The disk of {folder} is full; the last checkpoint is safe: free some space and train on.")
    return TrainingError(
        f"A checkpoint in {folder} could not be written ({error.strerror or error}); the last one is safe: look after the disk and "
        f"train on."
    )
