"""Recognising works where torch was never installed: index, locate, evaluate and show, with the model that comes along."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from sameplace import models
from sameplace.datasets.toytown import draw

ROOT = Path(__file__).parent.parent
PLACES = 5
# torch and what only developers have cannot be imported, as if they were not installed.
HIDDEN = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "jaxtyping", "beartype", "onnx", "onnxscript", "scipy", "sklearn"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from sameplace.cli.app import run
code = run(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("town"), places=PLACES)


def journey(program, town, atlas, environment=None):
    """What a user does first, each step in a process of its own."""

    def answer(*arguments):
        done = subprocess.run(
            [*program, *map(str, arguments), "--json"], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    (indexed,) = answer("index", town / "database", "--to", atlas)
    assert (indexed["added"], indexed["model"]) == (PLACES, models.DEFAULT_MODEL)
    located = answer("locate", town / "database", "--atlas", atlas, "--map", atlas.with_suffix(".html"))
    assert [Path(one["photo"]).name for one in located] == [Path(one["matches"][0]["path"]).name for one in located]
    (evaluated,) = answer("evaluate", models.DEFAULT_MODEL, town)
    assert evaluated["queries"] == PLACES
    (shown,) = answer("show", atlas)
    assert shown["runtimes"] == ["onnxruntime"]
    assert answer("show", models.DEFAULT_MODEL)


def test_the_journey_needs_no_torch(town, tmp_path):
    journey([sys.executable, "-c", HIDDEN], town, tmp_path / "town.atlas")


@pytest.mark.slow
def test_the_journey_works_in_a_clean_environment_of_less_than_200_mb(town, tmp_path):
    checkout = tmp_path / "checkout"  # building in the repository would leave files behind
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    for name in ("src", "LICENSES"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    empty = size(packages)
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile"]
    subprocess.run([*pip, "--constraint", checkout / "constraints.txt", checkout], check=True)
    assert not (packages / "torch").exists()
    assert size(packages) - empty < 200e6
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    journey([environment / "bin" / "sameplace"], town, tmp_path / "town.atlas", outside)


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
