"""The notebooks of the docs: stored without outputs, linked, and running as they are."""

import json
import re
import sys
from pathlib import Path
from traceback import extract_tb

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import notebooks  # noqa: E402

NOTEBOOKS = sorted(notebooks.NOTEBOOKS.glob("*.ipynb"))
SLOW = {"train"}
"""Learning takes longer than the main suite has."""


def named(name):
    return notebooks.NOTEBOOKS / f"{name}.ipynb"


def values(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return list(notebooks.run(named(name)))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_as_jupyter_wants_it(notebook):
    stored = json.loads(notebook.read_text("utf-8"))
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in stored["cells"]}) == len(stored["cells"])
    for cell in stored["cells"]:
        code = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "id", "metadata", "source"} | code
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert stored["cells"][0]["source"][0].startswith("# ")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_of_a_notebook_leads_somewhere_and_the_docs_link_it(notebook):
    for address in re.findall(r"\]\(([^)]+)\)", notebook.read_text("utf-8")):
        assert (notebook.parent / address).is_file()
    assert f"(notebooks/{notebook.name})" in (ROOT / "docs" / "README.md").read_text("utf-8")


def test_every_notebook_is_run_by_a_test_here():
    source = Path(__file__).read_text("utf-8")
    assert {path.stem for path in NOTEBOOKS} == set(re.findall(r'values\("([a-z-]+)"', source))


def test_own_photos_are_indexed_and_located(tmp_path, monkeypatch):
    _, atlas, estimate, _, off = values("own-photos", tmp_path, monkeypatch)
    assert len(atlas) == len(off) == 20
    assert estimate.matches
    assert off[len(off) // 2] < 25
    assert all('class="sameplace-shown"' in notebooks.shown(value) for value in (atlas, estimate))


def test_a_benchmark_is_evaluated_and_compared(tmp_path, monkeypatch):
    protocol, report, verdict = values("benchmark", tmp_path, monkeypatch)
    assert protocol == report.protocol
    assert report.recall[1] > 0.3
    assert "recall@1" in verdict
    assert 'class="sameplace-shown"' in notebooks.shown(report)


@pytest.mark.slow
def test_a_model_is_trained_and_judged(tmp_path, monkeypatch):
    _, said, best_epoch, verdict, report = values("train", tmp_path, monkeypatch)
    assert said.startswith("48 photos to learn from")
    assert best_epoch["epoch"] in (0, 1, 2)
    assert "before training" in verdict
    assert report.queries == 12


def test_the_last_expression_of_a_cell_is_its_value_and_a_failing_cell_says_which(tmp_path):
    sources = ["number = 6\nnumber * 7", "number = 1", "number / 0"]
    cells = [{"cell_type": "code", "source": [source]} for source in sources]
    (tmp_path / "broken.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    running = notebooks.run(tmp_path / "broken.ipynb")
    assert [next(running), next(running)] == [42, None]
    with pytest.raises(ZeroDivisionError) as raised:
        next(running)
    assert extract_tb(raised.tb)[-1].filename == "broken.ipynb, cell 3"
