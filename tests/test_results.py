"""The tables of the README and of docs/results.md say what the files in results/ say, and nothing else."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sameplace import models
from sameplace.errors import DatasetError
from sameplace.evaluation import Report
from sameplace.modelfile import read_header

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
FILES = sorted(RESULTS.glob("*.json"))
STALE = "run `python scripts/results.py --tables`"


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "results.py")))


def test_the_readme_shows_the_figures_of_the_files(script) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(script.FIGURES.findall(readme)) == 1
    assert readme == script.with_figures(readme, RESULTS), STALE


def test_the_page_of_results_shows_the_figures_of_the_files(script) -> None:
    assert (ROOT / "docs" / "results.md").read_text("utf-8") == script.page(RESULTS), STALE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_figure_has_its_protocol_commit_and_command_and_no_path_of_a_machine(path: Path, script) -> None:
    told = json.loads(path.read_text("utf-8"))
    assert told["protocol"]
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", told["commit"])
    assert f" {told['model']} " in told["command"]
    assert told["dataset"] in told["command"]
    assert path.name == f"{told['dataset']}.{told['model']}.json"
    assert not re.search(r'(^|[\s"=])(/[\w.-]+){2,}|[A-Z]:\\', path.read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_figure_is_of_the_model_that_is_published_today(path: Path) -> None:
    told = json.loads(path.read_text("utf-8"))
    if told["model"] in {model.name for model in models.published()}:
        assert told["identity"] == read_header(models.find(told["model"]))["identity"], f"measure {told['model']} again"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two saved reports; the figures are those of a run, but the names are other ones."""
    template = json.loads((RESULTS / "toytown.thumbnails.json").read_text("utf-8"))
    for name, share in (("vgg16-vlad", 0.25), ("thumbnails", 0.125)):
        told = {**template, "model": name, "dataset": "gardens-point", "recall": {**template["recall"], "1": share}}
        (tmp_path / f"gardens-point.{name}.json").write_text(json.dumps(told))
    return tmp_path


def test_another_figure_makes_another_table(two: Path, script) -> None:
    before, page = script.readme_table(two), script.page(two)
    path = two / "gardens-point.vgg16-vlad.json"
    path.write_text(path.read_text().replace("0.25", "0.375"))
    assert before != script.readme_table(two)
    assert page != script.page(two)
    assert "25.0 (" in before
    assert "37.5 (" in script.readme_table(two)


def test_the_table_has_a_row_a_model_the_printed_figure_and_the_protocol(two: Path, script) -> None:
    lines = script.readme_table(two).splitlines()
    rows = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")][2:]
    assert rows == ["`thumbnails`", "`vgg16-vlad`", script.PRINTED_MODEL]
    assert "| 58.5 |" in "\n".join(lines)
    assert Report.open(two / "gardens-point.thumbnails.json").protocol in "\n".join(lines)


@pytest.mark.parametrize("what", ["protocol", "fingerprint"])
def test_figures_of_two_protocols_or_of_other_files_are_never_in_one_table(two: Path, script, what: str) -> None:
    path = two / "gardens-point.vgg16-vlad.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), what: "another"}))
    with pytest.raises(DatasetError, match="gardens-point are not of one protocol"):
        script.readme_table(two)


def test_a_readme_keeps_what_stands_around_its_figures(two: Path, script) -> None:
    readme = "before\n<!-- figures: of runs -->\nold\n<!-- /figures -->\nafter\n"
    written = script.with_figures(readme, two)
    assert written.startswith("before\n<!-- figures: of runs -->\n| recall@1")
    assert written.endswith("\n<!-- /figures -->\nafter\n")
    assert "old" not in written
    assert script.with_figures(written, two) == written


def test_every_model_and_baseline_is_in_the_run(script) -> None:
    assert {"thumbnails", "rootsift-vlad", *(model.name for model in models.published())} <= set(script.MODELS)
    assert {f"vgg16-{kind}" for kind in ("max", "average", "vlad-raw")} <= set(script.MODELS)
    assert {"gardens-point", "gardens-point-day", "toytown"} <= set(script.DATASETS)


def test_without_the_photos_the_run_says_what_is_missing(script, monkeypatch, capsys) -> None:
    monkeypatch.delenv("SAMEPLACE_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["results.py", "--models", "thumbnails", "--datasets", "gardens-point"])
    before = [path.read_text("utf-8") for path in FILES]
    assert script.main() == 1
    assert "gardens-point needs the photos; let SAMEPLACE_DATA name" in capsys.readouterr().err
    assert [path.read_text("utf-8") for path in FILES] == before


def test_the_benchmark_of_scoring_measures_and_keeps_what_it_measured(tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "score_pitts30k.py")]  # in its own process: it measures its memory
    sizes = ["--database", "96", "--queries", "60", "--dim", "64", "--to", str(tmp_path / "folder" / "measured.json")]
    done = subprocess.run([*program, *sizes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 x 96 descriptors of 64 numbers scored in " in done.stdout
    told = json.loads((tmp_path / "folder" / "measured.json").read_text("utf-8"))
    assert (told["queries"], told["database"], told["descriptor"]) == (60, 96, 64)
    assert 0 < told["seconds"] < told["seconds_wanted"] == 60
    assert told["gigabytes_wanted"] == 2


@pytest.mark.slow
def test_scoring_at_the_size_of_pittsburgh_takes_less_than_a_minute_and_2_gb(tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "score_pitts30k.py"), "--to", str(tmp_path / "measured.json")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_scoring_at_the_size_of_pittsburgh_was_measured_and_fits() -> None:
    told = json.loads((RESULTS / "benchmarks" / "score_pitts30k.json").read_text("utf-8"))
    assert (told["queries"], told["database"], told["descriptor"]) == (6_816, 10_000, 4_096)
    assert told["seconds"] < told["seconds_wanted"] == 60
    assert told["peak_over_descriptors_gigabytes"] < told["gigabytes_wanted"] == 2
    assert told["hardware"]["cores"] <= 2
