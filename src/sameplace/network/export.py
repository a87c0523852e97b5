"""An encoder as an ONNX graph, from uint8 RGB at the model's size to the descriptor; its weights are the model file's own bytes."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sameplace.errors import MissingExtra, ModelError
from sameplace.modelfile import GRAPH_IDENTITY, GRAPH_WEIGHTS_START, read_header, tensor_places
from sameplace.network.encoder import Encoder
from sameplace.shapes import Float, UInt8

OPSET = 18
PREFIX = "encoder."
STORED = ".stored"
# The data types of the file, as ONNX numbers them.
TYPES = {"F32": 1, "F16": 10}


class _FromPixels(nn.Module):
    """The encoder behind the conversion from interleaved bytes: what an exported graph computes."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch descriptor"]:
        """Descriptors of upright RGB images of the model's size."""
        descriptors: Tensor = self.encoder(images.permute(0, 3, 1, 2).float())
        return descriptors


def export_onnx(model: str | Path, *, encoder: Encoder | None = None) -> Path:
    """Write `model.onnx` beside `model.safetensors`; every weight in it is a reference into that file, so weights exist once.

    Half-precision weights are cast to float32 in the graph, which a runtime does once, on loading. The two files belong in one
    folder. A model with a backbone of its author's own needs its `encoder`.
    """
    onnx, onnx_ir, optimizer = _libraries()
    model = Path(model)
    encoder = encoder or Encoder.load(model)
    traced = onnx_ir.from_proto(_traced(encoder))
    # Shapes and clip limits become constants; nothing that touches weights, or they would no longer be the file's own.
    optimizer.fold_constants(traced, onnx_shape_inference=False, should_fold=_is_free_of_weights)
    optimizer.remove_unused_nodes(traced)
    graph = onnx_ir.to_proto(traced)
    _refer_to_file(graph, model, onnx)
    said = {GRAPH_IDENTITY: read_header(model)["identity"], GRAPH_WEIGHTS_START: str(tensor_places(model)[1])}
    onnx.helper.set_model_props(graph, said)
    target = model.with_suffix(".onnx")
    target.write_bytes(graph.SerializeToString())
    return target


def _is_free_of_weights(node: Any) -> bool | None:
    """False keeps a node that reads a weight as it is; None leaves the others to the optimiser's own judgement."""
    return False if any(value is not None and value.is_initializer() for value in node.inputs) else None


def _libraries() -> tuple[Any, Any, Any]:
    """onnx, its intermediate representation, and the optimiser, all optional."""
    try:
        import onnx
        import onnx_ir
        from onnxscript import optimizer
    except ImportError as missing:
        raise MissingExtra("Exporting to ONNX", "export") from missing
    return onnx, onnx_ir, optimizer


def _traced(encoder: Encoder) -> Any:
    """The graph as torch's exporter writes it, weights inside, under the names of the state dict."""
    height, width = encoder.size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    exporter = logging.getLogger("torch.onnx._internal.exporter._registration")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations,
        level = exporter.level
        exporter.setLevel(logging.ERROR)  # and of a torchvision that nobody needs
        try:
            program = torch.onnx.export(
                _FromPixels(encoder).eval(),
                (example,),
                input_names=["images"],
                output_names=["descriptors"],
                dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
                opset_version=OPSET,
                dynamo=True,
                optimize=False,
                verbose=False,
            )
        finally:
            exporter.setLevel(level)
    if program is None:
        raise ModelError("This release of torch exported no graph; use another one.")
    return program.model_proto


def _refer_to_file(graph: Any, model: Path, onnx: Any) -> None:
    """Make every weight of the graph external data: a stretch of bytes of the model file, cast to float32 where it is half.

    Raises ModelError where the graph and the file do not hold the same weights.
    """
    places, start = tensor_places(model)
    casts = []
    for weight in graph.graph.initializer:
        place = places.pop(weight.name.removeprefix(PREFIX), None)
        if place is None:
            continue
        if list(weight.dims) != place["shape"] or place["dtype"] not in TYPES:
            raise ModelError(
                f"{weight.name} in the graph does not look like the one in {model}; export the model from its own file."
            )
        first, last = place["data_offsets"]
        name, weight.name = weight.name, weight.name if place["dtype"] == "F32" else f"{weight.name}{STORED}"
        for field in ("raw_data", "float_data"):
            weight.ClearField(field)
        weight.data_type = TYPES[place["dtype"]]
        weight.data_location = onnx.TensorProto.EXTERNAL
        del weight.external_data[:]
        for key, value in (("location", model.name), ("offset", start + first), ("length", last - first)):
            weight.external_data.add(key=key, value=str(value))
        if weight.name != name:
            casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    forgotten = [name for name in places if not name.endswith("num_batches_tracked")]
    if forgotten:
        raise ModelError(
            f"The graph of {model} leaves out {forgotten[0]}; the exporter of this torch release rewrites weights, use another."
        )
    nodes = [*casts, *graph.graph.node]
    for node in nodes:
        del node.metadata_props[:]  # where in whose source each node was traced
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    del graph.graph.value_info[:]
