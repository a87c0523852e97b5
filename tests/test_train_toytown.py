"""Learning drawn towns helps to recognise another one: the whole way, from photos to a paired test."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sameplace.training.material import from_toytowns
from sameplace.training.start import Start, starting_encoder
from sameplace.training.toytowns import TOYTOWN
from sameplace.training.whole import learn


def test_a_short_training_on_three_towns_helps_in_another_one_beyond_chance(tmp_path: Path) -> None:
    material = from_toytowns(tmp_path / "towns", towns=3, places=60)
    encoder = starting_encoder(start=Start(size=(128, 128)).small())
    _, verdict = learn(encoder, material, to=tmp_path / "run", config=replace(TOYTOWN, epochs=3))
    material.judged_on.keeps.cleanup()
    low, _ = verdict.comparison.interval["recall@1"]
    assert verdict.comparison.report.dataset == "toytown"
    assert low > 0


@pytest.mark.slow
def test_training_toytown_takes_recall_from_below_a_half_to_above_nine_tenths(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sameplace", "train", "toytown", "--to", str(tmp_path / "run"), "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answer["verdict"]["recall_before"]["1"] < 0.5
    assert answer["verdict"]["recall_after"]["1"] > 0.9
