"""Where to take more photos: parts that are sparse, that look like others, or were seen in one light."""

import json

import numpy as np
import pytest

from conftest import TinyDescriber
from milvus_fake import FakeMilvus
from sameplace import Atlas
from sameplace.atlas import writer
from sameplace.atlas.manifest import Model
from sameplace.cli.app import run
from test_atlas import draw
from test_calibration import DIM, streets, unit, write


def test_weak_parts_are_told_apart_by_why_they_are_weak(tmp_path, capsys):
    rng = np.random.default_rng(0)
    good = unit(rng.normal(size=DIM) + 0.3 * rng.normal(size=(10, DIM)))
    alone = unit(rng.normal(size=(1, DIM)))
    twins = unit(rng.normal(size=(6, DIM)))
    twins = unit(np.repeat(twins, 2, axis=0) + 0.05 * rng.normal(size=(12, DIM)))  # each looks like one of the other part
    steps = np.column_stack([np.arange(10) * 3.0, np.zeros(10)])
    twin_points = np.column_stack([np.where(np.arange(12) % 2, 3000.0, 2000.0) + np.arange(12) * 2, np.zeros(12)])
    points = np.vstack([steps, [[1000.0, 0.0]], twin_points])
    write(tmp_path / "atlas", np.vstack([good, alone, twins]), points)
    parts = Atlas.open(tmp_path / "atlas").coverage()
    told = {(round(part.position.x_m / 1000), part.weakness) for part in parts}
    assert told == {(0, None), (1, "sparse"), (2, "look-alike"), (3, "look-alike")}
    strong = [part for part in parts if part.weakness is None]
    assert [sum(getattr(part, name) for part in strong) for name in ("photos", "asked", "found")] == [10, 10, 10]
    for part in parts:
        if part.weakness == "look-alike":
            taken = int(part.taken_for.removeprefix("/photos/").removesuffix(".jpg"))
            assert abs(points[taken][0] - part.position.x_m) > 900
    assert run(["show", str(tmp_path / "atlas"), "--coverage", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [part["weakness"] for part in told["parts"]] == [part.weakness for part in parts]
    assert run(["show", str(tmp_path / "atlas"), "--coverage"]) == 0
    shown = capsys.readouterr()
    weak = len(parts) - len(strong)
    assert shown.out.count("\n") == weak
    assert f"{weak} parts of {len(parts)} are weak" in shown.err


def test_coverage_is_shown_on_a_map_of_its_own(tmp_path, capsys):
    look, points = streets(np.random.default_rng(0), 40)
    write(tmp_path / "atlas", look(), points)
    assert run(["show", str(tmp_path / "atlas"), "--coverage", "--map", str(tmp_path / "weak.html")]) == 0
    assert "weak.html" in capsys.readouterr().err
    assert "Where is this atlas weak?" in (tmp_path / "weak.html").read_text("utf-8")


def test_coverage_without_a_map_is_asked_of_show(tmp_path, capsys):
    assert run(["locate", "a.jpg", "--atlas", str(tmp_path), "--coverage"]) == 2
    assert "--map" in capsys.readouterr().err


def test_a_part_that_was_seen_in_one_light_is_told_where_others_were_seen_in_several(tmp_path):
    look, points = streets(np.random.default_rng(0), 60)
    far = points + np.array([5000.0, 0.0])
    times = [f"2024-0{month}-01T10:{row:02d}:00" for month in (3, 9, 3) for row in range(60)]
    write(tmp_path / "atlas", np.vstack([look(), look(), look()]), np.vstack([points, points, far]), times)
    weak = {part.weakness for part in Atlas.open(tmp_path / "atlas").coverage() if part.position.x_m > 4000}
    assert weak == {"one light"}


@pytest.mark.parametrize("flags", [["--root", "x"], ["--radius", "10"], ["--burst"], ["--thorough"], ["--plots", "x"]])
def test_flags_that_examine_something_else_are_not_passed_over(flags, tmp_path, capsys):
    assert run(["show", str(tmp_path), "--coverage", *flags]) == 2
    assert "--coverage looks at an atlas, and --root, --radius, --burst, --thorough and --plots do not" in capsys.readouterr().err


def test_the_coverage_of_an_empty_atlas_is_refused_in_one_sentence(tmp_path, capsys):
    atlas = tmp_path / "atlas"
    writer.create(atlas, Model(name="drawn", identity="drawn", dim=DIM, size=(8, 8), source="drawn"))
    for flags in ([], ["--json"], ["--map", str(tmp_path / "weak.html")]):
        assert run(["show", str(atlas), "--coverage", *flags]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"The atlas {atlas} holds no photos yet; add some with `sameplace index PHOTOS --to {atlas}`." in printed.err
    assert not (tmp_path / "weak.html").exists()


def test_an_emptied_atlas_on_a_server_is_called_by_its_address(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pymilvus")
    town, fake = "milvus://server.example/town", FakeMilvus()
    monkeypatch.setattr("pymilvus.MilvusClient", lambda uri, token, timeout: fake)
    draw(tmp_path, ["a.jpg", "b.jpg"])
    assert Atlas.build(tmp_path, at=town, model=TinyDescriber()).remove(tmp_path) == 2
    assert run(["show", town, "--coverage", "--json"]) == 1
    assert f"The atlas {town} holds no photos yet" in capsys.readouterr().err


def test_an_empty_atlas_has_no_parts(tmp_path):
    writer.create(tmp_path / "atlas", Model(name="drawn", identity="drawn", dim=DIM, size=(8, 8), source="drawn"))
    assert Atlas.open(tmp_path / "atlas").coverage() == ()
