"""The index of a large atlas follows its photos: the same answers through adding, removing, merging and learning anew."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TinyDescriber
from sameplace.atlas import Atlas, Where, indexfiles, indexing, snapshot
from sameplace.atlas.indexing import due
from sameplace.atlas.manifest import Index, MeasuredRecall, Model, Tombstones
from sameplace.atlas.segment import Entry, Rows
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.writer import create, writing
from sameplace.cli.app import run
from sameplace.errors import AtlasError
from sameplace.geo import LatLon
from sameplace.search import Approximate, Exact, approximate, exact

pytest.importorskip("faiss")
DIM = 64


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """An index from 300 photos on, three lists from 1,200 on, and no waiting for power cuts that test_atlas_crash.py is about."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(indexfiles, "EXACT_UP_TO", 300)
    monkeypatch.setattr(indexing, "UNCODED_UP_TO", 20)
    monkeypatch.setattr(indexing, "lists_for", lambda rows: 1 if rows < 1200 else 3)
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 10)


def descriptors(count, *, seed=0, towards=0.0):
    """Unit vectors, each of one of 50 places."""
    rng = np.random.default_rng(seed)
    drawn = np.random.default_rng(1).standard_normal((50, DIM))[rng.integers(0, 50, count)] + 0.7 * rng.standard_normal(
        (count, DIM)
    )
    drawn[:, 0] += towards
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def rows(taken, names):
    """Rows that could be of photos."""
    facts = {"size": 1, "mtime_ns": 1, "row": "", "heading_deg": None, "time": None, "panorama": None, "place": None}
    entries = [Entry(path=f"/photos/{name:06}.jpg", content=f"{name:032x}", camera=None, extra={}, **facts) for name in names]
    positions = np.array([[48 + name / 1000, 11.0] for name in names])
    return Rows.of(entries, positions, taken)


@pytest.fixture
def folder(tmp_path):
    create(tmp_path / "large.atlas", Model(name="none", identity="none-1", dim=DIM, size=(8, 8), source="none"))
    return tmp_path / "large.atlas"


def added(folder, count, *, seed=0, towards=0.0, first=0):
    with writing(folder) as writer:
        names = range(first, first + count)
        writer.commit(
            added=rows(descriptors(count, seed=seed, towards=towards), names), runtime="none", precision="none", frame="earth"
        )
        writer.tidy()
        return writer.snapshot


def removed(folder, which):
    with writing(folder) as writer:
        writer.commit(removed=which)
        writer.tidy()
        return writer.snapshot


def agrees(held):
    """Whether the index finds what exact search finds."""
    index = held.index()
    assert isinstance(index, Approximate)
    index = replace(index, effort=approximate.Effort(probes=3, depth=300))
    queries = descriptors(40, seed=77).astype(np.float32)
    found = index.search(queries, 5)
    right = Exact(blocks=held.blocks, present=held.present).search(queries, 5)
    assert held.present is None or held.present[found.rows].all()
    return float(np.mean(found.rows == right.rows)) > 0.97


def index_files(held):
    return {path.name for path in (held.folder / "index").iterdir()}


def test_a_small_atlas_keeps_no_index_and_a_large_one_does(folder):
    small = added(folder, 299)
    assert small.manifest.index is None
    assert isinstance(small.index(), Exact)
    assert not (folder / "index").exists()
    large = added(folder, 1, seed=1, first=299)
    assert large.manifest.index.rows == 300
    assert agrees(large)
    assert index_files(large) == set(large.manifest.index.files)


def test_new_photos_wait_then_are_young_then_join_the_lists(folder):
    first = added(folder, 1500)
    assert first.manifest.index.lists == 3
    waiting = added(folder, 20, seed=1, first=1500)
    assert waiting.manifest.index == first.manifest.index
    assert agrees(waiting)
    young = added(folder, 60, seed=2, first=1520)
    assert [part.codes for part in young.manifest.index.codes] == [1500, 80]
    assert young.manifest.index.codes[0] == first.manifest.index.codes[0]
    assert agrees(young)
    more = added(folder, 30, seed=3, first=1580)
    assert [part.codes for part in more.manifest.index.codes] == [1500, 110]
    assert agrees(more)
    joined = added(folder, 100, seed=4, first=1610)
    assert [part.codes for part in joined.manifest.index.codes] == [1710]
    assert joined.manifest.index.unexplained == first.manifest.index.unexplained
    assert joined.manifest.index.rotation == first.manifest.index.rotation
    assert agrees(joined)
    assert index_files(joined) == set(joined.manifest.index.files)


