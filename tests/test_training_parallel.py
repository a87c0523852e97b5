"""Two processes learn what one learns."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sameplace.training import checkpoint
from sameplace.training.parallel import Ranks
from sameplace.training.run import Run

# Run by torchrun, and by the children of FORKS.
SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from tiny_training import TINY, encoder, streets, validation
from sameplace.training.loop import train

def learn(to, change):
    folder = Path(to).parent.parent
    street, others = streets(folder / "street"), validation(folder / "others")
    train(encoder(), street, validate_on=others, to=to, config=replace(TINY, **change))

if len(sys.argv) == 3:
    learn(sys.argv[1], json.loads(sys.argv[2]))
"""
# For each configuration one process, and at the same time two as torchrun starts them; forked, so that torch is loaded once.
FORKS = (
    SCRIPT
    + """
import os, traceback, torch
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])  # loads what every optimiser needs
folder = Path(sys.argv[1])
streets(folder / "street"), validation(folder / "others")
children = []
for (name, change), port in zip(json.loads(sys.argv[2]).items(), sys.argv[3:]):
    (folder / name).mkdir()
    for rank in (None, 0, 1):
        child = os.fork()
        if not child:
            code = 1
            try:
                if rank is not None:
                    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                learn(folder / name / ("one" if rank is None else "two"), change)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children.append(child)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""
)
WAYS: dict[str, dict[str, object]] = {
    "tuples": {"epochs": 1, "refresh": 16, "margin": 0.5, "pool": 20, "whitening": None},
    "like places": {
        "epochs": 2,
        "loss": "sare",
        "batch": 5,
        "images_per_place": 2,
        "companions": 2,
        "through_whitening": True,
    },
    "places": {"epochs": 2, "loss": "multi-similarity", "batch": 5, "images_per_place": 2, "whitening": None},
}


def environment() -> dict[str, str]:
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": here}


def free_port() -> str:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return str(door.getsockname()[1])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of one process and a run of two for each way to learn."""
    folder = tmp_path_factory.mktemp("parallel")
    asked = [str(folder), json.dumps(WAYS), *(free_port() for _ in WAYS)]
    ended = subprocess.run([sys.executable, "-c", FORKS, *asked], capture_output=True, text=True, check=False, env=environment())
    assert ended.returncode == 0, ended.stderr
    return folder


def check(folder: Path) -> None:
    """The same steps with the same losses, and the same weights but for rounding."""
    one, two = Run.open(folder / "one"), Run.open(folder / "two")
    assert one.finished
    assert two.finished
    assert len(one.history) == len(two.history)
    for first, second in zip(one.steps, two.steps, strict=True):
        assert (first["epoch"], first["step"]) == (second["epoch"], second["step"])
        assert second["loss"] == pytest.approx(first["loss"], rel=1e-3)
        assert second["violating"] == pytest.approx(first["violating"])
    kept, shared = checkpoint.load(one.folder), checkpoint.load(two.folder)
    assert kept is not None
    assert shared is not None
    for name, tensor in kept.tensors.items():
        torch.testing.assert_close(shared.tensors[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_work_is_dealt_whole_and_once() -> None:
    for count in (1, 2, 3, 5):
        ranks = [Ranks(rank=rank, count=count) for rank in range(count)]
        items = list(range(11))
        assert sorted(item for rank in ranks for item in items[rank.share]) == items
        assert [item for rank in ranks for item in items[rank.part(11)]] == items
        assert max(len(items[rank.part(11)]) for rank in ranks) - min(len(items[rank.part(11)]) for rank in ranks) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_learn_what_one_learns(way: str, trained: Path) -> None:
    check(trained / way)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_torchrun_starts_a_training(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    change = json.dumps(WAYS[way])
    for to, start in (
        ("one", [sys.executable]),
        ("two", [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]),
    ):
        ended = subprocess.run(
            [*start, str(script), str(tmp_path / way / to), change],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert ended.returncode == 0, ended.stderr
    check(tmp_path / way)
