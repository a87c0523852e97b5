"""How fast the NetVLAD layer is, and how much memory it takes, beside a loop over clusters as public ports of the paper write it.

    python benchmarks/layer_speed.py

24 maps of 512 channels and 30 x 40 locations, 64 clusters, one thread for all: forward, and forward with backward. The rounds of
the ways take turns; a round is one pass of the loop and the median of five of ours. Time is that of the processor.
Memory is how far the peak of a process of its own rises over its input: working memory, descriptors and libraries' pages alike.
Wanted: at least 50 times the speed of the loop forward and 40 times with backward, at a tenth of its memory.
"""
# ruff: noqa: T201

import argparse
import ctypes
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.network.netvlad import NetVLAD
from sameplace.network.vocabulary import Vocabulary

BATCH, DIM, HEIGHT, WIDTH, CLUSTERS = 24, 512, 30, 40, 64
PASSES = 5
"""Passes of ours in a round, which takes a fiftieth of the loop's one."""
WANTED = {"forward": 50.0, "forward_backward": 40.0, "memory": 0.1}
STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "layer_speed.json"


class Loop(nn.Module):
    """The layer as ports for torch have it: one pass over all residuals for each cluster."""

    def __init__(self, layer: NetVLAD) -> None:
        super().__init__()
        self.conv = nn.Conv2d(DIM, CLUSTERS, 1, bias=False)
        self.conv.weight = nn.Parameter(layer.assignment.detach().clone()[:, :, None, None])
        self.centroids = nn.Parameter(layer.centroids.detach().clone())

    def forward(self, features: Tensor) -> Tensor:
        """The descriptors."""
        count, channels = features.shape[:2]
        features = F.normalize(features, p=2, dim=1)
        assignment = F.softmax(self.conv(features).view(count, CLUSTERS, -1), dim=1)
        flat = features.view(count, channels, -1)
        vlad = torch.zeros([count, CLUSTERS, channels], dtype=features.dtype, device=features.device)
        for cluster in range(CLUSTERS):
            residual = flat.unsqueeze(0).permute(1, 0, 2, 3) - self.centroids[cluster : cluster + 1, :].expand(
                flat.size(-1), -1, -1
            ).permute(1, 2, 0).unsqueeze(0)
            residual = residual * assignment[:, cluster : cluster + 1, :].unsqueeze(2)
            vlad[:, cluster : cluster + 1, :] = residual.sum(dim=-1)
        return F.normalize(F.normalize(vlad, p=2, dim=2).view(count, -1), p=2, dim=1)


def ways(batch: int, compiled: bool) -> tuple[dict[str, Callable[[Tensor], Tensor]], Tensor]:
    """The ways to compute it, and the maps."""
    torch.manual_seed(0)
    maps = torch.randn(batch, DIM, HEIGHT, WIDTH).relu_()
    layer = NetVLAD(DIM, CLUSTERS)
    layer.initialise(Vocabulary.learn(torch.rand(2000, DIM), clusters=CLUSTERS))
    more: dict[str, Callable[[Tensor], Tensor]] = {"sameplace_compiled": torch.compile(layer)} if compiled else {}
    return {"loop": Loop(layer), "sameplace": layer, **more}, maps


def once(way: Callable[[Tensor], Tensor], maps: Tensor, backward: bool) -> float:
    """Seconds of the processor for one pass, so that a busy machine matters less."""
    given = maps.detach().requires_grad_(backward)
    start = time.process_time()
    with torch.set_grad_enabled(backward):
        descriptors = way(given)
        if backward:
            descriptors.square().sum(dim=0)[::7].sum().backward()
    return time.process_time() - start


def peak() -> float:
    """The most memory that this process has held since it was asked last, in megabytes (Linux)."""
    found = re.search(r"VmHWM:\s*(\d+)", STATUS.read_text())
    FORGET_PEAK.write_text("5")
    return int(found[1]) / 1024 if found else float("nan")


def give_back() -> None:
    """Give the system what was needed before and is free now, lest it be used once more and not counted (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def risen(name: str, batch: int, backward: bool) -> float:
    """How far one pass lets the peak of a process of its own rise, in megabytes."""
    command = [sys.executable, __file__, "--peak-of", name, "--batch", str(batch), *(["--backward"] if backward else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uncompiled", action="store_true", help="leave out torch.compile, which needs a C++ compiler")
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--backward", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tried, maps = ways(asked.batch, compiled=not (asked.uncompiled or asked.peak_of))
    maps = maps.contiguous(memory_format=torch.channels_last)  # as convolutions on a CPU give them
    if asked.peak_of:
        given = maps.contiguous() if asked.peak_of == "loop" else maps
        give_back()
        peak()
        before = peak()
        once(tried[asked.peak_of], given, asked.backward)
        print(peak() - before)
        return 0
    plain = maps.contiguous()  # the loop takes no channels-last maps
    seconds: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in tried} for kind in ("forward", "forward_backward")}
    with torch.no_grad():
        difference = float((tried["loop"](plain[:2]) - tried["sameplace"](maps[:2])).norm(dim=1).max())
    for kind, taken in seconds.items():
        once(tried["loop"], plain[:2], kind != "forward")  # warm after two maps; ours are compiled for the shape
        for name in tried.keys() - {"loop"}:
            once(tried[name], maps, kind != "forward")
        for _ in range(asked.rounds):
            taken["loop"].append(once(tried["loop"], plain, kind != "forward"))
            for name in tried.keys() - {"loop"}:
                taken[name].append(float(np.median([once(tried[name], maps, kind != "forward") for _ in range(PASSES)])))
    memory = {kind: {name: risen(name, asked.batch, kind != "forward") for name in ("loop", "sameplace")} for kind in seconds}
    told = {
        "benchmark": f"NetVLAD layer, {asked.batch} x {DIM} x {HEIGHT} x {WIDTH}, {CLUSTERS} clusters, one thread",
        "rounds": asked.rounds,
        "torch": torch.__version__,
        "largest_difference": difference,
        "seconds": {kind: {name: summary(times) for name, times in taken.items()} for kind, taken in seconds.items()},
        "times_the_loop": {
            kind: {
                name: summary([a / b for a, b in zip(taken["loop"], taken[name], strict=True)]) for name in tried if name != "loop"
            }
            for kind, taken in seconds.items()
        },
        "peak_megabytes": memory,
        "wanted": WANTED,
        **provenance(),
        "command": "python benchmarks/layer_speed.py",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    for kind, taken in seconds.items():
        for name, times in taken.items():
            ratio = np.median([a / b for a, b in zip(taken["loop"], times, strict=True)])
            print(f"{kind.replace('_', ' + ')}, {name}: {np.median(times):.3f} s, {ratio:.1f} times the loop")
        held = memory[kind]
        print(f"{kind.replace('_', ' + ')}: memory {held['loop']:.0f} MB of the loop, {held['sameplace']:.0f} MB of ours")
    return 0


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median of some rounds, and their spread."""
    return {name: round(float(np.percentile(values, at)), 5) for name, at in (("median", 50), ("least", 0), ("most", 100))}


if __name__ == "__main__":
    sys.exit(main())
