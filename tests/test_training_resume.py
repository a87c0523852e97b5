"""A training that is killed and gone on with ends with the very bytes of one that was not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sameplace.errors import TrainingError
from sameplace.training import checkpoint
from sameplace.training.checkpoint import Checkpoint
from sameplace.training.loop import train
from sameplace.training.progress import Moment
from sameplace.training.run import Run
from tiny_training import TINY, encoder, streets, validation

# Trains in one child after the other, each killed when it comes to a step, then in one that is left in peace. Children are forked,
# so that torch is loaded once.
SCRIPT = """
import json, os, signal, sys
from dataclasses import replace
from pathlib import Path
import torch
from tiny_training import TINY, encoder, streets, validation
from sameplace.training.loop import train

torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])  # loads what every optimiser needs, once for all children
folder, kills, change = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
street, others = streets(folder / "street"), validation(folder / "others")

def go(to, kill):
    seen = 0
    def watch(moment):
        nonlocal seen
        seen += moment.stage == "training"
        if kill is not None and moment.stage == kill[0] and (kill[0] != "training" or seen == kill[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    train(encoder(), street, validate_on=others, to=to, config=replace(TINY, **change), progress=watch)

for to, kill in [("whole", None), *(("killed", kill) for kill in kills), ("killed", None)]:
    child = os.fork()
    if not child:
        try:
            go(folder / to, kill)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    print("killed" if os.WIFSIGNALED(ended) else os.waitstatus_to_exitcode(ended))
"""
PAPERS = {"epochs": 3}
ALTERED = {"epochs": 3, "augment": "mild", "altered_queries": True, "plain": 0.3, "through_whitening": True}
PLACES = {
    "epochs": 6,
    "loss": "multi-similarity",
    "batch": 4,
    "accumulate": 2,
    "optimiser": "adamw",
    "schedule": "cosine",
    "average": 0.9,
    "self_supervised": 0.25,
    "augment": "mild",
    "precision": "bfloat16",
}
LIKE_PLACES = {
    "epochs": 4,
    "loss": "sare",
    "batch": 6,
    "images_per_place": 2,
    "companions": 2,
    "through_whitening": True,
    "augment": "strong",
    "views": 2,
    "plain": 0.5,
}
WAYS = {"tuples": PAPERS, "altered queries": ALTERED, "places": PLACES, "like places": LIKE_PLACES}


def told(folder: Path) -> dict[str, object]:
    """Everything that a run leaves, but for the time that it took."""
    files: dict[str, object] = {
        path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith("checkpoint")
    }
    kept = checkpoint.load(folder)
    assert kept is not None
    files["tensors"] = {name: tensor.contiguous().numpy().tobytes() for name, tensor in kept.tensors.items()}
    files["history"] = [{name: value for name, value in line.items() if name != "seconds"} for line in Run.open(folder).history]
    return files


def check(folder: Path, kills: list[tuple[str, int]], change: dict[str, object]) -> None:
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(kills), json.dumps(change)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": here},
    )
    assert ended.stdout.split() == ["0"] + ["killed"] * len(kills) + ["0"], ended.stderr
    whole, killed = told(folder / "whole"), told(folder / "killed")
    assert killed.keys() == whole.keys()
    for name in whole:
        assert killed[name] == whole[name], name


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_is_killed_some_times_ends_as_if_it_had_not_been(way: str, tmp_path: Path) -> None:
    check(tmp_path, [("vocabulary", 0), ("training", 2), ("training", 5), ("training", 4)], WAYS[way])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_is_killed_at_twenty_random_steps_ends_as_if_it_had_not_been(way: str, tmp_path: Path) -> None:
    # The n-th step of a child; a checkpoint comes every three steps, so that all of them together reach the end.
    steps = np.random.default_rng(0).integers(1, 5, 20).tolist()
    # Where a whitening is learnt through, none is learnt at the end.
    last = [] if WAYS[way].get("through_whitening") else [("whitening", 0)]
    check(tmp_path, [("training", step) for step in steps] + last, {**WAYS[way], "epochs": 20})


def test_a_run_that_is_interrupted_goes_on_where_it_was(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street", places=12), validation(tmp_path / "others")
    config = replace(TINY, epochs=1)
    steps: list[int] = []

    def interrupt(moment: Moment) -> None:
        if moment.stage == "training":
            steps.append(moment.done)
            if moment.done == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config, progress=interrupt)
    assert not Run.open(tmp_path / "run").finished

    def count(moment: Moment) -> None:
        if moment.stage == "training":
            steps.append(moment.done)

    train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config, progress=count)
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6]  # the last checkpoint was after the third step


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street", places=12), validation(tmp_path / "others")
    config = replace(TINY, epochs=1, whitening=None)
    train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)
    (tmp_path / "run" / "model.safetensors").unlink()  # as if it had not come to its end
    for learnt_from, network, other, what in (
        (street, encoder(), replace(config, margin=0.2), "margin=0.1, and 0.2 is asked for"),
        (streets(tmp_path / "more", places=13), encoder(), config, "other images"),
        (street, encoder(seed=1), config, "another encoder"),
    ):
        with pytest.raises(TrainingError, match=what):
            train(network, learnt_from, validate_on=others, to=tmp_path / "run", config=other)
    finished = train(encoder(), street, validate_on=others, to=tmp_path / "run", config=replace(config, checkpoint_every=7))
    assert finished.finished  # how often it is kept decides nothing


def test_two_trainings_do_not_write_to_one_folder(tmp_path: Path) -> None:
    street, others = streets(tmp_path / "street", places=12), validation(tmp_path / "others")
    config = replace(TINY, epochs=1, whitening=None)

    def again(moment: Moment) -> None:
        if moment.stage == "training":
            train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config)

    with pytest.raises(TrainingError, match="Another training writes to"):
        train(encoder(), street, validate_on=others, to=tmp_path / "run", config=config, progress=again)


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, Checkpoint(number=1, tensors={"weights": torch.arange(3)}, facts={"step": 10}))

    def torn(path: Path, content: bytes) -> None:
        path.write_bytes(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_write", torn)
        with pytest.raises(TrainingError, match="free some space"):
            checkpoint.save(tmp_path, Checkpoint(number=2, tensors={"weights": torch.arange(4)}, facts={"step": 20}))
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    assert (kept.number, kept.facts["step"], kept.tensors["weights"].tolist()) == (1, 10, [0, 1, 2])
    checkpoint.save(tmp_path, Checkpoint(number=2, tensors={"weights": torch.arange(4)}, facts={"step": 20}))
    kept = checkpoint.load(tmp_path)
    assert kept is not None
    assert kept.tensors["weights"].tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["checkpoint-000002.safetensors"]


def test_a_damaged_checkpoint_is_told_with_its_cure(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, Checkpoint(number=1, tensors={"weights": torch.arange(3)}, facts={}))
    (tmp_path / "checkpoint-000001.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="train again into a new folder"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint.json").write_text('{"format_version": 99}')
    with pytest.raises(TrainingError, match="format 99"):
        checkpoint.load(tmp_path)
