"""How near the trunk of a model in int8 comes to the most that one core can do in int8, measured in the same run.

    python benchmarks/trunk_peak.py vgg16-vlad

The most is what networks of plain 3 x 3 convolutions reach at their best, of several shapes that suit the caches: the same
arithmetic, with little else to wait for. Trunk and peak take turns, on one thread, in processor time. Operations are counted from
the shapes, two for each multiplication with its addition. Wanted: 85 %.
"""
# ruff: noqa: T201

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["SAMEPLACE_THREADS"] = "1"

import numpy as np
import openvino
import torch
from openvino import opset13 as operation
from torch.utils.flop_counter import FlopCounterMode

from sameplace import models
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.models.exporting import drawn
from sameplace.network.encoder import Encoder
from sameplace.runtime.cuts import cut
from sameplace.runtime.openvino import AT_ONCE_INT8, OpenVINODescriber

SHAPES = ((4, 256, 28, 4), (4, 512, 28, 3), (1, 256, 56, 4))
"""Maps, channels, their side, and layers."""
PASSES = 5
WANTED = 0.85
TO = Path(__file__).parent.parent / "results" / "benchmarks"
ONE_THREAD = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}


def convolutions(maps: int, channels: int, side: int, layers: int) -> tuple[Any, float]:
    """A network of nothing but int8 convolutions, and its operations."""
    rng = np.random.default_rng(0)

    def limits(low: float, high: float) -> list[Any]:
        return [operation.constant(np.float32(value)) for value in (low, high, low, high)]

    given = operation.parameter([maps, channels, side, side], np.uint8)
    found = operation.convert(given, "f32")
    for _ in range(layers):
        weights = operation.constant(rng.uniform(-1, 1, (channels, channels, 3, 3)).astype(np.float32))
        weights = operation.fake_quantize(weights, *limits(-1, 1), 255)
        found = operation.fake_quantize(found, *limits(0, 255), 256)
        found = operation.convolution(found, weights, [1, 1], [1, 1], [1, 1], [1, 1])
        found = operation.relu(operation.multiply(found, operation.constant(np.float32(0.01))))
    network = openvino.Model([operation.result(found)], [given], "convolutions")
    return network, 2.0 * 9 * channels**2 * side**2 * maps * layers


def trunk(describer: OpenVINODescriber, encoder: Encoder) -> tuple[Any, float]:
    """The part of a network up to the local features, and its operations."""
    network = describer.network()
    network.reshape([AT_ONCE_INT8, *describer.size, 3])
    part, _ = next(iter(cut(network, [(describer.about.features, "int8"), (None, "float32")])))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.backbone(torch.zeros(1, 3, *describer.size))
    return part, float(counter.get_total_flops()) * AT_ONCE_INT8


def ready(network: Any, images: np.ndarray) -> Callable[[], float]:
    """A network, warm, which tells the processor's seconds of a pass."""
    request = openvino.Core().compile_model(network, "CPU", ONE_THREAD).create_infer_request()

    def once() -> float:
        start = time.process_time()
        request.infer([images], share_inputs=True, share_outputs=True)
        return time.process_time() - start

    once()
    return once


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model that OpenVINO computes in int8")
    parser.add_argument("--int8", type=Path, help="an int8 export of the model, if it has no ranges beside it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--to", type=Path, help="the JSON file")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    describer = OpenVINODescriber(asked.int8 or models.find(asked.model), precision="int8", threads=1)
    part, operations = trunk(describer, Encoder.load(models.find(asked.model)))
    ours = ready(part, drawn(describer.size, AT_ONCE_INT8))
    most: list[tuple[Callable[[], float], float]] = []
    for maps, channels, side, layers in SHAPES:
        network, counted = convolutions(maps, channels, side, layers)
        images = np.random.default_rng(0).integers(0, 256, (maps, channels, side, side), np.uint8)
        most.append((ready(network, images), counted))
    rates: dict[str, list[float]] = {"trunk": [], "peak": []}
    for _ in range(asked.rounds):
        rates["peak"].append(max(counted / min(once() for _ in range(PASSES)) for once, counted in most) / 1e9)
        rates["trunk"].append(operations / ours() / 1e9)
    shares = [reached / possible for reached, possible in zip(rates["trunk"], rates["peak"], strict=True)]
    told = {
        "benchmark": f"the trunk of {asked.model} in int8 beside the int8 peak of one core, processor time",
        "model": asked.model,
        "size": list(describer.size),
        "images_at_once": AT_ONCE_INT8,
        "operations_an_image": operations / AT_ONCE_INT8,
        "billions_a_second": {name: round(float(np.median(some)), 1) for name, some in rates.items()},
        "share": {
            "median": round(float(np.median(shares)), 3),
            "least": round(min(shares), 3),
            "most": round(max(shares), 3),
        },
        "wanted_share": WANTED,
        "rounds": asked.rounds,
        "openvino": openvino.__version__,
        **provenance(),
        "command": f"python benchmarks/trunk_peak.py {asked.model}" + (" --int8 EXPORT.int8.xml" if asked.int8 else ""),
    }
    to = asked.to or TO / f"trunk_peak.{asked.model}.json"
    to.parent.mkdir(parents=True, exist_ok=True)
    write_json(to, told)
    print(f"{told['billions_a_second']} billion operations a second: {told['share']} of the peak")
    return int(told["share"]["median"] < WANTED)


if __name__ == "__main__":
    sys.exit(main())