def test_an_open_atlas_answers_from_the_index_it_was_opened_with(folder):
    added(folder, 400)
    before = Snapshot.load(folder)
    after = added(folder, 200, seed=1, first=400)
    assert before.manifest.index.codes != after.manifest.index.codes
    assert agrees(before)
    assert len(before) == 400


def test_compaction_renumbers_and_codes_nothing_again(folder):
    added(folder, 900)
    added(folder, 40, seed=1, first=900)
    first = added(folder, 21, seed=2, first=940)
    gone = np.concatenate([np.arange(0, 460), [905, 950]])
    thinned = removed(folder, gone)
    assert thinned.manifest.rows < 900
    assert thinned.manifest.index.dropped.rows == 460
    assert thinned.manifest.index.codes == first.manifest.index.codes
    assert agrees(thinned)
    again = added(folder, 60, seed=3, first=961)
    assert agrees(again)
    assert agrees(Snapshot.load(folder))
    assert index_files(again) == set(again.manifest.index.files)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=8), st.integers(0, 2**20))
def test_whatever_is_added_and_removed_every_photo_finds_itself_and_none_that_is_gone(tmp_path_factory, steps, seed):
    folder = tmp_path_factory.mktemp("history") / "large.atlas"
    create(folder, Model(name="none", identity="none-1", dim=DIM, size=(8, 8), source="none"))
    rng, names = np.random.default_rng(seed), 700
    held = added(folder, names, seed=seed)
    for step, (adding, count) in enumerate(steps):
        if adding:
            held = added(folder, count, seed=seed + step, first=names)
            names += count
        elif len(held) > count + 310:
            held = removed(folder, rng.choice(held.rows(), count, replace=False))
    assert isinstance(held.index(), Approximate)
    some = rng.choice(held.rows(), 50, replace=False)
    found = replace(held.index(), effort=approximate.Effort(probes=3, depth=200)).search(
        held.descriptors(some).astype(np.float32), 1
    )
    assert (found.rows[:, 0] == some).all()
    assert index_files(held) == set(held.manifest.index.files)


def test_a_filter_and_the_index_together_find_what_fits(folder):
    held = added(folder, 1300)
    chosen = held.chosen(Where(near=LatLon(48.5, 11.0), within=20_000.0))
    assert 300 < chosen.sum() < 400
    queries = descriptors(30, seed=5).astype(np.float32)
    found = replace(held.index(chosen), effort=approximate.Effort(probes=3, depth=200)).search(queries, 5)
    right = Exact(blocks=held.blocks, present=chosen).search(queries, 5)
    assert chosen[found.rows].all()
    assert np.mean(found.rows == right.rows) > 0.97


# Learning anew


def an_index(**facts):
    recall = MeasuredRecall(queries=1, images=1, at_1=1.0, at_10=1.0)
    known = {"rotation": "r", "codes": (), "numbered": 500, "dropped": None, "lists": 1, "unexplained": 1.0}
    known |= {"probes": 64, "depth": 100, "recall": recall}
    return Index(**{**known, **facts})


@pytest.mark.parametrize(
    ("index", "images", "stored", "what"),
    [
        (None, 299, 299, "nothing"),
        (None, 300, 900, "learn"),
        (an_index(), 500, 520, "nothing"),
        (an_index(), 500, 521, "extend"),
        (an_index(), 150, 500, "nothing"),
        (an_index(), 149, 500, "forget"),
        (an_index(), 1200, 1200, "learn"),
        (an_index(numbered=1200, lists=3), 1199, 1200, "nothing"),
        (an_index(numbered=1200, lists=3), 599, 1200, "learn"),
        (an_index(numbered=1100, dropped=Tombstones(file="d", rows=551)), 549, 549, "learn"),
    ],
)
def test_what_is_due_depends_on_what_the_atlas_holds(index, images, stored, what):
    assert due(index, images, stored) == what


