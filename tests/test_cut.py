"""Cutting panoramas on disk: what a tile's record keeps, how an interrupted cut goes on, and the verb."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from sameplace.cli.app import run
from sameplace.datasets.panoramas import cut
from sameplace.datasets.tile_layout import LAYOUTS, Layout
from sameplace.datasets.tile_table import place
from sameplace.errors import DatasetError, PositionError
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageSet, read_image
from sameplace.images.panorama import Lens, Panorama
from sameplace.training.reach import Reach
from sameplace.training.tuples import weak_labels

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "schema" / "cut.json").read_text("utf-8"))
FEW = Layout(yaws=4, pitches=(0.0, 30.0), lens=Lens(width=32, height=24))


def panorama(path, seed=0, height=64, **saved):
    """A smooth panorama of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), np.uint8)
    Image.fromarray(cells).resize((2 * height, height), Image.Resampling.BICUBIC).save(path, quality=95, **saved)
    return path


@pytest.fixture
def sphere(tmp_path):
    """Three panoramas as a user has them: with a name, a yaw, a date and where they come from."""
    folder = tmp_path / "panoramas"
    for number in range(3):
        panorama(folder / f"{number}.jpg", number)
    (folder / "positions.csv").write_text(
        "file,lat,lon,yaw,date,pano_id,sequence,creator\n"
        "0.jpg,40.44,-80,100,2014-06-01T12:00:00+00:00,aZ_0,north,ann\n"
        "1.jpg,40.4401,-80,350.5,2016-07,bY-1,south,bob\n"
        "2.jpg,40.4402,-80,,,,,\n"
    )
    return folder


def records(folder):
    return {image.path.name: image for image in ImageSet.open(folder).records()}


def state(folder):
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.jpg")}


def test_the_published_layouts():
    pittsburgh, tokyo = LAYOUTS["pittsburgh"], LAYOUTS["tokyo"]
    assert len(pittsburgh.tiles) == 24
    assert {tile.pitch_deg for tile in pittsburgh.tiles} == {4.0, 26.5}
    assert sorted({tile.yaw_deg for tile in pittsburgh.tiles}) == [30.0 * turn for turn in range(12)]
    assert len(tokyo.tiles) == 12
    assert len({tile.yaw_deg for tile in tokyo.tiles}) == 12
    for layout in (pittsburgh, tokyo):
        assert (layout.lens.width, layout.lens.height, layout.lens.field_of_view) == (640, 480, 60.0)
        assert len({tile.name for tile in layout.tiles}) == len(layout.tiles)


def test_a_tiles_record_keeps_place_heading_pitch_date_panorama_and_whose_it_is(sphere, tmp_path):
    done = cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    assert (done.panoramas, done.cut, done.tiles, done.skipped) == (3, 3, 24, ())
    tiles = records(tmp_path / "tiles")
    assert len(tiles) == 24
    first = tiles["aZ_0_pitch2_yaw4.jpg"]
    assert first.position == LatLon(40.44, -80.0)
    assert first.heading_deg == (100 + 270) % 360
    assert (first.extra["pitch"], first.extra["tile"], first.extra["field_of_view"]) == ("30", "pitch2_yaw4", "60")
    assert first.time == datetime.fromisoformat("2014-06-01T12:00:00+00:00")
    assert (first.panorama, first.extra["sequence"], first.extra["creator"]) == ("aZ_0", "north", "ann")
    second = tiles["bY-1_pitch1_yaw2.jpg"]
    assert second.heading_deg == pytest.approx((350.5 + 90) % 360)
    assert (second.time, second.extra["time"]) == (None, "2016-07")
    third = tiles["2_pitch1_yaw1.jpg"]
    assert (third.panorama, third.heading_deg, third.time) == ("2", None, None)


