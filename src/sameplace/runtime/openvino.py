"""Describing images with an exported model on OpenVINO, the quickest way on a CPU: int8, or bfloat16 where the machine has it."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sameplace.errors import MissingExtra, ModelError
from sameplace.modelfile import AGREEMENT_WANTED, GRAPH_ABOUT, GRAPH_IDENTITY, GRAPH_WEIGHTS_START, About, Agreement
from sameplace.runtime.compiled import Compiled
from sameplace.runtime.cuts import beginnings, cut, parts
from sameplace.runtime.graph import about, check_size, graph_of
from sameplace.runtime.ranges import Ranges, ranges_file, with_int8
from sameplace.shapes import Array, Float32, UInt8
from sameplace.threads import usable_cores

FIRST_OF_ALL = Lock()
"""Held while OpenVINO learns numpy's types: it locks up for good where two threads are the first to hand it an array."""
AT_ONCE = 4
"""Images in one request, and one where fewer are left: every request has a shape that the network is compiled for."""
AT_ONCE_INT8, SMALL = 16, 16 * 224 * 224
"""Images in one int8 request, where they have so few pixels: its arithmetic is so quick that reading the weights counts."""
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
# Where OpenVINO keeps what an ONNX graph says of itself, and where we put it in OpenVINO's own format.
FROM_ONNX = "framework"
ABOUT_IN_IR = GRAPH_ABOUT.split(".")

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "int8"]