def test_when_other_photos_come_the_centroids_are_learnt_anew(folder):
    first = added(folder, 1500).manifest.index
    same = added(folder, 300, seed=1, first=1500).manifest.index
    assert (same.rotation, same.unexplained) == (first.rotation, first.unexplained)
    moved = added(folder, 1500, seed=2, towards=12.0, first=1800)
    assert moved.manifest.index.rotation != first.rotation
    assert moved.manifest.index.unexplained < 0.9 * first.unexplained
    assert agrees(moved)


def test_photos_that_came_and_went_before_they_had_codes_need_none(folder):
    first = added(folder, 400)
    with writing(folder) as writer:
        writer.commit(added=rows(descriptors(30, seed=1), range(400, 430)), runtime="none", precision="none", frame="earth")
        writer.commit(removed=np.arange(400, 430))
        held = indexing.renewed(writer.snapshot, "00000009", writer._write_index)
    assert (held.numbered, held.codes) == (430, first.manifest.index.codes)


def test_an_atlas_that_shrinks_forgets_its_index(folder):
    added(folder, 400)
    held = removed(folder, np.arange(300))
    assert held.manifest.index is None
    assert isinstance(held.index(), Exact)
    assert index_files(held) == set()


# Recall, and what the user sees


def test_the_summary_tells_the_index_its_memory_and_its_recall(folder):
    told = Atlas(added(folder, 1500)).summary()["index"]
    assert (told["kind"], told["lists"], told["codes"], told["uncoded"]) == ("approximate", 3, 1500, 0)
    assert 16 < told["bytes_per_image"] < 100
    assert told["recall"]["queries"] == indexing.RECALL_QUERIES
    assert 0.9 < told["recall"]["at_10"] <= told["recall"]["at_1"] <= 1
    assert Atlas(added(folder, 5, first=1500)).summary()["index"]["uncoded"] == 5


def test_show_tells_it_too_in_words_and_in_json_as_its_schema_says(folder, capsys):
    added(folder, 400)
    assert run(["show", str(folder)]) == 0
    assert "kind: approximate" in capsys.readouterr().out
    assert run(["show", str(folder), "--json"]) == 0
    schema = json.loads((Path(__file__).parent.parent / "docs" / "schema" / "show.json").read_text())
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, schema)
    assert told["index"]["recall"]["images"] == 400


def test_recall_is_that_of_photos_that_are_not_there_themselves(folder, monkeypatch):
    held = added(folder, 600)
    asking = indexing.sample(held.rows(), indexing.RECALL_QUERIES)
    queries = held.descriptors(asking).astype(np.float32)
    for effort in (approximate.Effort(depth=1), approximate.Effort(depth=300)):
        monkeypatch.setattr(indexing, "EFFORTS", (effort,))
        index = replace(held.index(), effort=effort)
        shares = []
        for query, row, found in zip(queries, asking, index.search(queries, 11).rows, strict=True):
            right = exact(query[None], [np.delete(held.blocks[0], row, axis=0)], 10).rows[0]
            found = found[found != row][:10]
            shares.append(np.isin(found - (found > row), right).mean())
        assert indexing.measured(held, index)[1].at_10 == pytest.approx(np.mean(shares), abs=0.02)


def test_more_is_looked_at_where_that_is_needed_and_only_there(folder, monkeypatch):
    efforts = (
        approximate.Effort(probes=1, depth=1),
        approximate.Effort(probes=3, depth=300),
        approximate.Effort(probes=9, depth=900),
    )
    monkeypatch.setattr(indexing, "EFFORTS", efforts)
    monkeypatch.setattr(indexing, "RECALL_AT_1", 0.0)
    monkeypatch.setattr(indexing, "RECALL_AT_10", 0.0)
    held = added(folder, 1500)
    assert held.index().effort == efforts[0]
    least = held.manifest.index.recall.at_10
    assert least < 1
    monkeypatch.setattr(indexing, "RECALL_AT_10", least + 1e-6)
    effort, recall = indexing.measured(held, held.index())
    assert effort == efforts[1]
    assert recall.at_10 > least
    monkeypatch.setattr(indexing, "RECALL_AT_10", 2.0)
    assert indexing.measured(held, held.index())[0] == efforts[2]


