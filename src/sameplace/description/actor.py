"""What runs on the machines of a Ray cluster: a model, unpacked once, that describes the batches it is given."""

import hashlib
import os
import pickle
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sameplace._version import __version__
from sameplace.describer import Describer
from sameplace.description.batches import Described, describe
from sameplace.errors import SameplaceError
from sameplace.images import View
from sameplace.runtime.compiled import cache_folder

COMPANIONS = (".safetensors", ".onnx", ".xml", ".bin", ".json")


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A model on its way to other machines: itself where it can be pickled, else the files that it was made from."""

    pickled: bytes = b""
    files: Mapping[str, bytes]
    main: str = ""
    runtime: str = ""

    @classmethod
    def of(cls, describer: Describer, source: str) -> "Parcel":
        """Pack a model, which came from a published name or a file."""
        try:
            return cls(pickled=import_module("ray.cloudpickle").dumps(describer), files={})
        except (TypeError, pickle.PicklingError, ValueError):
            from sameplace import models

            main = models.find(source)
        files = {
            path.name: path.read_bytes()
            for path in sorted(main.parent.iterdir())
            if path.name.startswith(f"{main.stem}.") and path.suffix in COMPANIONS
        }
        return cls(files=files, main=main.name, runtime=describer.runtime)

    def open(self, *, on_gpu: bool) -> Describer:
        """The model, ready on this machine; on its GPU it is torch that computes it."""
        model: Any
        if self.pickled:
            model = pickle.loads(self.pickled)
        else:
            from sameplace import models

            runtime: Any = "torch" if on_gpu else self.runtime
            model = models.describer(self._unpacked() / self.main, runtime=runtime)
        if on_gpu and hasattr(model, "to"):
            model = model.to("cuda")
        opened: Describer = model
        return opened

    def _unpacked(self) -> Path:
        """The files on this machine, where all actors and later runs find them again: some runtimes read them bit by bit."""
        digest = hashlib.blake2b(digest_size=16)
        for name, content in self.files.items():
            digest.update(name.encode() + hashlib.blake2b(content).digest())
        folder = cache_folder() / "models" / digest.hexdigest()
        if folder.is_dir():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(mkdtemp(dir=folder.parent))
        for name, content in self.files.items():
            (new / name).write_bytes(content)
        try:
            new.rename(folder)  # whole or not at all, though several actors do it at the same time
        except OSError:
            shutil.rmtree(new)
            if not folder.is_dir():
                raise
        return folder


@dataclass(frozen=True, kw_only=True)
class Introduction:
    """What an actor says of itself before it is given work."""

    version: str
    identity: str
    precision: str
    runtime: str
    machine: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Work:
    """A batch that is done."""

    described: Described
    """Rows count from the start of the batch."""
    not_here: tuple[str, ...]
    """Files that this machine does not see."""


class Actor:
    """A process on some machine of the cluster."""

    def __init__(self, parcel: Parcel, cores: int, on_gpu: bool) -> None:
        os.environ["SAMEPLACE_THREADS"] = str(cores)  # as many as Ray has set aside for it, not all of the machine's
        self._describer = parcel.open(on_gpu=on_gpu)

    def introduce(self) -> Introduction:
        """Say what it computes with."""
        return Introduction(
            version=__version__,
            identity=self._describer.identity,
            precision=self._describer.precision,
            runtime=self._describer.runtime,
            machine=socket.gethostname(),
        )

    def describe(self, sources: Sequence[str | bytes | View]) -> Work:
        """Describe one batch."""
        (described,) = describe(sources, self._describer, batch=len(sources))
        paths = [str(source.path if isinstance(source, View) else source) for source in sources if not isinstance(source, bytes)]
        failed = {problem.path for problem in described.failures}
        not_here = tuple(path for path in paths if path in failed and not os.path.lexists(path)) if failed else ()
        return Work(described=described, not_here=not_here)


def check(introduction: Introduction, describer: Describer) -> None:
    """SameplaceError where an actor would describe otherwise than the model here."""
    wanted = (__version__, describer.identity, describer.precision)
    if (introduction.version, introduction.identity, introduction.precision) != wanted:
        raise SameplaceError(
            f"The Ray worker on {introduction.machine} would describe with sameplace {introduction.version} in "
            f"{introduction.precision} ({introduction.identity[:12]}), and {__version__} in {describer.precision} "
            f"({describer.identity[:12]}) was wanted; install the same sameplace on all machines, and "
            f"choose a --runtime that all of them have."
        )