def test_the_pixels_of_a_tile_are_those_of_its_direction(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    for tile, pixels in zip(
        FEW.tiles,
        Panorama.open(sphere / "0.jpg", FEW.lens).tiles([(tile.yaw_deg, tile.pitch_deg) for tile in FEW.tiles], FEW.lens),
        strict=True,
    ):
        kept = read_image(tmp_path / "tiles" / f"aZ_0_{tile.name}.jpg", (24, 32))
        assert np.abs(kept.astype(int) - pixels.astype(int)).mean() < 4


def test_tiles_of_one_panorama_are_never_each_others_positives(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    tiles = list(records(tmp_path / "tiles").values())
    labels = weak_labels(tiles, tiles, Reach(trivial=0.0, positive=15.0))
    pairs = [(tiles[query], tiles[row]) for query, rows in zip(labels.queries, labels.positives, strict=True) for row in rows]
    assert len(pairs) == 4 * 8 * 8  # the panoramas lie 11 m apart: each tile of two of them, both ways
    assert all(query.panorama != image.panorama for query, image in pairs)


def test_a_second_run_has_nothing_to_do(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    before = state(tmp_path / "tiles")
    table = (tmp_path / "tiles" / "positions.csv").read_bytes()
    done = cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    assert (done.panoramas, done.cut, done.tiles) == (3, 0, 24)
    assert state(tmp_path / "tiles") == before
    assert (tmp_path / "tiles" / "positions.csv").read_bytes() == table


def test_what_is_missing_or_older_than_its_panorama_is_cut_again_and_nothing_else(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    before = state(tmp_path / "tiles")
    (tmp_path / "tiles" / "bY-1_pitch1_yaw3.jpg").unlink()
    time.sleep(0.01)
    panorama(sphere / "2.jpg", seed=9)
    changed = (sphere / "2.jpg").stat()
    os.utime(sphere / "2.jpg", ns=(changed.st_atime_ns, changed.st_mtime_ns + 5_000_000_000))
    assert cut(ImageSet.open(sphere), tmp_path / "tiles", FEW).cut == 2
    after = state(tmp_path / "tiles")
    assert after.keys() == before.keys()
    new = {name for name in after if after[name] != before[name]}
    assert new == {"bY-1_pitch1_yaw3.jpg", *(f"2_{tile.name}.jpg" for tile in FEW.tiles)}


def test_a_corrected_table_changes_rows_and_no_picture(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    before = state(tmp_path / "tiles")
    table = sphere / "positions.csv"
    table.write_text(table.read_text().replace("40.44,-80,100", "40.5,-80,200"))
    assert cut(ImageSet.open(sphere), tmp_path / "tiles", FEW).cut == 0
    tile = records(tmp_path / "tiles")["aZ_0_pitch1_yaw1.jpg"]
    assert (tile.position, tile.heading_deg) == (LatLon(40.5, -80.0), 200.0)
    assert state(tmp_path / "tiles") == before


def test_a_table_that_has_more_in_it_keeps_it_and_loses_what_has_gone(sphere, tmp_path):
    tiles = tmp_path / "tiles"
    cut(ImageSet.open(sphere), tiles, FEW)
    cut(ImageSet.open(panorama(tmp_path / "more" / "9.jpg", 9)), tiles, FEW)
    assert len(records(tiles)) == 32
    for path in tiles.glob("9_*"):
        path.unlink()
    cut(ImageSet.open(sphere), tiles, FEW)
    assert "9_" not in (tiles / "positions.csv").read_text()
    assert ImageSet.open(tiles).problems == ()


def test_a_cut_that_is_interrupted_leaves_whole_tiles_with_rows_and_goes_on(sphere, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut(ImageSet.open(sphere), tmp_path / "tiles", FEW, workers=1, progress=interrupt)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("cut")]  # none writes on
    tiles = records(tmp_path / "tiles")
    assert tiles["aZ_0_pitch1_yaw1.jpg"].position == LatLon(40.44, -80.0)
    assert cut(ImageSet.open(sphere), tmp_path / "tiles", FEW).cut in (0, 1, 2)
    assert len(records(tmp_path / "tiles")) == 24


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    def half(file):
        file.write(b"ha")
        raise OSError("the disk is full")

    for before in (None, b"before"):
        with pytest.raises(OSError, match="full"):
            place(tmp_path / "file.jpg", half)
        assert ((tmp_path / "file.jpg").read_bytes() if (tmp_path / "file.jpg").exists() else None) == before
        place(tmp_path / "file.jpg", lambda file: file.write(b"before"))
    assert ImageSet.open(tmp_path).files[0].size == 6
    assert len(ImageSet.open(tmp_path)) == 1


KILLED = """
import sys
from sameplace.datasets.panoramas import cut
from sameplace.datasets.tile_layout import Layout
from sameplace.images import ImageSet
from sameplace.images.panorama import Lens
print("started", flush=True)
cut(ImageSet.open(sys.argv[1]), sys.argv[2], Layout(yaws=4, pitches=(0.0, 30.0), lens=Lens(width=32, height=24)), workers=1)
"""


def test_a_killed_cut_leaves_no_torn_tile_and_goes_on(tmp_path):
    for number in range(20):
        panorama(tmp_path / "panoramas" / f"{number:02}.jpg", number, height=128)
    tiles = tmp_path / "tiles"
    for wanted in (1, 60):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "panoramas"), str(tiles)], stdout=subprocess.PIPE)
        process.stdout.readline()
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None and len(list(tiles.glob("*.jpg"))) < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        there = list(tiles.glob("*.jpg"))
        assert len(there) >= wanted
        for tile in there:
            assert read_image(tile, (24, 32)).shape == (24, 32, 3)
    cut(ImageSet.open(tmp_path / "panoramas"), tiles, FEW)
    assert len(records(tiles)) == 160
    assert not list(tiles.glob(".*.part"))


def test_what_is_no_panorama_is_told_and_costs_nothing_else(sphere, tmp_path):
    (sphere / "broken.jpg").write_bytes((sphere / "0.jpg").read_bytes()[:800])
    Image.new("RGB", (64, 48)).save(sphere / "flat.jpg")
    (sphere / "text.jpg").write_text("no picture at all")
    with (sphere / "positions.csv").open("a") as table:
        table.write("text.jpg,40.44,-80,,,,,\n")
    done = cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    assert (done.panoramas, done.tiles) == (3, 24)
    told = {Path(problem.path).name: problem.reason for problem in done.skipped}
    assert told.keys() == {"broken.jpg", "flat.jpg", "text.jpg"}
    assert "is no image that can be read" in told["text.jpg"]
    assert "twice as wide as high" in told["flat.jpg"]
    assert "broken or cut off" in told["broken.jpg"]


def test_tiles_in_a_folder_of_panoramas_are_not_taken_for_panoramas(sphere):
    for _ in range(2):
        done = cut(ImageSet.open(sphere), sphere / "tiles", FEW)
        assert (done.panoramas, done.skipped) == (3, ())
    with pytest.raises(DatasetError, match="there are none; name a folder"):
        cut(ImageSet.open(sphere / "tiles"), sphere / "tiles", FEW)


def test_tiles_of_another_layout_are_not_mixed_in(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    with pytest.raises(DatasetError, match=r"another layout than 12 yaws at 4 and 26.5 degrees.*another folder"):
        cut(ImageSet.open(sphere), tmp_path / "tiles")
    (tmp_path / "tiles" / "cut.json").write_text("{")
    with pytest.raises(DatasetError, match="no settings file"):
        cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)


def test_two_cannot_cut_into_one_folder_at_once(sphere, tmp_path):
    (tmp_path / "tiles").mkdir()
    with FileLock(tmp_path / "tiles" / ".cut.lock"), pytest.raises(DatasetError, match="wait until it has finished"):
        cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)


def test_a_broken_table_of_tiles_is_not_written_over(sphere, tmp_path):
    cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)
    with (tmp_path / "tiles" / "positions.csv").open("a") as file:
        file.write(",1,2\n")
    with pytest.raises(PositionError, match="mend it, or cut into another folder"):
        cut(ImageSet.open(sphere), tmp_path / "tiles", FEW)