def test_a_small_atlas_says_that_it_is_searched_exactly(folder):
    assert Atlas(added(folder, 30)).summary()["index"] == {"kind": "exact"}


def test_without_faiss_all_is_compared_and_the_index_is_left_as_it_is(folder, monkeypatch):
    held = added(folder, 400)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "faiss", None)
        opened = Snapshot.load(folder)
        assert isinstance(opened.index(), Exact)
        assert "pip install 'sameplace[large]'." in opened.advice
        more = added(folder, 100, seed=1, first=400)
        assert more.manifest.index == held.manifest.index
        thinned = removed(folder, np.arange(0, 250))
        assert thinned.manifest.index.dropped.rows == 250
        assert Atlas(thinned).summary()["index"] == {"kind": "exact"}
    assert agrees(Snapshot.load(folder))


def test_locate_says_once_what_would_make_it_quicker(tmp_path, monkeypatch, capsys):
    from PIL import Image

    from sameplace import models

    monkeypatch.setattr(models, "describer", lambda *_, **__: TinyDescriber())
    monkeypatch.setattr(indexfiles, "EXACT_UP_TO", 5)
    for number in range(6):
        picture = Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8))
        (tmp_path / "town").mkdir(exist_ok=True)
        picture.save(tmp_path / "town" / f"@{number}.0@0.0@@.png")
    without = pytest.MonkeyPatch()
    without.setitem(sys.modules, "faiss", None)
    Atlas.build(tmp_path / "town", at=tmp_path / "a", model=TinyDescriber())
    photos = [str(path) for path in sorted((tmp_path / "town").iterdir())]
    assert run(["locate", *photos, "--atlas", str(tmp_path / "a"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("pip install 'sameplace[large]', then `sameplace index` again.") == 1
    assert len(told.out.splitlines()) == 6
    without.undo()
    assert run(["locate", *photos, "--atlas", str(tmp_path / "a")]) == 0
    assert "sameplace[large]" not in capsys.readouterr().err


def test_a_small_atlas_is_built_searched_and_shown_without_loading_faiss(folder):
    program = """
import sys
from pathlib import Path
import numpy as np
from conftest import TinyDescriber
from PIL import Image
from sameplace import Atlas, Where
town = Path(sys.argv[1])
town.mkdir()
for number in range(3):
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)).save(town / f"@{number}.0@0.0@@.png")
atlas = Atlas.build(town, at=town.with_suffix(".atlas"), model=TinyDescriber())
atlas.locate(next(town.glob("*.png")))
assert atlas.summary()["index"] == {"kind": "exact"}
sys.exit("faiss" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    assert not subprocess.run([sys.executable, "-c", program, str(folder.parent / "town")], check=False, env=environment).returncode


# What may be wrong with it


def test_a_damaged_index_is_told_with_its_cure_which_works(folder):
    held = added(folder, 400)
    file = folder / "index" / held.manifest.index.codes[0].file
    content = file.read_bytes()
    file.write_bytes(content[:-8])
    with pytest.raises(AtlasError, match=r'bytes were wanted.*write "index": null'):
        Snapshot.load(folder)
    file.write_bytes(b"x" * len(content))
    with pytest.raises(AtlasError, match=r'holds no codes.*write "index": null'):
        Snapshot.load(folder).index()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "index": None}))
    assert isinstance(Snapshot.load(folder).index(), Exact)
    assert agrees(added(folder, 1, first=400))


def test_a_missing_file_of_the_index_is_named(folder):
    held = added(folder, 400)
    (folder / "index" / held.manifest.index.rotation).unlink()
    with pytest.raises(AtlasError, match=r"rotation.npy is missing"):
        Snapshot.load(folder)


def test_an_atlas_from_before_there_was_an_index_is_read_and_gets_one(folder):
    added(folder, 299)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["index"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert isinstance(Snapshot.load(folder).index(), Exact)
    assert agrees(added(folder, 10, seed=1, first=299))


def test_opening_reads_neither_entries_nor_codes(folder, monkeypatch):
    held = added(folder, 400)
    monkeypatch.setattr(snapshot.Segment, "entries", None)
    monkeypatch.setattr(indexfiles.Codes, "read", None)
    assert len(Atlas.open(folder)) == len(held)
    assert isinstance(Path(folder), Path)
