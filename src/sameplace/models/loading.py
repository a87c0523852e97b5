"""From a model file to the runtime that computes it: the graph beside it without torch, else the network in torch."""

from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from sameplace.describer import Describer
from sameplace.errors import MissingExtra, ModelError
from sameplace.models.catalogue import DEFAULT_MODEL, find, published

AGGREGATIONS = ("max", "average", "vlad-raw")


def baselines() -> dict[str, str]:
    """The baselines on the trunks of the published models, each with the model that it takes its trunk from.

    >>> baselines()["vgg16-max"]
    'vgg16-vlad'
    """
    trunks = {model.name.removesuffix("-vlad"): model.name for model in published()}
    return {f"{trunk}-{aggregation}": model for trunk, model in trunks.items() for aggregation in AGGREGATIONS}


def describer(
    name_or_file: str | Path = DEFAULT_MODEL,
    *,
    runtime: Literal["auto", "onnxruntime", "torch"] = "auto",
    threads: int | None = None,
) -> Describer:
    """A published model or a baseline by name, or any model file, ready to describe images.

    "auto" takes ONNX Runtime where the graph lies beside the model, else torch. `threads` is for ONNX Runtime; all usable cores
    by default. Raises ModelError where there is no such model, MissingExtra where torch is needed and not installed.
    """
    name = str(name_or_file)
    if (origin := baselines().get(name)) is not None:
        if runtime == "onnxruntime":
            raise ModelError(f"The baseline {name} has no graph for ONNX Runtime; let torch compute it.")
        aggregation = next(kind for kind in AGGREGATIONS if name.endswith(f"-{kind}"))
        made: Describer = _network("baselines", f"The baseline {name}").baseline(find(origin), aggregation, name)
        return made
    model = find(name_or_file)
    if runtime == "onnxruntime" or (runtime == "auto" and model.with_suffix(".onnx").is_file()):
        from sameplace.runtime.onnx import OnnxDescriber

        return OnnxDescriber(model, threads=threads)
    encoder = _network("encoder", f"The model {model.name}, which has no ONNX graph beside it,")
    loaded: Describer = encoder.Encoder.load(model)
    return loaded


def _network(module: str, purpose: str) -> Any:
    """The one way from here to torch: by name, so that sameplace works where torch is not installed."""
    try:
        return import_module(f"sameplace.network.{module}")
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingExtra(purpose, "train") from missing
