"""An exported graph in OpenVINO's own format, and its trunk in int8 by post-training quantisation with real photos."""

import logging
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.errors import MissingExtra
from sameplace.modelfile import About
from sameplace.runtime.ranges import ranges_of, with_int8
from sameplace.shapes import Array, UInt8


def written(graph: Path, file: Path, about: About) -> None:
    """Write a graph as an .xml file with its .bin; weights stay in the precision that they are stored in."""
    openvino = _library()
    _save(openvino, openvino.Core().read_model(str(graph)), file, about)


def quantise(graph: Path, file: Path, photos: UInt8[Array, "images height width 3"], about: About) -> None:
    """Write a graph with the trunk in int8, by the range that each layer takes on the photos.

    The aggregator behind the trunk, its softmax and norms, and the whitening stay as they are.
    """
    _save(_library(), _quantised(graph, photos, about), file, about)


def learnt_ranges(graph: Path, photos: UInt8[Array, "images height width 3"], about: About) -> dict[str, tuple[float, float]]:
    """The ranges that the maps of the trunk take on the photos: all that `with_int8` needs besides the graph."""
    return ranges_of(_quantised(graph, photos, about))


def written_by_ranges(graph: Path, ranges: Mapping[str, tuple[float, float]], file: Path, about: About) -> None:
    """Write a graph with the trunk in int8, by ranges that were learnt before."""
    openvino = _library()
    _save(openvino, with_int8(openvino.Core().read_model(str(graph)), ranges), file, about)


def _quantised(graph: Path, photos: UInt8[Array, "images height width 3"], about: About) -> Any:
    openvino = _library()
    try:
        import nncf
    except ImportError as missing:
        raise MissingExtra("Quantising to int8", "export") from missing
    network = openvino.Core().read_model(str(graph))
    network.reshape([-1, *about.size, 3])
    data = nncf.Dataset([photo[None] for photo in np.ascontiguousarray(photos)])
    kept = nncf.IgnoredScope(names=sorted(behind(network, about.features)), validate=False)
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with redirect_stdout(sys.stderr):  # where its progress belongs
        return nncf.quantize(
            network,
            data,
            subset_size=len(photos),
            ignored_scope=kept,
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=True,
        )


def behind(network: Any, features: str | None) -> set[str]:
    """The names of all nodes that what the trunk gives goes into."""
    found: set[str] = set()
    waiting = [
        taker.get_node()
        for node in network.get_ordered_ops()
        for output in node.outputs()
        if features in output.get_names()
        for taker in output.get_target_inputs()
    ]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in found:
            found.add(node.get_friendly_name())
            waiting += [taker.get_node() for output in node.outputs() for taker in output.get_target_inputs()]
    return found


def _save(openvino: Any, network: Any, file: Path, about: About) -> None:
    from sameplace.runtime.openvino import ABOUT_IN_IR

    network.set_rt_info(about.to_json(), ABOUT_IN_IR)
    openvino.save_model(network, str(file), compress_to_fp16=False)


def _library() -> Any:
    try:
        import openvino
    except ImportError as missing:
        raise MissingExtra("Exporting for OpenVINO", "fast") from missing
    return openvino
