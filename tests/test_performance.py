"""docs/performance.md and its plots say what the files in results/benchmarks/ say, and nothing else."""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "benchmarks"
STALE = "run `python scripts/performance.py --tables`"


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "performance.py")))


def test_the_page_of_performance_shows_the_figures_of_the_files(script) -> None:
    assert (ROOT / "docs" / "performance.md").read_text("utf-8") == script.page(RESULTS), STALE


def test_the_plots_of_performance_show_the_figures_of_the_files(script) -> None:
    plots = script.plots(RESULTS)
    assert set(plots) == {"search-growth.svg", "search-curve-real.svg", "search-curve.svg"}
    for name, canvas in plots.items():
        assert (ROOT / "docs" / "images" / name).read_text("utf-8") == canvas.svg(), STALE


def test_a_figure_stands_with_its_command_protocol_commit_and_machine_and_no_path_of_one(script) -> None:
    page = script.page(RESULTS)
    shown = [path for claim in script.CLAIMS for path in script.files(claim, RESULTS)]
    assert len(shown) == len(set(shown)) >= 5
    for path in shown:
        told = json.loads(path.read_text("utf-8"))
        (line,) = [line for line in page.splitlines() if line.startswith(f"- [{path.name}]")]
        assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", told["commit"])
        for part in (told["command"], told["commit"], told["benchmark"], told["hardware"]["processor"]):
            assert part in line
        assert not re.search(r'(^|[\s"=])(/[\w.-]+){2,}|[A-Z]:\\', path.read_text("utf-8"))


def test_another_figure_makes_another_page_and_another_plot(script, tmp_path: Path) -> None:
    for path in RESULTS.glob("search_speed.drawn.*.json"):
        (tmp_path / path.name).write_text(path.read_text("utf-8"))
    page, plots = script.page(tmp_path), script.plots(tmp_path)
    assert page.count("\n## ") == 1, "what was not measured is not told"
    changed = tmp_path / "search_speed.drawn.1000000.json"
    told = json.loads(changed.read_text("utf-8"))
    told["milliseconds"]["index"]["median"] *= 3
    told["curve"][0]["times_flat"] *= 3
    changed.write_text(json.dumps(told))
    assert script.page(tmp_path) != page
    assert all(script.plots(tmp_path)[name].svg() != canvas.svg() for name, canvas in plots.items())


def test_a_busy_machine_is_told_from_a_quiet_one(script) -> None:
    told = {"hardware": {"processor": "P"}, "machine_cores": 2}
    assert script.machine({**told, "load_before": 0.4}) == "P, 2 cores, load 0.4"
    assert script.machine({**told, "load_before": 4.5}) == "P, 2 cores, load 4.5 (busy)"
    assert script.machine(told) == "P; the load was not recorded"


def test_every_benchmark_is_run_by_make(script) -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert {run.script for run in script.RUNS} == scripts - {"search_growth", "search_curve", "search_data"}
    written = {
        path for claim in script.CLAIMS for run in script.RUNS if Path(f"{run.name}.json").match(claim.files) for path in [run]
    }
    assert written == set(script.RUNS), "and has its table"


def test_a_run_keeps_how_busy_the_machine_was_and_tells_what_was_missed(script, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "quick.py").write_text(
        "import json, sys\nopen(sys.argv[-1], 'w').write(json.dumps({'given': sys.argv[1:-2]}))\nsys.exit('--miss' in sys.argv)\n"
    )
    names = script.measure.__globals__
    monkeypatch.setitem(names, "BENCHMARKS", tmp_path)
    monkeypatch.setitem(names, "RESULTS", tmp_path)
    assert script.measure(script.Run(name="one", script="quick", arguments=("PHOTOS", "--rows", "3")), {"PHOTOS": "here"})
    told = json.loads((tmp_path / "one.json").read_text())
    assert told["given"] == ["here", "--rows", "3"]
    assert told["load_before"] >= 0
    assert told["machine_cores"] >= 1
    assert script.Run(name="one", script="quick", arguments=("PHOTOS",)).lacks({})
    assert not script.measure(script.Run(name="two", script="quick", arguments=("--miss",)), {})


def test_the_benchmark_of_the_layer_measures_and_keeps_what_it_measured(tmp_path: Path, capsys) -> None:
    main = runpy.run_path(str(ROOT / "benchmarks" / "layer_speed.py"))["main"]
    assert main(["--batch", "2", "--rounds", "1", "--uncompiled", "--to", str(tmp_path / "layer.json")]) == 0
    assert "forward + backward, sameplace" in capsys.readouterr().out
    told = json.loads((tmp_path / "layer.json").read_text("utf-8"))
    assert told["largest_difference"] < 1e-4
    assert told["times_the_loop"]["forward"]["sameplace"]["median"] > 1