class OpenVINODescriber:
    """An exported model on the CPU, one single-threaded network a core: a `Describer`.

    `model` is a .safetensors file with its graph beside it, a self-contained .onnx file, or an .xml file with its .bin. "auto"
    computes the trunk in int8 where the ranges of its maps lie beside the model, else in bfloat16 where the processor has it; both
    only where it was measured that the descriptors agree with those in float32. Aggregation and whitening are always in float32.
    `cache` is a folder for compiled networks. `trial` is what to take for said instead of what the graph says, whose lower
    precision is then computed in whatever it costs: to measure that. Raises MissingExtra without OpenVINO, ModelError for what is
    no export, or for a precision whose stored agreement is too low.
    """

    runtime = "openvino"

    def __init__(
        self,
        model: str | Path,
        *,
        precision: Precision = "auto",
        threads: int | None = None,
        cache: Path | None = None,
        trial: About | None = None,
    ) -> None:
        try:
            import openvino
        except ImportError as missing:
            raise MissingExtra("Describing with OpenVINO", "fast") from missing
        with FIRST_OF_ALL:
            openvino.Type.u8.to_dtype()
        self._core = openvino.Core()
        self._graph = graph_of(Path(model))
        network = self._read()
        self.about = trial or about(Path(model), _said(network))
        self._ranges = None if trial else self._said_by_ranges(Path(model))
        self.name, self.identity, self.size = self.about.name, self.about.identity, self.about.size
        self.dim = int(network.output(0).get_partial_shape()[1].get_length())
        has_bfloat16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        lower = "int8" if self.about.precision == "int8" else "bfloat16"
        self.precision = lower if trial else chosen_precision(self.about, precision, has_bfloat16)
        self._parts = parts(self.about, self.precision)
        many = self.precision == "int8" and AT_ONCE_INT8 * self.size[0] * self.size[1] <= SMALL
        self._at_once = (*([AT_ONCE_INT8] if many else []), AT_ONCE, 1)
        self._threads = threads or usable_cores()
        self._kept = None if cache is None else Compiled(self._graph, self.precision, cache)
        self._lock = Lock()
        self._networks: dict[int, list[Any]] = {}
        self._idle: dict[int, list[list[Any]]] = {}

    @property
    def agreement(self) -> float:
        """The cosine, at the 5th percentile of photos, with the descriptors in float32."""
        return 1.0 if self.precision == "float32" else self.about.agreement[self.precision].cosine

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images of the model's size, each of unit length."""
        check_size(self.name, self.size, images)
        images = np.ascontiguousarray(images)
        descriptors = np.empty((len(images), self.dim), np.float32)
        spans = list(spans_of(len(images), self._threads, self._at_once))

        def fill(span: slice) -> None:
            descriptors[span] = self._computed(images[span])

        if self._threads == 1 or len(spans) < 2:
            for span in spans:
                fill(span)
        else:
            for count in {span.stop - span.start for span in spans}:
                self._compiled(count)  # by one thread, not by all at the same time
            with ThreadPoolExecutor(self._threads, thread_name_prefix="network") as pool:
                list(pool.map(fill, spans))
        return descriptors

    def network(self) -> Any:
        """The whole network as it is computed, before it is cut into parts of one precision."""
        network = self._read()
        return with_int8(network, self._ranges) if self._ranges is not None and self.precision == "int8" else network

    def beginnings(self, count: int) -> list[str]:
        """Tensors after ever longer beginnings of the trunk, where its precision can change."""
        return beginnings(self._read(), self.about.features, count)

    def _computed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One request through all parts."""
        networks = self._compiled(len(images))
        with self._lock:
            idle = self._idle[len(images)]
            requests = idle.pop() if idle else [network.create_infer_request() for network in networks]
        given: list[NDArray[Any]] = [images]
        for request in requests:
            # A part after the first takes what the part before it gives, and the images, whose number it may ask for.
            (found,) = request.infer(given, share_inputs=True, share_outputs=True).values()
            given = [found, images]
        descriptors = np.array(found)
        with self._lock:
            self._idle[len(images)].append(requests)
        return descriptors

    def _compiled(self, count: int) -> list[Any]:
        """The parts, compiled for requests of so many images; for single images they are kept on disk, for a quick start."""
        with self._lock:
            if count not in self._networks:
                kept = self._kept if count == 1 else None
                self._networks[count] = self._from_disk(kept) or self._fresh(count, kept)
                self._idle[count] = []
            return self._networks[count]

    def _from_disk(self, kept: Compiled | None) -> list[Any] | None:
        networks = []
        for number, (_, precision) in enumerate(self._parts if kept is not None else ()):
            content = kept.read(number) if kept is not None else None
            if content is None:
                return None
            try:
                networks.append(self._core.import_model(content, "CPU", self._settings(precision)))
            except RuntimeError:  # of another release or machine after all
                return None
        return networks or None

    def _fresh(self, count: int, kept: Compiled | None) -> list[Any]:
        network = self.network()
        network.reshape([count, *self.size, 3])
        networks = []
        for number, (part, precision) in enumerate(cut(network, self._parts)):
            networks.append(self._core.compile_model(part, "CPU", self._settings(precision)))
            if kept is not None:
                kept.write(number, networks[-1].export_model().getvalue())
        return networks

    def _said_by_ranges(self, model: Path) -> Mapping[str, tuple[float, float]] | None:
        """The ranges beside the model, with the agreement that was measured; ModelError where they belong to another model."""
        found = Ranges.beside(model)
        if found is None:
            return None
        if found.identity != self.about.identity:
            raise ModelError(f"{ranges_file(model)} was made from another model than {model.name}; remove it, or make it anew.")
        self.about = replace(self.about, agreement={**self.about.agreement, "int8": found.agreement})
        return found.ranges

    def _settings(self, precision: str) -> dict[str, Any]:
        return {"INFERENCE_NUM_THREADS": self._threads, "NUM_STREAMS": self._threads, "INFERENCE_PRECISION_HINT": HINTS[precision]}

    def _read(self) -> Any:
        try:
            return self._core.read_model(str(self._graph))
        except RuntimeError as failure:
            reason = next(iter(str(failure).strip().splitlines()[::-1]), "")
            raise ModelError(f"OpenVINO cannot read {self._graph}; get the file again, or export it anew. ({reason})") from failure


def chosen_precision(said: About, wanted: Precision, has_bfloat16: bool) -> str:
    """The precision to compute in; ModelError where the one that is wanted cannot be had or costs too much."""
    if said.precision != "float32":  # the trunk was made for it
        if wanted not in ("auto", said.precision):
            raise ModelError(f"{said.name} was exported in {said.precision}, not {wanted}; give the model that it was made from.")
        wanted = "int8"
    passed = [lower for lower, measured in said.agreement.items() if measured.passed]
    if wanted == "auto":
        return "int8" if "int8" in passed else "bfloat16" if "bfloat16" in passed and has_bfloat16 else "float32"
    measured = said.agreement.get(wanted)
    if wanted == "int8" and said.precision != "int8" and measured is None:
        raise ModelError(f"{said.name} has no int8 weights; make them with `sameplace export {said.name} --to openvino --int8`.")
    if wanted != "float32" and wanted not in passed:
        raise ModelError(
            f"{said.name} was to be computed in {wanted}, whose descriptors must agree with those in float32 by a cosine of "
            f"{AGREEMENT_WANTED} at the 5th percentile, but {_measured(measured)}; compute it in float32, or export it anew."
        )
    return wanted


def _measured(agreement: Agreement | None) -> str:
    return "that was never measured" if agreement is None else f"only {agreement.cosine:.4f} was measured"


def _said(network: Any) -> dict[str, str]:
    """What a graph says of itself, whatever its format."""
    keys = (GRAPH_IDENTITY, GRAPH_WEIGHTS_START, GRAPH_ABOUT)
    said = {key: str(network.get_rt_info([FROM_ONNX, key]).value) for key in keys if network.has_rt_info([FROM_ONNX, key])}
    if network.has_rt_info(ABOUT_IN_IR):
        said[GRAPH_ABOUT] = str(network.get_rt_info(ABOUT_IN_IR).value)
    return said


def spans_of(count: int, threads: int, at_once: Sequence[int]) -> Iterator[slice]:
    """Requests of the most images, as long as every core has one, then of fewer, and in the end of single ones.

    >>> [span.stop - span.start for span in spans_of(22, threads=1, at_once=(16, 4, 1))]
    [16, 4, 1, 1]
    """
    first = 0
    for size in at_once:
        left = count - first
        last = first + (left // size * size if size == 1 or left >= size * threads else 0)
        yield from (slice(start, start + size) for start in range(first, last, size))
        first = last