def test_equal_names_in_two_folders_are_two_panoramas_and_equal_ids_are_told(tmp_path):
    for number, name in enumerate(("a/0.jpg", "b/0.jpg")):
        panorama(tmp_path / "panoramas" / name, number)
    done = cut(ImageSet.open(tmp_path / "panoramas"), tmp_path / "tiles", FEW)
    assert {image.panorama for image in records(tmp_path / "tiles").values()} == {"a-0", "b-0"}
    assert done.panoramas == 2
    (tmp_path / "panoramas" / "positions.csv").write_text("file,panorama\na/0.jpg,same\nb/0.jpg,Same\n")
    done = cut(ImageSet.open(tmp_path / "panoramas"), tmp_path / "others", FEW)
    assert done.panoramas == 1
    assert "name each in a column panorama" in done.skipped[0].reason


def test_a_name_that_no_file_can_have_is_changed_for_file_and_record_alike(tmp_path):
    panorama(tmp_path / "panoramas" / "0.jpg")
    (tmp_path / "panoramas" / "positions.csv").write_text("file,panorama\n0.jpg,../a b/ü:1\n")
    cut(ImageSet.open(tmp_path / "panoramas"), tmp_path / "tiles", FEW)
    tiles = records(tmp_path / "tiles")
    assert {image.panorama for image in tiles.values()} == {"a-b-ü-1"}
    assert "a-b-ü-1_pitch1_yaw1.jpg" in tiles


