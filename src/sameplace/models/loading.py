"""From a model file to the runtime that computes it: the graph beside it without torch, else the network in torch."""

from importlib import import_module
from pathlib import Path
from typing import Literal

from sameplace.describer import Describer
from sameplace.errors import MissingExtra
from sameplace.models.catalogue import DEFAULT_MODEL, find


def describer(
    name_or_file: str | Path = DEFAULT_MODEL,
    *,
    runtime: Literal["auto", "onnxruntime", "torch"] = "auto",
    threads: int | None = None,
) -> Describer:
    """A published model by name, or any model file, ready to describe images.

    "auto" takes ONNX Runtime where the graph lies beside the model, else torch. `threads` is for ONNX Runtime; all usable cores
    by default. Raises ModelError where there is no such model, MissingExtra where torch is needed and not installed.
    """
    model = find(name_or_file)
    if runtime == "onnxruntime" or (runtime == "auto" and model.with_suffix(".onnx").is_file()):
        from sameplace.runtime.onnx import OnnxDescriber

        return OnnxDescriber(model, threads=threads)
    try:
        # The one way from here to torch: by name, so that sameplace works where torch is not installed.
        encoder = import_module("sameplace.network.encoder")
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise MissingExtra(f"The model {model.name}, which has no ONNX graph beside it,", "train") from missing
    loaded: Describer = encoder.Encoder.load(model)
    return loaded
