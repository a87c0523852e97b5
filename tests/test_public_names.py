"""The public names: complete, lazy, and each with a clear word where an optional part is missing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sameplace

SOURCE = Path(sameplace.__file__).read_text("utf-8")
PROMISED = {
    "Atlas",
    "Changes",
    "Describer",
    "Encoder",
    "Estimate",
    "ImageSet",
    "LatLon",
    "LocalPoint",
    "Match",
    "NetVLAD",
    "PCAWhitening",
    "TrainConfig",
    "backbones",
    "datasets",
    "errors",
    "evaluate",
    "models",
    "train",
}
HEAVY = ["torch", "onnxruntime", "numpy", "PIL", "pandas", "cyclopts", "rich", "jaxtyping"]
# For subprocesses: torch and what only developers have cannot be imported, as if they were not installed.
WITHOUT_TORCH = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "jaxtyping", "beartype"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_promised_name_is_public():
    assert set(sameplace.__all__) >= PROMISED


@pytest.mark.parametrize("name", sameplace.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(sameplace, name) is not None


def test_the_public_names_are_sorted_and_shown():
    assert sorted(sameplace.__all__) == sameplace.__all__ == dir(sameplace)


def test_editors_and_type_checkers_see_the_same_names_as_users():
    tree = ast.parse(SOURCE)
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: statement.module for statement in block.body for alias in statement.names}
    for name, module in sameplace._MODULES.items():
        assert f"{seen.pop(name)}.{name}" == module
    assert seen == sameplace._HOMES
    assert {*seen, *sameplace._MODULES, "__version__"} == set(sameplace.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Atlass'"):
        sameplace.Atlass  # noqa: B018


def test_importing_sameplace_loads_nothing_heavy():
    loaded = python(f"import sys, sameplace; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded.stdout.strip() == "[]", loaded.stderr


def test_without_torch_a_torch_name_says_what_to_install():
    asked = python(
        WITHOUT_TORCH
        + "import sameplace\ntry:\n    sameplace.NetVLAD\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    assert asked.stdout.startswith("MissingExtra"), asked.stderr
    assert "pip install 'sameplace[train]'" in asked.stdout


def test_without_torch_every_other_name_is_there():
    torch_names = [name for name, home in {**sameplace._HOMES, **sameplace._MODULES}.items() if "network" in home] + ["train"]
    others = [name for name in sameplace.__all__ if name not in torch_names]
    asked = python(
        WITHOUT_TORCH + f"import sameplace\nfor name in {others}: getattr(sameplace, name)\nprint('torch' in sys.modules)"
    )
    assert asked.stdout.strip() == "False", asked.stderr
