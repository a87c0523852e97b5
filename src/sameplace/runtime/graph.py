"""Which graph belongs to a model, and what the two say of it: the same for every runtime."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sameplace.errors import ModelError
from sameplace.modelfile import GRAPH_ABOUT, GRAPH_IDENTITY, GRAPH_WEIGHTS_START, About, read_header, tensor_places
from sameplace.shapes import Array, UInt8

MODEL = ".safetensors"
SELF_CONTAINED = (".onnx", ".xml")
"""What `sameplace export` writes, beside the model files themselves."""


def graph_of(model: Path) -> Path:
    """The graph beside a model file, or the file itself where it is an export; ModelError where there is none."""
    graph = model.with_suffix(".onnx") if model.suffix == MODEL else model
    if graph.is_file():
        return graph
    if graph is model:
        raise ModelError(f"No model lies at {model}; give a file that `sameplace export` wrote, or a published name.")
    raise ModelError(f"{model} has no graph {graph.name} beside it; let torch describe with it, or write it with export_onnx.")


def about(model: Path, said: Mapping[str, str]) -> About:
    """What is known of a model from its own file, if it has one, and from what its graph says.

    Raises ModelError where the graph belongs to another file, or says nothing.
    """
    if model.suffix == ".onnx" and GRAPH_WEIGHTS_START in said:  # its weights lie in the model file beside it
        model = model.with_suffix(MODEL)
    if model.suffix != MODEL:
        return About.from_json(said.get(GRAPH_ABOUT), model)
    header = read_header(model)
    _, start = tensor_places(model)
    if (said.get(GRAPH_IDENTITY), said.get(GRAPH_WEIGHTS_START)) != (header["identity"], str(start)):
        graph = model.with_suffix(".onnx")
        raise ModelError(f"The graph {graph} belongs to another file than {model}; export it again with export_onnx.")
    height, width = header["architecture"]["size"]
    known = {"name": header["card"]["name"], "identity": header["identity"], "size": (int(height), int(width))}
    if GRAPH_ABOUT in said:
        return replace(About.from_json(said[GRAPH_ABOUT], model), **known)
    return About(precision="float32", card=header["card"], **known)


def check_size(name: str, size: tuple[int, int], images: UInt8[Array, "batch height width 3"]) -> None:
    """ValueError where the images are not of the model's size."""
    if images.shape[1:3] != size:
        raise ValueError(f"{name} takes images of {size[0]} x {size[1]} pixels, got {images.shape[1]} x {images.shape[2]}.")