def test_local_positions_and_the_heading_of_a_photo_sphere_are_kept(tmp_path):
    panorama(tmp_path / "panoramas" / "0.jpg", xmp=b'<x GPano:PoseHeadingDegrees="45"/>')
    (tmp_path / "panoramas" / "positions.csv").write_text("file,x_m,y_m,camera\n0.jpg,3.5,-2,theta\n")
    cut(ImageSet.open(tmp_path / "panoramas"), tmp_path / "tiles", FEW)
    tile = records(tmp_path / "tiles")["0_pitch1_yaw2.jpg"]
    assert (tile.position, tile.heading_deg, tile.camera) == (LocalPoint(3.5, -2.0), 135.0, "theta")


def test_a_file_that_goes_before_its_turn_is_told(sphere, tmp_path):
    images = ImageSet.open(sphere)

    def lose(done, total):
        (sphere / "2.jpg").unlink(missing_ok=True)

    records_of = images.records()
    images.records = lambda: (records_of, lose(0, 0))[0]  # gone between the look and the cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sameplace.datasets.panoramas.pose_heading", lambda path: None)
        done = cut(images, tmp_path / "tiles", FEW)
    assert done.panoramas == 2
    assert "has gone" in done.skipped[0].reason


@pytest.mark.parametrize("wrong", [{"yaws": 0}, {"pitches": ()}, {"pitches": (91.0,)}, {"pitches": (4.0, 4.0)}])
def test_a_layout_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="wanted, got"):
        Layout(**wrong)


SMALL = ["--yaws", "3", "--pitches", "-10", "4", "--size", "32x24", "--field-of-view", "75"]


def test_the_verb_says_what_it_made(sphere, tmp_path, capsys):
    assert run(["cut", str(sphere), "--to", str(tmp_path / "tiles"), *SMALL]) == 0
    printed = capsys.readouterr()
    assert "18 tiles of 3 panoramas (3 cut now)" in printed.out
    assert "3 yaws at -10 and 4 degrees, 32 x 24 pixels, 75 degrees wide" in printed.out
    assert printed.err == ""
    tile = records(tmp_path / "tiles")["aZ_0_pitch1_yaw2.jpg"]
    assert (tile.heading_deg, tile.extra["pitch"]) == (220.0, "-10")


def test_the_verbs_json_keeps_to_its_schema(sphere, tmp_path, capsys):
    Image.new("RGB", (64, 48)).save(sphere / "flat.jpg")
    assert run(["cut", str(sphere), "--to", str(tmp_path / "tiles"), *SMALL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert (told["panoramas"], told["cut"], told["tiles"], len(told["skipped"])) == (3, 3, 18, 1)


def test_the_verb_follows_a_published_layout(sphere, tmp_path, capsys):
    assert run(["cut", str(sphere / "0.jpg"), "--to", str(tmp_path / "tiles"), "--like", "tokyo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiles"] == 12
    assert read_image(next((tmp_path / "tiles").glob("*.jpg")), (480, 640)).shape == (480, 640, 3)
    with Image.open(next((tmp_path / "tiles").glob("*.jpg"))) as tile:
        assert tile.size == (640, 480)


def test_nothing_to_cut_fails_and_says_what_is_wanted(tmp_path, capsys):
    Image.new("RGB", (64, 48)).save(tmp_path / "flat.jpg")
    assert run(["cut", str(tmp_path / "flat.jpg"), "--to", str(tmp_path / "tiles")]) == 1
    assert "Nothing could be cut; panoramas" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        (["--size", "640"], "write it like 640x480"),
        (["--field-of-view", "180"], "between 0 and 180 degrees"),
        (["--pitches", "95"], "-90 to 90 degrees"),
        (["--like", "paris"], "Choose from"),
        (["--yaws", "0"], "Must be > 0"),
    ],
)
def test_a_layout_that_cannot_be_is_a_misuse(sphere, tmp_path, capsys, wrong, cure):
    assert run(["cut", str(sphere), "--to", str(tmp_path / "tiles"), *wrong]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert cure.lower() in printed.err.lower()
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "tiles").exists()


def test_a_file_where_the_folder_should_be_is_one_sentence(sphere, tmp_path, capsys):
    (tmp_path / "tiles").write_text("here")
    assert run(["cut", str(sphere), "--to", str(tmp_path / "tiles")]) == 1
    assert "is a file; name another one." in capsys.readouterr().err
