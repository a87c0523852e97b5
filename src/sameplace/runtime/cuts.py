"""A network cut into parts of one precision each, one behind the other, where a single tensor goes from one to the next."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

from sameplace.modelfile import About

Parts: TypeAlias = list[tuple[str | None, str]]
"""Where each part ends (None: at the descriptor), and its precision."""

CONVOLUTIONS = ("Convolution", "GroupConvolution")
SHORTEST = 3
"""Convolutions of the shortest beginning: the stem and the first block."""
ASIDE = ("ShapeOf", "Result")


def parts(said: About, precision: str) -> Parts:
    """In bfloat16 is what lies between the beginning that needs float32 and the aggregator; other precisions have one part."""
    if precision != "bfloat16" or said.features is None:
        return [(None, precision)]
    beginning: Parts = [(said.float_until, "float32")] if said.float_until else []
    return [*beginning, (said.features, "bfloat16"), (None, "float32")]


def cut(network: Any, wanted: Parts) -> Iterator[tuple[Any, str]]:
    """The parts of an OpenVINO network, which is used up; each but the first takes a tensor and the images."""
    from openvino import Model, opset13

    for end, precision in wanted:
        if end is None:
            yield network, precision
            return
        (output,) = [one for node in network.get_ordered_ops() for one in node.outputs() if end in one.get_names()]
        images, results = network.get_parameters(), network.get_results()
        takers = list(output.get_target_inputs())
        yield Model([opset13.result(output)], images, "part"), precision
        rest = opset13.parameter(output.get_partial_shape(), output.get_element_type(), "features")
        for taker in takers:
            taker.replace_source_output(rest.output(0))
        network = Model(results, [rest, images[-1]], "rest")


def beginnings(network: Any, features: str | None, count: int) -> list[str]:
    """The tensors after some ever longer beginnings of the trunk, which end where a convolution takes up."""
    if features is None:
        return []
    return list(islice((name for done, name in cut_points(network, features) if done >= SHORTEST and name), count))


def cut_points(network: Any, features: str) -> Iterator[tuple[int, str]]:
    """Tensors that everything in the trunk goes through, each with the number of convolutions before it."""
    takers_left: dict[tuple[str, int], int] = {}
    names: dict[tuple[str, int], str] = {}
    convolutions = 0
    for node in network.get_ordered_ops():
        kind = node.get_type_name()
        sources = [one.get_source_output() for one in node.inputs()]
        taken = [key for key in ((one.get_node().get_name(), one.get_index()) for one in sources) if key in takers_left]
        if kind in ASIDE or (kind != "Parameter" and not taken):  # weights, and the question how many images there are
            continue
        if kind in CONVOLUTIONS:
            if convolutions and len(takers_left) == 1:
                yield convolutions, names[next(iter(takers_left))]
            convolutions += 1
        for key in taken:
            takers_left[key] -= 1
            if not takers_left[key]:
                del takers_left[key]
        for output in node.outputs():
            if features in output.get_names():
                return
            takers = [one for one in output.get_target_inputs() if one.get_node().get_type_name() not in ASIDE]
            key = (node.get_name(), output.get_index())
            takers_left[key], names[key] = len(takers), next(iter(sorted(output.get_names())), "")
