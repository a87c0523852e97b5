"""An encoder as an ONNX graph, from uint8 RGB at the model's size to the descriptor; its weights are the model file's own bytes."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sameplace.errors import MissingExtra, ModelError
from sameplace.modelfile import GRAPH_ABOUT, GRAPH_IDENTITY, GRAPH_WEIGHTS_START, About, read_header, tensor_places
from sameplace.network.encoder import Encoder
from sameplace.shapes import Float, UInt8

OPSET = 18
PREFIX = "encoder."
# Where the exporter notes which module a node was traced in, and the module behind which only the aggregator is left.
SCOPES, TRUNK = "pkg.torch.onnx.name_scopes", "encoder.backbone"
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
    onnx, _, _ = _libraries()
    model = Path(model)
    graph = _graph(model, encoder or Encoder.load(model))
    place = {GRAPH_IDENTITY: read_header(model)["identity"], GRAPH_WEIGHTS_START: str(tensor_places(model)[1])}
    said = {entry.key: entry.value for entry in graph.metadata_props}
    onnx.helper.set_model_props(graph, {**said, **place})
    target = model.with_suffix(".onnx")
    target.write_bytes(graph.SerializeToString())
    return target


def export_self_contained(model: str | Path, target: str | Path, *, encoder: Encoder | None = None) -> Path:
    """Write a graph with its weights inside, in half precision as the model file has them: one file that needs no other."""
    onnx, _, _ = _libraries()
    model, target = Path(model), Path(target)
    graph = _graph(model, encoder or Encoder.load(model))
    onnx.external_data_helper.load_external_data_for_model(graph, str(model.absolute().parent))
    for weight in graph.graph.initializer:
        weight.data_location = onnx.TensorProto.DEFAULT
    target.write_bytes(graph.SerializeToString())
    return target


def stamp(graph: str | Path, about: About) -> None:
    """Let a graph say something else of itself, for example how well it does in a lower precision."""
    onnx, _, _ = _libraries()
    read = onnx.load(str(graph), load_external_data=False)
    said = {entry.key: entry.value for entry in read.metadata_props}
    onnx.helper.set_model_props(read, {**said, GRAPH_ABOUT: about.to_json()})
    Path(graph).write_bytes(read.SerializeToString())


def _graph(model: Path, encoder: Encoder) -> Any:
    """The graph whose weights are references into the model file, and what it says of itself."""
    onnx, onnx_ir, optimizer = _libraries()
    proto = _traced(encoder)
    features = _features(proto)
    traced = onnx_ir.from_proto(proto)
    # Shapes and clip limits become constants; nothing that touches weights, or they would no longer be the file's own.
    optimizer.fold_constants(traced, onnx_shape_inference=False, should_fold=_is_free_of_weights)
    optimizer.remove_unused_nodes(traced)
    graph = onnx_ir.to_proto(traced)
    _refer_to_file(graph, model, onnx)
    header = read_header(model)
    about = About(
        name=header["card"]["name"],
        identity=header["identity"],
        size=encoder.size,
        precision="float32",
        features=features,
        card=header["card"],
    )
    onnx.helper.set_model_props(graph, {GRAPH_ABOUT: about.to_json()})
    return graph


def _features(traced: Any) -> str | None:
    """The tensor that is all that the aggregator takes from the trunk; None where there is no such tensor."""
    inside = [
        node for node in traced.graph.node if TRUNK in {entry.key: entry.value for entry in node.metadata_props}.get(SCOPES, "")
    ]
    made = {output for node in inside for output in node.output}
    outside = [node for node in traced.graph.node if not made.intersection(node.output)]
    taken = {name for node in outside if node.op_type != "Shape" for name in node.input if name in made}
    return taken.pop() if len(taken) == 1 else None


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
