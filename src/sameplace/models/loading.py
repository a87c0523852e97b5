"""From a model file to the runtime that computes it: the quickest one for the job, without torch where there is a graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sameplace.describer import Describer
from sameplace.errors import MissingExtra, ModelError
from sameplace.models.catalogue import DEFAULT_MODEL, find, published

AGGREGATIONS = ("max", "average", "vlad-raw")
FEW = 64
"""Photos for which the runtime that starts quickest is done first."""
SOME = 8
"""Photos for which OpenVINO is done first where the network need not be compiled."""
INT8 = ".int8.xml"
"""The end of the name of a model's int8 export, where it lies beside the model."""

OnOnnx: TypeAlias = Literal["onnxruntime", "onnxruntime-cuda", "onnxruntime-coreml"]
Runtime: TypeAlias = Literal["auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-coreml", "openvino", "torch"]


DEVICES: Mapping[OnOnnx, Literal["cpu", "cuda", "coreml"]] = {
    "onnxruntime": "cpu",
    "onnxruntime-cuda": "cuda",
    "onnxruntime-coreml": "coreml",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which runtime describes, from which file, and why."""

    runtime: OnOnnx | Literal["openvino", "torch"]
    file: Path
    why: str


def baselines() -> dict[str, str]:
    """The baselines on the trunks of the untrained published models, each with the model that it takes its trunk from.

    >>> baselines()["vgg16-max"]
    'vgg16-vlad'
    """
    trunks = {model.name.removesuffix("-vlad"): model.name for model in published() if model.name.endswith("-vlad")}
    return {f"{trunk}-{aggregation}": model for trunk, model in trunks.items() for aggregation in AGGREGATIONS}


def describer(
    name_or_file: str | Path = DEFAULT_MODEL,
    *,
    runtime: Runtime = "auto",
    threads: int | None = None,
    photos: int | None = None,
) -> Describer:
    """A published model or a baseline by name, or any model file or export of one, ready to describe images.

    "auto" takes the quickest runtime that is installed, for the `photos` that are to be described; few if not given. `choose` tells
    which one that is, and why. `threads` is for ONNX Runtime and OpenVINO; all usable cores by default. Raises ModelError where
    there is no such model, MissingExtra where the runtime is not installed.
    """
    name = str(name_or_file)
    if (origin := baselines().get(name)) is not None:
        if runtime not in ("auto", "torch"):
            raise ModelError(f"The baseline {name} has no graph for {runtime}; let torch compute it.")
        aggregation = next(kind for kind in AGGREGATIONS if name.endswith(f"-{kind}"))
        made: Describer = _network("baselines", f"The baseline {name}").baseline(find(origin), aggregation, name)
        return made
    model = find(name_or_file)
    choice = choose(model, runtime=runtime, photos=photos)
    if choice.runtime == "openvino":
        return _on_openvino(model, choice.file, threads)
    if choice.runtime != "torch":
        from sameplace.runtime.onnx import OnnxDescriber

        return OnnxDescriber(choice.file, threads=threads, device=DEVICES[choice.runtime])
    encoder = _network("encoder", f"The model {model.name}, which has no ONNX graph beside it,")
    loaded: Describer = encoder.Encoder.load(model)
    return loaded


def choose(name_or_file: str | Path, *, runtime: Runtime = "auto", photos: int | None = None) -> Choice:
    """Which runtime describes so many photos soonest, and why; nothing is loaded for it. ModelError where none can."""
    model = find(name_or_file)
    if runtime == "torch":
        if model.suffix != ".safetensors":
            raise ModelError(f"{model.name} is an export, and torch needs the model that it was made from; give that.")
        return Choice(runtime="torch", file=model, why="as asked")
    quantised = model.with_suffix(INT8)
    on_openvino = quantised if model.suffix == ".safetensors" and quantised.is_file() else model
    if runtime == "openvino":
        return Choice(runtime="openvino", file=on_openvino, why="as asked")
    if model.suffix == ".xml":
        if runtime != "auto":
            raise ModelError(f"{model.name} is for OpenVINO; export the model with --to onnx for ONNX Runtime.")
        return Choice(runtime="openvino", file=model, why="the file is in OpenVINO's format")
    if runtime != "auto":
        return Choice(runtime=runtime, file=model, why="as asked")
    if not (model.suffix == ".onnx" or model.with_suffix(".onnx").is_file()):
        return Choice(runtime="torch", file=model, why="the model has no graph beside it")
    return _quickest(model, on_openvino, photos or 0)


def _quickest(model: Path, on_openvino: Path, photos: int) -> Choice:
    """Between the runtimes that need no torch."""
    if photos >= FEW:
        from sameplace.runtime.onnx import starts

        if starts("cuda"):
            return Choice(runtime="onnxruntime-cuda", file=model, why="on the CUDA device, the quickest for many photos")
    if find_spec("openvino") is None:
        why = "the quickest that is installed; OpenVINO is quicker for many photos: pip install 'sameplace[fast]'"
        return Choice(runtime="onnxruntime", file=model, why=why)
    if photos >= FEW:
        return Choice(runtime="openvino", file=on_openvino, why="the quickest for many photos")
    if photos >= SOME and _compiled_before(on_openvino):
        return Choice(runtime="openvino", file=on_openvino, why="compiled before, and the quickest then")
    return Choice(runtime="onnxruntime", file=model, why="the quickest to start, for few photos")


def _compiled_before(model: Path) -> bool:
    from sameplace.runtime.compiled import Compiled, cache_folder
    from sameplace.runtime.graph import graph_of

    return any(Compiled(graph_of(model), precision, cache_folder()).kept() for precision in ("int8", "bfloat16", "float32"))


def _on_openvino(model: Path, file: Path, threads: int | None) -> Describer:
    """The model itself, or its int8 export, which must have been made from these very weights."""
    from sameplace.modelfile import read_header
    from sameplace.runtime.compiled import cache_folder
    from sameplace.runtime.openvino import OpenVINODescriber

    loaded = OpenVINODescriber(file, threads=threads, cache=cache_folder())
    if file != model and loaded.identity != read_header(model)["identity"]:
        raise ModelError(f"{file.name} was made from another model than {model.name}; remove it, or make it anew.")
    return loaded


def _network(module: str, purpose: str) -> Any:
    """The one way from here to torch: by name, so that sameplace works where torch is not installed."""
    try:
        return import_module(f"sameplace.network.{module}")
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingExtra(purpose, "train") from missing
