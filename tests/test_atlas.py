"""An atlas answers where photos were taken, follows its photos, and says what is wrong with it."""

import errno
import json
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from conftest import TinyDescriber
from sameplace.atlas import Atlas, Estimate, disk, writer
from sameplace.atlas.segment import Entry
from sameplace.atlas.snapshot import Snapshot
from sameplace.atlas.writer import merges, renumbered
from sameplace.description import DescriptorCache
from sameplace.errors import AtlasError, ImageError, ModelError
from sameplace.geo import LatLon, LocalPoint, distance
from sameplace.images import ImageFile, ImageSet, Problem

STEP = 0.001  # degrees, about 111 m


class Counting(TinyDescriber):
    """Counts the photos it had to describe."""

    def __init__(self):
        self.described = 0

    def describe(self, images):
        self.described += len(images)
        return super().describe(images)


class Other(TinyDescriber):
    name, identity = "other", "other-1"


def picture(seed):
    """A soft random picture, different for every seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(colours).resize((64, 64), Image.Resampling.BICUBIC)


def draw(folder, names, position=lambda number: f"{48 + STEP * number},{11}", header="file,lat,lon"):
    """Write photos and their positions.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        picture(number).save(folder / name)
    table(folder, {name: position(number) for number, name in enumerate(names)}, header)


def table(folder, rows, header="file,lat,lon"):
    (folder / "positions.csv").write_text("\n".join([header, *(f"{name},{cells}" for name, cells in rows.items())]) + "\n")


def content(atlas):
    """All that an atlas knows, by path."""
    snapshot = atlas._snapshot
    rows = [row for row, _ in snapshot.entries()]
    positions, descriptors = snapshot.positions(np.array(rows, np.int64)), snapshot.descriptors(np.array(rows, np.int64))
    found = {
        Path(entry.path).name: (positions[number], descriptors[number].tobytes(), entry)
        for number, (_, entry) in enumerate(snapshot.entries())
    }
    assert len(found) == len(atlas)
    return found


def paths(atlas):
    return {entry.path for _, entry in atlas._snapshot.entries()}


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch):
    """Half the time of these tests would go into waiting for the disk; test_atlas_crash.py is about that."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def town(tmp_path):
    draw(tmp_path / "town", [f"{number:02}.png" for number in range(24)])
    return tmp_path / "town"


@pytest.fixture
def atlas(town, tmp_path):
    return Atlas.build(town, at=tmp_path / "town.atlas", model=Counting())


def reopened(atlas):
    return Atlas.open(atlas.path, TinyDescriber())


# Locating


def test_a_photo_of_the_atlas_is_found_where_it_was_taken(atlas, town):
    estimate = atlas.locate(town / "07.png", top=3)
    assert isinstance(estimate, Estimate)
    assert estimate.matches[0].path == str(town / "07.png")
    assert estimate.matches[0].similarity == pytest.approx(1, abs=2e-3)
    assert distance(estimate.position, LatLon(48 + 7 * STEP, 11.0)) < 1
    assert estimate.known is True
    assert [len(estimate.matches), estimate.calibrated, estimate.radius] == [3, False, 5.0]


def test_the_position_does_not_depend_on_how_many_matches_are_shown(atlas, tmp_path):
    picture(1000).save(tmp_path / "query.png")
    answers = [atlas.locate(tmp_path / "query.png", top=top) for top in (1, 5, 24, 100)]
    assert len({answer.position for answer in answers}) == 1
    assert [len(answer.matches) for answer in answers] == [1, 5, 24, 24]


def test_a_place_that_is_nowhere_in_the_atlas_is_not_known(atlas, tmp_path):
    Image.linear_gradient("L").rotate(90).save(tmp_path / "elsewhere.png")
    assert atlas.locate(tmp_path / "elsewhere.png").known is False


def test_a_small_atlas_cannot_tell_what_it_knows(town, tmp_path):
    few = Atlas.build([town / f"{number:02}.png" for number in range(12)], at=tmp_path / "few", model=TinyDescriber())
    assert len(few) == 12
    assert few.locate(town / "00.png").known is None


def test_no_similarity_exceeds_that_of_a_photo_with_itself(tmp_path, town):
    class Long(TinyDescriber):
        def describe(self, images):
            return super().describe(images) * np.float32(1.0001)  # as far off unit length as half precision leaves a descriptor

    atlas = Atlas.build(town, at=tmp_path / "long", model=Long())
    matches = atlas.locate(town / "07.png", top=24).matches
    assert matches[0].similarity == 1
    assert all(-1 <= match.similarity <= 1 for match in matches)


def test_a_level_of_impostors_is_no_higher_than_one(tmp_path, town):
    class Same(TinyDescriber):
        def describe(self, images):
            return np.full((len(images), self.dim), 1.0001 / np.sqrt(self.dim), np.float32)

    atlas = Atlas.build(town, at=tmp_path / "same", model=Same())
    assert atlas.summary()["impostor_similarity"] == 1
    assert atlas.locate(town / "07.png").known is False


def test_many_photos_are_answered_in_order_and_an_unreadable_one_by_its_problem(atlas, town, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    photos = [
        town / "03.png",
        tmp_path / "broken.jpg",
        *(town / f"{number:02}.png" for number in range(20)),
        tmp_path / "missing.png",
    ]
    answers = list(atlas.locate_all(photos))
    assert [type(answer) for answer in answers] == [Estimate, Problem, *[Estimate] * 20, Problem]
    assert [answer.photo if isinstance(answer, Estimate) else answer.path for answer in answers] == [str(photo) for photo in photos]
    assert answers[1].reason
    with pytest.raises(ImageError, match="check the path"):
        atlas.locate(tmp_path / "missing.png")


TRUST = ["level", "radii_m", "false_accept", "several_passes", "verification"]


def test_an_estimate_is_plain_json_with_nulls_where_the_frame_has_no_such_number(atlas, town, tmp_path):
    answer = json.loads(json.dumps(atlas.locate(town / "00.png", top=1).to_json()))
    assert list(answer) == ["photo", "known", "lat", "lon", "x_m", "y_m", "radius_m", "matches", "calibrated", *TRUST]
    assert list(answer["matches"][0]) == ["path", "similarity", "lat", "lon", "x_m", "y_m", "inliers", "turned_deg", "towards_deg"]
    assert (answer["x_m"], answer["matches"][0]["y_m"]) == (None, None)
    draw(tmp_path / "hall", ["a.png", "b.png"], lambda number: f"{number * 40},3", "file,x_m,y_m")
    hall = Atlas.build(tmp_path / "hall", at=tmp_path / "hall.atlas", model=TinyDescriber())
    estimate = hall.locate(tmp_path / "hall" / "b.png")
    assert distance(estimate.position, LocalPoint(40.0, 3.0)) < 0.01
    assert (hall.frame, estimate.to_json()["lat"], round(estimate.to_json()["x_m"])) == ("local", None, 40)


def test_an_empty_atlas_says_that_it_needs_photos(tmp_path, town):
    empty = Atlas.open_or_create(tmp_path / "empty", TinyDescriber())
    assert len(empty) == len(empty.positions()) == 0
    assert empty.frame is empty.summary()["extent"] is None
    with pytest.raises(AtlasError, match="sameplace index"):
        empty.locate(town / "00.png")


# Following the photos


def test_an_atlas_opened_again_holds_the_same(atlas):
    again = Atlas.open(atlas.path)
    assert content(again) == content(atlas)
    assert (again.path, again.frame, again.model) == (atlas.path, "earth", atlas.model)
    assert (again.model.name, again.model.identity, again.model.dim, again.model.size) == ("tiny", "tiny-1", 192, (32, 32))
    assert len(again.positions()) == len(again) == 24


def test_unchanged_photos_are_not_opened_and_nothing_is_written(atlas, town, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.name != "writer.lock"}
    monkeypatch.setattr(ImageSet, "record", lambda self, file: pytest.fail(f"{file.path} was opened"))
    changes = atlas.add(town)
    assert (changes.added, changes.updated, changes.removed, changes.skipped) == (0, 0, 0, ())
    assert before == {path: path.stat().st_mtime_ns for path in atlas.path.rglob("*") if path.name != "writer.lock"}


def test_new_and_changed_photos_are_described_and_no_others(atlas, town):
    atlas = Atlas.open(atlas.path, describer := Counting())
    old = content(atlas)
    picture(100).save(town / "24.png")
    picture(101).save(town / "03.png")
    rows = {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(25)}
    table(town, rows)
    changes = atlas.add(town)
    assert (changes.added, changes.updated, describer.described) == (1, 1, 2)
    new = content(reopened(atlas))
    assert len(atlas) == 25
    assert {name for name in old if new[name] != old[name]} == {"03.png"}
    assert new["03.png"][1] != old["03.png"][1]


def test_a_changed_row_moves_the_photo_without_describing_it(atlas, town):
    old = content(atlas)
    table(town, {f"{number:02}.png": f"{48 + STEP * number},{12 if number == 5 else 11}" for number in range(24)})
    described = atlas._model.described
    changes = atlas.add(town)
    assert (changes.added, changes.updated, atlas._model.described) == (0, 1, described)
    new = content(atlas)
    assert new["05.png"][:2] == (LatLon(48.005, 12.0), old["05.png"][1])
    assert {name for name in old if new[name] != old[name]} == {"05.png"}


def test_a_moved_photo_is_followed_and_a_copy_is_another_photo_and_neither_is_described(atlas, town):
    described = atlas._model.described
    old = content(atlas)
    (town / "00.png").rename(town / "moved.png")
    shutil.copy2(town / "01.png", town / "copy.png")
    rows = {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(1, 24)}
    table(town, {**rows, "moved.png": "48,11", "copy.png": "49,11"})
    changes = atlas.add(town)
    assert (changes.added, changes.updated, changes.skipped, atlas._model.described) == (1, 1, (), described)
    new = content(atlas)
    assert new.keys() == (old.keys() - {"00.png"}) | {"moved.png", "copy.png"}
    assert new["moved.png"][1] == old["00.png"][1]
    assert new["copy.png"][1] == old["01.png"][1]
    assert new["copy.png"][0] == LatLon(49.0, 11.0)


def test_copies_that_move_are_each_followed_once(atlas, town):
    shutil.copy2(town / "01.png", town / "copy.png")
    rows = {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(24)}
    table(town, {**rows, "copy.png": "49,11"})
    atlas.add(town)
    (town / "01.png").rename(town / "moved1.png")
    (town / "copy.png").rename(town / "moved2.png")
    shutil.copy2(town / "moved1.png", town / "third.png")
    table(town, {**rows, "moved1.png": "48,11", "moved2.png": "49,11", "third.png": "50,11"})
    changes = atlas.add(town)
    assert (changes.added, changes.updated, len(atlas)) == (1, 2, 26)


def test_photos_that_swap_their_names_swap_their_descriptors(atlas, town):
    old = content(atlas)
    (town / "00.png").rename(town / "swap.png")
    (town / "01.png").rename(town / "00.png")
    (town / "swap.png").rename(town / "01.png")
    changes = atlas.add(town)
    assert (changes.added, changes.updated) == (0, 2)
    new = content(atlas)
    assert (new["00.png"][1], new["01.png"][1]) == (old["01.png"][1], old["00.png"][1])


def test_copies_among_new_photos_are_described_once(town, tmp_path):
    for number in range(1, 10):
        shutil.copy(town / "00.png", town / f"{number:02}.png")
    atlas = Atlas.build(town, at=tmp_path / "copies", model=Counting(), commit_every=4)
    assert len(atlas) == 24
    assert atlas._model.described == 15


def test_a_file_that_lies_about_its_change_is_seen_through_by_verify(atlas, town):
    picture(40).save(town / "02.png", "BMP")  # every picture has the same size then
    atlas.add(town)
    stat = (town / "02.png").stat()
    picture(41).save(town / "02.png", "BMP")
    os.utime(town / "02.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    old = content(atlas)["02.png"][2].content
    assert atlas.add(town).updated == 0
    described = atlas._model.described
    assert atlas.add(town, verify=True).updated == 1
    assert atlas._model.described == described + 1
    assert content(atlas)["02.png"][2].content != old
    assert atlas.add(town, verify=True).updated == 0


def test_prune_drops_what_is_gone_below_the_folder_and_only_there(atlas, town, tmp_path):
    draw(tmp_path / "village", ["a.png", "b.png"], lambda number: f"50,{number}")
    picture(77).save(tmp_path / "village" / "a.png")
    picture(78).save(tmp_path / "village" / "b.png")
    table(town, {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(24)})
    atlas.add(tmp_path / "village")
    (tmp_path / "village" / "a.png").unlink()
    (town / "00.png").unlink()
    table(town, {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(1, 24)})
    assert (atlas.add(town).removed, len(atlas)) == (0, 26)
    changes = atlas.add(town, prune=True)
    assert (changes.removed, len(atlas)) == (1, 25)
    assert str(town / "00.png") not in paths(reopened(atlas))
    assert str(tmp_path / "village" / "a.png") in paths(atlas)


def test_prune_by_a_list_drops_what_is_gone_from_the_folders_of_its_photos_and_nothing_else(atlas, town, tmp_path):
    draw(tmp_path / "village", ["a.png", "b.png", "c.png"], lambda number: f"50,{number}")
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        picture(70 + seed).save(tmp_path / "village" / name)
    (tmp_path / "lists").mkdir()
    rows = {"../village/a.png": "50,0", "../village/b.png": "50,1", "../village/c.png": "50,2"}
    table(tmp_path / "lists", rows)
    assert atlas.add(tmp_path / "lists" / "positions.csv").added == 3
    (tmp_path / "village" / "b.png").unlink()
    (town / "00.png").unlink()
    table(tmp_path / "lists", {"../village/a.png": "50,0"})
    changes = atlas.add(tmp_path / "lists" / "positions.csv", prune=True)
    assert (changes.removed, len(atlas)) == (1, 26)
    left = paths(reopened(atlas))
    assert str(tmp_path / "village" / "b.png") not in left
    assert {str(tmp_path / "village" / "c.png"), str(town / "00.png")} <= left


def test_prune_with_no_photo_left_suspects_a_missing_disk(atlas, town):
    for path in town.iterdir():
        path.unlink()
    with pytest.raises(AtlasError, match="is a disk missing"):
        atlas.add(town, prune=True)
    assert len(reopened(atlas)) == 24


def test_removing_by_path_or_by_folder_counts_and_forgets(atlas, town, tmp_path):
    draw(tmp_path / "town2", ["x.png"], lambda number: "48,12")
    picture(90).save(tmp_path / "town2" / "x.png")
    atlas.add(tmp_path / "town2")
    assert atlas.remove([town / "00.png", str(town / "01.png")]) == 2
    assert atlas.locate(town / "00.png").matches[0].path != str(town / "00.png")
    assert atlas.remove(town) == 22
    assert paths(reopened(atlas)) == {str(tmp_path / "town2" / "x.png")}
    assert atlas.remove(tmp_path) == 1
    assert (len(atlas), atlas.frame) == (0, None)


def test_removing_what_is_not_there_removes_nothing(atlas, town):
    with pytest.raises(AtlasError, match=r"no photo at or below .*nothing.png; nothing was removed"):
        atlas.remove([town / "00.png", town / "nothing.png"])
    assert len(reopened(atlas)) == 24


def test_a_removed_photo_comes_back_when_it_is_added_again(atlas, town):
    old = content(atlas)
    atlas.remove(town / "00.png")
    assert atlas.add(town).added == 1
    assert content(atlas) == old


def test_photos_that_cannot_be_indexed_are_listed_and_cost_nothing_else(tmp_path, town):
    (town / "05.png").write_bytes((town / "05.png").read_bytes()[:500])
    picture(50).save(town / "nowhere.png")
    (town / "text.jpg").write_text("no photo")
    rows = {f"{number:02}.png": f"{48 + STEP * number},11" for number in range(24)}
    table(town, {**rows, "text.jpg": "48,11"})
    changes = Atlas.open_or_create(tmp_path / "new", TinyDescriber()).add(town)
    assert changes.added == 23
    assert {Path(problem.path).name for problem in changes.skipped} == {"05.png", "nowhere.png", "text.jpg"}
    assert all(len(problem.reason) > 10 for problem in changes.skipped)


def test_a_photo_that_vanishes_on_the_way_is_listed(atlas, town):
    picture(60).save(town / "new.png")
    table(town, {**{f"{number:02}.png": f"{48 + STEP * number},11" for number in range(24)}, "new.png": "48,11"})
    found = ImageSet.open(town)
    (town / "new.png").unlink()
    changes = atlas.add(found)
    assert (changes.added, [problem.path for problem in changes.skipped]) == (0, [str(town / "new.png")])
    assert "cannot be read" in changes.skipped[0].reason


def test_a_photo_that_breaks_later_keeps_its_place_in_the_atlas(atlas, town):
    old = content(atlas)
    (town / "05.png").write_bytes(b"")
    changes = atlas.add(town)
    assert (changes.updated, [problem.path for problem in changes.skipped]) == (0, [str(town / "05.png")])
    assert content(atlas) == old


def test_a_photo_that_loses_its_position_keeps_the_old_one_and_is_listed(atlas, town):
    old = content(atlas)
    (town / "positions.csv").unlink()
    changes = atlas.add(town)
    assert (changes.updated, len(changes.skipped)) == (0, 24)
    assert "the atlas keeps" in changes.skipped[0].reason
    assert content(atlas) == old


def test_photos_without_a_position_are_not_read_to_the_end_on_every_run(atlas, town, monkeypatch):
    picture(50).save(town / "nowhere.png")
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("the whole file was read"))
    assert [Path(problem.path).name for problem in atlas.add(town).skipped] == ["nowhere.png"]


def test_a_stray_photo_that_comes_first_does_not_decide_the_frame_of_a_new_atlas(town, tmp_path):
    (town / "0").mkdir()
    picture(80).save(town / "0" / "@3@4@.png")
    changes = Atlas.open_or_create(tmp_path / "new", TinyDescriber()).add(town)
    assert (changes.added, [Path(problem.path).name for problem in changes.skipped]) == (24, ["@3@4@.png"])
    assert Atlas.open(tmp_path / "new").frame == "earth"


def test_positions_of_another_frame_are_listed(atlas, tmp_path):
    draw(tmp_path / "hall", ["a.png"], lambda number: "3,4", "file,x_m,y_m")
    changes = atlas.add(tmp_path / "hall")
    assert changes.added == 0
    assert "local metres" in changes.skipped[0].reason
    assert "another atlas" in changes.skipped[0].reason


def test_an_emptied_atlas_takes_photos_of_another_frame(atlas, town, tmp_path):
    atlas.remove(town)
    draw(tmp_path / "hall", ["a.png"], lambda number: "3,4", "file,x_m,y_m")
    assert atlas.add(tmp_path / "hall").added == 1
    assert atlas.frame == "local"


def test_progress_tells_what_is_done_and_what_is_safe(town, tmp_path):
    heard = []

    def progress(done, total, committed):
        safe = len(Atlas.open(tmp_path / "new"))
        heard.append((done, total, committed, safe))

    Atlas.build(town, at=tmp_path / "new", model=TinyDescriber(), commit_every=10, progress=progress)
    assert [done for done, *_ in heard] == sorted(done for done, *_ in heard)
    assert heard[-1] == (24, 24, 24, 24)
    assert {committed for *_, committed, _ in heard} == {0, 10, 20, 24}
    assert all(safe >= committed for *_, committed, safe in heard)


def test_an_interrupted_run_keeps_what_was_committed(town, tmp_path):
    class Tired(TinyDescriber):
        calls = 0

        def describe(self, images):
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().describe(images)

    atlas = Atlas.open_or_create(tmp_path / "new", Tired())
    with pytest.raises(KeyboardInterrupt):
        atlas.add(town, commit_every=8)
    assert len(atlas) == len(reopened(atlas)) == 16
    changes = Atlas.open(atlas.path, TinyDescriber()).add(town)
    assert changes.added == 8


def test_what_is_known_of_a_photo_is_kept_as_it_was_said(tmp_path):
    draw(tmp_path / "town", ["a.png"])
    table(tmp_path / "town", {"a.png": "48,11,370,2023-06-10T16:44:17,pano1,gate,phone,sunny"},
          "file,lat,lon,heading_deg,time,panorama,place,camera,weather")  # fmt: skip
    atlas = Atlas.build(tmp_path / "town", at=tmp_path / "atlas", model=TinyDescriber())
    entry: Entry = content(atlas)["a.png"][2]
    assert (entry.heading_deg, entry.time, entry.panorama, entry.place) == (10, "2023-06-10T16:44:17", "pano1", "gate")
    assert (entry.camera, dict(entry.extra)) == ("phone", {"weather": "sunny"})


def test_numpy_and_json_read_an_atlas_without_us(atlas, town):
    manifest = json.loads((atlas.path / "manifest.json").read_text())
    folder = atlas.path / "segments" / manifest["segments"][0]["name"]
    descriptors, positions, offsets = (np.load(folder / f"{name}.npy") for name in ("descriptors", "positions", "offsets"))
    images = [json.loads(line) for line in (folder / "images.jsonl").read_text().splitlines()]
    assert (manifest["format_version"], manifest["frame"], manifest["model"]["identity"]) == (1, "earth", "tiny-1")
    assert descriptors.dtype == np.float16
    assert descriptors.shape == (24, 192)
    assert [image["path"] for image in images] == [str(town / f"{number:02}.png") for number in range(24)]
    assert positions[7].tolist() == [48.007, 11]
    assert (folder / "images.jsonl").read_bytes()[offsets[3] : offsets[4]] == json.dumps(images[3]).encode() + b"\n"
    assert np.isnan(np.load(folder / "headings.npy")).all()


def test_the_program_in_the_format_description_reads_an_atlas(atlas, town, capsys):
    atlas.remove(town / "05.png")
    page = (Path(__file__).parents[1] / "docs" / "atlas-format.md").read_text()
    program = page.split("```python\n")[1].split("```")[0].replace('"holiday.atlas"', repr(str(atlas.path)))
    exec(program, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(town / f"{number:02}.png") for number in range(24) if number != 5]
    assert "[48.007 11." in lines[6]


def test_a_summary_tells_what_the_atlas_holds(atlas, town):
    atlas.remove(town / "00.png")
    told = json.loads(json.dumps(atlas.summary()))
    assert told["atlas"] == str(atlas.path)
    assert (told["images"], told["frame"], told["segments"], told["removed_rows"], told["self_recall"]) == (23, "earth", 1, 1, 1.0)
    assert told["extent"] == {"south": 48.001, "north": 48.023, "west": 11.0, "east": 11.0}
    assert told["bytes"] == sum(path.stat().st_size for path in atlas.path.rglob("*") if path.is_file())
    assert 0 < told["impostor_similarity"] < 1
    assert (told["model"]["name"], told["runtimes"], told["precision"]) == ("tiny", ["numpy"], "float32")


def test_a_summary_is_told_while_another_process_merges(atlas, town):
    reader = reopened(atlas)
    atlas.remove([town / f"{number:02}.png" for number in range(20)])
    told = reader.summary()
    assert (told["images"], told["self_recall"]) == (24, 1.0)
    assert told["bytes"] > 0


def test_damaged_descriptors_show_in_the_self_recall(atlas):
    path = next(atlas.path.rglob("descriptors.npy"))
    stored = np.load(path)
    np.save(path, np.zeros_like(stored))
    assert reopened(atlas).summary()["self_recall"] == 0
    np.save(path, np.full_like(stored, np.nan))
    assert reopened(atlas).summary()["self_recall"] == 0


# Segments


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).filter(any), max_size=12))
def test_after_a_merge_every_segment_outweighs_all_younger_ones_and_is_mostly_present(segments):
    alive, rows = [here for here, _ in segments], [here + gone for here, gone in segments]
    runs = merges(alive, rows)
    assert all(first.stop <= second.start for first, second in pairwise(runs))
    for run in reversed(runs):
        merged = sum(alive[run.start : run.stop])
        alive[run.start : run.stop] = rows[run.start : run.stop] = [merged] if merged else []
    assert all(alive[number] > sum(alive[number + 1 :]) for number in range(len(alive)))
    assert all(2 * here >= there for here, there in zip(alive, rows, strict=True))
    assert not merges(alive, rows)


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=30))
def test_rows_are_renumbered_as_if_the_dropped_ones_were_deleted(dropped):
    gone = np.flatnonzero(dropped)
    kept = np.flatnonzero(~np.array(dropped, np.bool_))
    assert renumbered(kept, gone).tolist() == list(range(len(kept)))


def test_many_small_commits_leave_few_segments_and_the_same_answers(town, tmp_path, atlas):
    stepwise = Atlas.build(town, at=tmp_path / "steps", model=TinyDescriber(), commit_every=1)
    assert len(stepwise._snapshot.segments) <= 5
    assert {name: known[:2] for name, known in content(stepwise).items()} == {
        name: known[:2] for name, known in content(atlas).items()
    }
    for number in range(24):
        photo = town / f"{number:02}.png"
        assert stepwise.locate(photo).matches[0] == atlas.locate(photo).matches[0]


def test_changes_in_one_run_survive_the_merges_between_its_commits(town, tmp_path):
    atlas = Atlas.build(town, at=tmp_path / "steps", model=Counting(), commit_every=3)
    for number in range(0, 24, 2):
        picture(200 + number).save(town / f"{number:02}.png")
    changes = atlas.add(town, commit_every=2)
    assert (changes.added, changes.updated, len(atlas)) == (0, 12, 24)
    fresh = Atlas.build(town, at=tmp_path / "fresh", model=TinyDescriber())
    assert content(reopened(atlas)) == content(fresh)


def test_removing_most_photos_gives_their_room_back(atlas, town):
    before = atlas.summary()["bytes"]
    atlas.remove([town / f"{number:02}.png" for number in range(20)])
    told = atlas.summary()
    assert (told["images"], told["removed_rows"], told["segments"]) == (4, 0, 1)
    assert told["bytes"] < before / 3
    assert len(list((atlas.path / "segments").iterdir())) == 1
    assert not list((atlas.path / "tombstones").iterdir())


def test_an_old_segment_is_rewritten_alone_while_a_younger_one_keeps_its_tombstones(atlas, town, tmp_path):
    names = [f"v{number}.png" for number in range(10)]
    draw(tmp_path / "village", names, lambda number: f"49,{number}")
    for number, name in enumerate(names):
        picture(60 + number).save(tmp_path / "village" / name)
    atlas.add(tmp_path / "village")
    old = content(atlas)
    atlas.remove(tmp_path / "village" / "v4.png")
    gone = [f"{number:02}.png" for number in range(13)]
    atlas.remove([town / name for name in gone])
    told = atlas.summary()
    assert (told["segments"], told["removed_rows"]) == (2, 1)
    assert content(reopened(atlas)) == {name: known for name, known in old.items() if name not in [*gone, "v4.png"]}


def test_an_open_atlas_stays_as_it_was_while_another_process_writes(atlas, town):
    reader = reopened(atlas)
    old = content(reader)
    atlas.remove([town / f"{number:02}.png" for number in range(20)])  # the segment that the reader has mapped is deleted
    assert content(reader) == old
    assert reader.locate(town / "00.png").matches[0].path == str(town / "00.png")


def test_a_reader_that_meets_a_merge_takes_the_newer_manifest(atlas, town, monkeypatch):
    opened, of = [], Snapshot.of

    def overtaken(folder, manifest):
        if not opened:
            opened.append(manifest.generation)
            monkeypatch.setattr(Snapshot, "of", of)
            atlas.remove([town / f"{number:02}.png" for number in range(20)])
        return of(folder, manifest)

    monkeypatch.setattr(Snapshot, "of", overtaken)
    assert len(reopened(atlas)) == 4
    assert opened


SEEN = [picture(seed).resize((32, 32)) for seed in range(6)]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["write", "write", "delete", "rename", "copy", "place"]), st.integers(0, 39), st.integers(0, 39)),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(OPERATIONS, st.integers(1, 6), st.booleans()), min_size=1, max_size=5))
def test_whatever_happens_to_the_photos_the_atlas_follows(history):
    with TemporaryDirectory() as folder:
        town = Path(folder) / "town"
        town.mkdir()
        there = {f"{number:02}.png": (number % 6, number) for number in range(24)}  # content and position of each photo
        for name, (seen, _) in there.items():
            SEEN[seen].save(town / name)
        atlas = Atlas.open_or_create(Path(folder) / "atlas", TinyDescriber())
        followed(atlas, town, there, commit_every=24)
        for operations, commit_every, forget in history:
            for operation in operations:
                happen(town, there, *operation)
            if forget and (known := [path for path in paths(atlas) if Path(path).exists()]):
                atlas.remove(min(known))
            followed(atlas, town, there, commit_every)


def happen(town, there, operation, first, second):
    """Do something to the photos; `there` says what they are then."""
    name, other = f"{first:02}.png", f"{second:02}.png"
    if operation == "write":
        SEEN[second % 6].save(town / name)
        there[name] = (second % 6, first)
    elif operation == "place":
        there.update({name: (there[name][0], second)} if name in there else {})
    elif name in there and len(there) > 1:
        if operation == "copy":
            (town / other).write_bytes((town / name).read_bytes())
            there[other] = (there[name][0], second)
        elif operation == "rename":
            (town / name).rename(town / other)
            there[other] = there.pop(name)
        else:
            (town / name).unlink()
            del there[name]


def followed(atlas, town, there, commit_every):
    """Bring the atlas up to date, and compare it with what is there."""
    table(town, {name: f"{x},0" for name, (_, x) in there.items()}, "file,x_m,y_m")
    atlas.add(town, commit_every=commit_every, prune=True)
    wanted = {name: (LocalPoint(float(x), 0.0), DESCRIBED[seen]) for name, (seen, x) in there.items()}
    for reader in (atlas, reopened(atlas)):
        assert {name: known[:2] for name, known in content(reader).items()} == wanted
        assert sorted(path.name for path in (atlas.path / "segments").iterdir()) == sorted(
            segment.entry.name for segment in reader._snapshot.segments
        )


DESCRIBED = [TinyDescriber().describe(np.asarray(seen)[None]).astype(np.float16)[0].tobytes() for seen in SEEN]

# What can be wrong


def test_no_atlas_is_told_from_a_broken_one(tmp_path, atlas, town):
    with pytest.raises(AtlasError, match=r"holds no atlas; make one with `sameplace index"):
        Atlas.open(town)
    with pytest.raises(AtlasError, match="is no folder with an atlas"):
        Atlas.open(tmp_path / "nowhere")
    with pytest.raises(AtlasError, match="is no folder with an atlas"):
        Atlas.open(town / "00.png")
    for damage in ("", "{", "[1]", '{"format": "other"}', '{"format": "sameplace atlas", "format_version": 1}'):
        (atlas.path / "manifest.json").write_text(damage)
        with pytest.raises(AtlasError, match=r"is broken|is no manifest"):
            Atlas.open(atlas.path)
    (atlas.path / "manifest.json").unlink()
    (atlas.path / "manifest.json").mkdir()
    with pytest.raises(AtlasError, match="cannot be read"):
        Atlas.open(atlas.path)


def test_a_newer_format_asks_for_an_upgrade(atlas):
    manifest = json.loads((atlas.path / "manifest.json").read_text())
    (atlas.path / "manifest.json").write_text(json.dumps({**manifest, "format_version": 2}))
    with pytest.raises(AtlasError, match="pip install --upgrade sameplace"):
        Atlas.open(atlas.path)


@pytest.mark.parametrize(
    "name", ["descriptors.npy", "positions.npy", "headings.npy", "contents.npy", "offsets.npy", "images.jsonl"]
)
def test_a_segment_file_that_is_missing_cut_or_another_is_named(atlas, name):
    path = next(atlas.path.rglob(name))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(AtlasError, match=f"{name} is damaged"):
        Atlas.open(atlas.path)
    path.write_bytes(whole[:5])
    with pytest.raises(AtlasError, match=f"{name} is damaged"):
        Atlas.open(atlas.path)
    if name.endswith("npy"):
        np.save(path, np.zeros(7))
        with pytest.raises(AtlasError, match=f"{name} is damaged"):
            Atlas.open(atlas.path)
    path.unlink()
    with pytest.raises(AtlasError, match=f"{name} is missing; restore it"):
        Atlas.open(atlas.path)


def test_a_damaged_line_is_named(atlas, town):
    path = next(atlas.path.rglob("images.jsonl"))
    path.write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(AtlasError, match=r"images.jsonl is damaged"):
        reopened(atlas).locate(town / "00.png")
    with pytest.raises(AtlasError, match=r"images.jsonl is damaged"):
        reopened(atlas).add(town)


def test_damaged_tombstones_are_named(atlas, town):
    atlas.remove(town / "00.png")
    path = next((atlas.path / "tombstones").iterdir())
    for damage in (path.read_bytes()[:-3], b""):
        path.write_bytes(damage)
        with pytest.raises(AtlasError, match="is damaged"):
            Atlas.open(atlas.path)
    np.save(path, np.array([99]))
    with pytest.raises(AtlasError, match="is damaged"):
        Atlas.open(atlas.path)


def test_another_model_is_refused_by_both_names(atlas, town):
    with pytest.raises(AtlasError, match=r"tiny \(tiny-1, 192 numbers\), and other \(other-1, 192 numbers\) is another one"):
        Atlas.open(atlas.path, Other())
    with pytest.raises(AtlasError, match="new atlas"):
        Atlas.build(town, at=atlas.path, model=Other())


def test_another_precision_of_the_same_model_is_refused(atlas):
    class Coarse(TinyDescriber):
        precision = "int8"

    with pytest.raises(AtlasError, match="use it in float32"):
        Atlas.open(atlas.path, Coarse())


@pytest.mark.parametrize("first", ["float32", "int8"])
def test_another_precision_is_welcome_where_it_was_measured_to_agree(first, tmp_path, town):
    class Coarse(TinyDescriber):
        precision = "int8"
        agreement = 0.995

    class Poor(Coarse):
        agreement = 0.98

    describers = [TinyDescriber(), Coarse()] if first == "float32" else [Coarse(), TinyDescriber()]
    atlas = Atlas.build(sorted(town.glob("*.png"))[:9], at=tmp_path / "atlas", model=describers[0])
    atlas = Atlas.build(town, at=atlas.path, model=describers[1])
    assert atlas.summary()["precision"] == "float32+int8 (0.9950)"
    for describer in describers:
        photo = sorted(town.glob("*.png"))[3]
        assert Atlas.open(atlas.path, describer).locate(photo).matches[0].path == str(photo)
    with pytest.raises(AtlasError, match=r"use it in float32\+int8 \(0.9950\)"):
        Atlas.open(atlas.path, Poor())


def test_an_empty_atlas_takes_on_another_model(tmp_path, town):
    Atlas.open_or_create(tmp_path / "new", Other())
    assert Atlas.build(town, at=tmp_path / "new", model=TinyDescriber()).model.name == "tiny"
    assert len(Atlas.open(tmp_path / "new", TinyDescriber())) == 24


def model_file(path, identity):
    """A file that says which model it is, and holds no weights."""
    header = {"format_version": 1, "identity": identity, "architecture": {}, "card": {"name": path.stem}}
    save_file({"nothing": np.zeros(1, np.float32)}, path, metadata={"sameplace": json.dumps(header)})
    return path


def test_the_recorded_model_is_loaded_only_when_it_is_needed(atlas, town, tmp_path, monkeypatch):
    asked = []

    def describer(name):
        asked.append(name)
        return TinyDescriber()

    monkeypatch.setattr("sameplace.models.describer", describer)
    given = model_file(tmp_path / "moved.safetensors", "tiny-1")
    again = Atlas.open(atlas.path, given)
    again.add(town)
    assert not asked
    assert again.locate(town / "03.png").matches[0].path == str(town / "03.png")
    again.locate(town / "04.png")
    assert asked == [str(given)]
    monkeypatch.setattr("sameplace.models.describer", lambda name: Other())
    with pytest.raises(AtlasError, match="is another one"):
        Atlas.open(atlas.path).locate(town / "03.png")
    with pytest.raises(AtlasError, match="is another one"):
        Atlas.open(atlas.path, "some.safetensors")


def test_another_model_of_the_same_name_is_refused_at_once(atlas, tmp_path, monkeypatch):
    class Namesake(Other):
        name = "tiny"

    monkeypatch.setattr("sameplace.models.find", lambda name: model_file(tmp_path / "tiny.safetensors", "other-1"))
    monkeypatch.setattr("sameplace.models.describer", lambda name: Namesake())
    with pytest.raises(AtlasError, match=r"tiny \(tiny-1, 192 numbers\), and tiny \(other-1, 192 numbers\) is another one"):
        Atlas.open(atlas.path, "tiny")


def test_a_model_file_that_was_replaced_in_place_is_noticed(town, tmp_path, monkeypatch):
    file = model_file(tmp_path / "mine.safetensors", "tiny-1")
    monkeypatch.setattr("sameplace.models.describer", lambda name: TinyDescriber())
    Atlas.build(town, at=tmp_path / "new", model=file)
    model_file(file, "other-1")
    monkeypatch.setattr("sameplace.models.describer", lambda name: Other())
    for replaced in (lambda: Atlas.open(tmp_path / "new", file), lambda: Atlas.open(tmp_path / "new").locate(town / "00.png")):
        with pytest.raises(AtlasError, match="is another one"):
            replaced()


def test_a_model_file_is_recorded_by_its_whole_path(tmp_path, town, monkeypatch):
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    asked = []

    def describer(name):
        asked.append(str(name))
        return TinyDescriber()

    monkeypatch.setattr("sameplace.models.describer", describer)
    monkeypatch.chdir(tmp_path)
    Atlas.build(town, at=tmp_path / "new", model="mine.safetensors")
    monkeypatch.chdir(town)
    Atlas.open(tmp_path / "new").locate("00.png")
    assert asked == ["mine.safetensors", str(tmp_path / "mine.safetensors")]


def test_a_model_that_cannot_be_found_is_asked_for(atlas, town, monkeypatch):
    def describer(name):
        raise ModelError(f"There is no model {name!r}.")

    monkeypatch.setattr("sameplace.models.describer", describer)
    with pytest.raises(AtlasError, match=r"the model tiny .*not at hand.*or open the atlas with model=|The model tiny"):
        Atlas.open(atlas.path).locate(town / "00.png")


def test_a_second_writer_is_told_to_wait_and_readers_are_not(atlas, town):
    with FileLock(atlas.path / "writer.lock"):
        for write in (lambda: atlas.add(town), lambda: atlas.remove(town)):
            with pytest.raises(AtlasError, match="is being written by another process; wait"):
                write()
        assert reopened(atlas).locate(town / "00.png")
    assert atlas.add(town).added == 0


def test_an_atlas_that_another_process_made_just_now_is_left_as_it_is(atlas, monkeypatch):
    old = content(atlas)
    writer.create(atlas.path, atlas.model)
    assert content(reopened(atlas)) == old


def test_an_atlas_is_never_made_of_a_folder_with_other_files(town, tmp_path):
    with pytest.raises(AtlasError, match="choose a new folder"):
        Atlas.build(town, at=town, model=TinyDescriber())
    with pytest.raises(AtlasError, match="is a file"):
        Atlas.build(town, at=town / "00.png", model=TinyDescriber())
    assert sorted(path.suffix for path in town.iterdir()) == [".csv"] + 24 * [".png"]
    assert len(Atlas.build(town, at=tmp_path / "a" / "b" / "new", model=TinyDescriber())) == 24


def test_an_atlas_that_is_gone_is_not_made_again_by_writing_to_it(atlas, town):
    shutil.rmtree(atlas.path)
    with pytest.raises(AtlasError, match="no folder with an atlas"):
        atlas.remove(town)
    assert not atlas.path.exists()


def test_photos_that_are_not_there_leave_no_atlas_behind(tmp_path):
    with pytest.raises(ImageError, match="nothing at"):
        Atlas.build(tmp_path / "typo", at=tmp_path / "new", model=TinyDescriber())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "write elsewhere"), (errno.EIO, "look after the disk")],
)
@pytest.mark.parametrize("step", ["write", "sync", "folder", "rename", "make"])
def test_a_disk_that_gives_way_is_told_in_one_sentence_and_nothing_is_lost(atlas, town, monkeypatch, step, number, cure):
    old = content(atlas)
    picture(300).save(town / "new.png")
    table(town, {**{f"{number:02}.png": f"{48 + STEP * number},11" for number in range(24)}, "new.png": "48,11"})

    def fails(*arguments):
        raise OSError(number, os.strerror(number))

    target = {"write": (disk.NewFile, "write"), "sync": (os, "fsync"), "folder": (disk, "sync_folder"), "rename": (disk, "replace")}
    with monkeypatch.context() as patch:
        patch.setattr(*target.get(step, (disk, "make_folder")), fails)
        with pytest.raises(AtlasError, match=cure) as told:
            atlas.add(town)
    assert "everything committed before is safe" in str(told.value)
    assert "\n" not in str(told.value)
    assert content(reopened(atlas)) == old
    assert atlas.add(town).added == 1
    assert len(list((atlas.path / "segments").iterdir())) == len(atlas._snapshot.segments)


def test_a_full_disk_gets_the_room_of_half_written_files_back(atlas, town, monkeypatch):
    files = sorted(atlas.path.rglob("*"))
    picture(300).save(town / "new.png")
    table(town, {"new.png": "48,11"})
    written = []

    def fills_up(self, data):
        written.append(self.path)
        if len(written) == 12:
            raise OSError(errno.ENOSPC, "full")
        return self._file.write(data)

    monkeypatch.setattr(disk.NewFile, "write", fills_up)
    with pytest.raises(AtlasError, match="is full"):
        atlas.add(town / "new.png")
    assert sorted(atlas.path.rglob("*")) == files


def test_a_folder_that_may_not_be_written_is_told(town, tmp_path, monkeypatch):
    def fails(*arguments):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(writer.FileLock, "acquire", fails)
    with pytest.raises(AtlasError, match="may not be written"):
        Atlas.build(town, at=tmp_path / "new", model=TinyDescriber())


def test_impossible_options_are_refused_with_their_cure(atlas, town):
    with pytest.raises(ValueError, match="use 1 or more"):
        atlas.add(town, commit_every=0)
    with pytest.raises(ValueError, match=r"ImageSet.open\(photos, positions\)"):
        atlas.add(ImageSet.open(town), positions=town / "positions.csv")
    with pytest.raises(ValueError, match="top=1 or more"):
        atlas.locate(town / "00.png", top=0)


# Size


def test_ten_thousand_unchanged_photos_take_well_under_a_second(tmp_path):
    atlas = Atlas.open_or_create(tmp_path / "atlas", TinyDescriber())
    files = [ImageFile(path=f"/photos/{number:05}.jpg", size=number, mtime_ns=number, row="") for number in range(10_000)]
    remember(atlas, files)
    assert len(atlas) == 10_000
    start = time.process_time()  # not the clock on the wall: other processes may be busy
    changes = Atlas.open(atlas.path).add(ImageSet(Path("/photos"), files, [], {}))
    assert (changes.added, changes.updated, changes.skipped) == (0, 0, ())
    assert time.process_time() - start < 1


NONE = np.empty(0)


def remember(atlas, files):
    """Put photos into an atlas without looking at them."""
    entries = [
        Entry(path=file.path, size=file.size, mtime_ns=file.mtime_ns, content=f"{number:032x}", row=file.row, heading_deg=None,
              time=None, panorama=None, place=None, camera=None, extra={})
        for number, file in enumerate(files)
    ]  # fmt: skip
    descriptors = np.random.default_rng(0).normal(size=(len(files), 192)).astype(np.float16)
    with writer.writing(atlas.path) as hand:
        hand.commit(
            added=writer.Rows.of(entries, np.random.default_rng(0).uniform(0, 1e4, (len(files), 2)), descriptors),
            runtime="numpy",
            precision="float32",
            frame="local",
        )
        nothing = writer.Calibration(scale=1.0, scores=NONE, errors=NONE, impostors=NONE, several_passes=None)
        impostors = writer.Impostors(generation=hand.snapshot.manifest.generation + 1, pairs=0, similarity=None)
        hand.commit(impostors=impostors, calibration=nothing)
        atlas._snapshot = hand.snapshot


def test_what_was_described_elsewhere_is_not_described_again(tmp_path):
    draw(tmp_path / "photos", ["a.png", "b.png", "c.png"])
    model, cache = Counting(), DescriptorCache(tmp_path / "cache")
    for name in ("first", "second"):
        assert len(Atlas.build(tmp_path / "photos", at=tmp_path / name, model=model, cache=cache)) == 3
    assert model.described == 3
