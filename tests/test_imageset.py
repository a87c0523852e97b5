"""Sets of images: which files a folder, a list or a CSV stands for, what is known of each, and what is listed instead of used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD

from sameplace.errors import ImageError, PositionError
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageFile, ImageSet


def photo(path, lat=None, lon=None):
    exif = Image.Exif()
    if lat is not None:
        exif.get_ifd(IFD.GPSInfo).update(
            {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (lat, 0.0, 0.0), GPS.GPSLongitudeRef: "E", GPS.GPSLongitude: (lon, 0.0, 0.0)}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "JPEG", exif=exif)
    return path


def table(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def names(images):
    return [os.path.relpath(file.path, images.root) for file in images.files]


def positions(images):
    return {os.path.relpath(record.path, images.root): record.position for record in images.records()}


def reasons(images):
    return [problem.reason for problem in images.problems]


def test_a_folder_stands_for_all_photos_below_it_in_order_of_their_paths(tmp_path):
    for name in ("b.jpg", "a/z.JPG", "a/deep/er/c.png", "a.jpeg"):
        photo(tmp_path / name)
    for name in ("notes.txt", ".hidden.jpg", ".thumbnails/d.jpg", "jpg"):
        photo(tmp_path / name)
    images = ImageSet.open(tmp_path)
    assert names(images) == ["a.jpeg", "a/deep/er/c.png", "a/z.JPG", "b.jpg"]
    assert [file.path for file in images.files] == sorted(file.path for file in images.files)
    assert len(images) == 4
    assert images.problems == ()
    assert images.root == tmp_path
    assert all(Path(file.path).is_absolute() for file in images.files)


def test_a_file_is_known_by_size_time_and_row(tmp_path):
    path = photo(tmp_path / "a.jpg")
    table(tmp_path / "positions.csv", "file,x_m,y_m", "a.jpg,1,2")
    (before,) = ImageSet.open(tmp_path).files
    assert before == ImageFile(
        path=str(path), size=path.stat().st_size, mtime_ns=path.stat().st_mtime_ns, row='{"x_m":"1","y_m":"2"}'
    )
    table(tmp_path / "positions.csv", "\ufeffY_M;File ;X_M", "", " 2 ; a.jpg;1")
    assert ImageSet.open(tmp_path).files == (before,)
    table(tmp_path / "positions.csv", "file,x_m,y_m", "a.jpg,1,3")
    assert ImageSet.open(tmp_path).files != (before,)


def test_a_row_comes_before_the_name_and_the_name_before_exif(tmp_path):
    photo(tmp_path / "row.jpg", 10.0, 20.0)
    photo(tmp_path / "@3@4@.jpg", 10.0, 20.0)
    photo(tmp_path / "exif.jpg", 10.0, 20.0)
    photo(tmp_path / "none.jpg")
    table(tmp_path / "positions.csv", "file,lat,lon,place", "row.jpg,52.5,13.4,gate", "exif.jpg,,,yard")
    images = ImageSet.open(tmp_path)
    assert positions(images) == {
        "row.jpg": LatLon(52.5, 13.4),
        "@3@4@.jpg": LocalPoint(3.0, 4.0),
        "exif.jpg": LatLon(10.0, 20.0),
        "none.jpg": None,
    }
    assert {record.path.name: record.place for record in images.records()}["exif.jpg"] == "yard"
    assert images.problems == ()


def test_a_photo_with_a_position_in_its_row_is_not_opened(tmp_path):
    (tmp_path / "broken.jpg").write_text("no image at all")
    table(tmp_path / "positions.csv", "file,x_m,y_m", "broken.jpg,1,2")
    assert positions(ImageSet.open(tmp_path)) == {"broken.jpg": LocalPoint(1.0, 2.0)}


def test_the_nearest_table_has_the_last_word_and_counts_paths_from_its_own_folder(tmp_path):
    for name in ("a.jpg", "in/b.jpg", "in/deep/c.jpg"):
        photo(tmp_path / name)
    table(tmp_path / "positions.csv", "file,x_m,y_m", "a.jpg,1,1", "in/b.jpg,1,1", "./in/deep/c.jpg,1,1")
    table(tmp_path / "in" / "positions.csv", "file,x_m,y_m", r"deep\c.jpg,2,2")
    expected = {"a.jpg": LocalPoint(1.0, 1.0), "in/b.jpg": LocalPoint(1.0, 1.0), "in/deep/c.jpg": LocalPoint(2.0, 2.0)}
    assert positions(ImageSet.open(tmp_path)) == expected
    photo(tmp_path / "in" / "deep" / "deeper" / "d.jpg")
    table(tmp_path / "in" / "deep" / "positions.csv", "file,x_m,y_m", "c.jpg,3,3")
    expected |= {"in/deep/c.jpg": LocalPoint(3.0, 3.0), "in/deep/deeper/d.jpg": None}
    assert positions(ImageSet.open(tmp_path)) == expected


@pytest.mark.parametrize("beside", [True, False])
def test_positions_given_by_hand_come_before_all_others(tmp_path, beside):
    folder = tmp_path / "photos"
    photo(folder / "in" / "a.jpg")
    table(folder / "in" / "positions.csv", "file,x_m,y_m", "a.jpg,1,1")
    mine = table((folder if beside else tmp_path / "elsewhere") / "mine.csv", "file,x_m,y_m", "in/a.jpg,7,7", "in/gone.jpg,1,1")
    images = ImageSet.open(folder, positions=mine)
    assert positions(images) == {"in/a.jpg": LocalPoint(7.0, 7.0)}
    assert reasons(images) == [f"Line 3 of {mine} names it, but there is no such file."]


def test_a_table_stands_for_the_photos_it_names_whatever_they_are_called(tmp_path):
    for name in ("a.jpg", "b", "unnamed.jpg"):
        photo(tmp_path / name)
    images = ImageSet.open(table(tmp_path / "some.csv", "file,x_m,y_m", "a.jpg,1,1", "b,2,2"))
    assert positions(images) == {"a.jpg": LocalPoint(1.0, 1.0), "b": LocalPoint(2.0, 2.0)}
    assert images.root == tmp_path


def test_a_list_stands_for_the_files_in_it_and_asks_the_tables_beside_them(tmp_path):
    for name in ("a/x.jpg", "a/unasked.jpg", "b/y.odd"):
        photo(tmp_path / name)
    table(tmp_path / "a" / "positions.csv", "file,x_m,y_m", "x.jpg,1,1", "unasked.jpg,2,2", "gone.jpg,3,3")
    images = ImageSet.open([tmp_path / "b" / "y.odd", str(tmp_path / "a" / "x.jpg"), tmp_path / "a" / "x.jpg"])
    assert positions(images) == {"a/x.jpg": LocalPoint(1.0, 1.0), "b/y.odd": None}
    assert images.problems == ()
    assert images.root == tmp_path


def test_one_missing_photo_in_a_list_is_a_problem_and_a_list_of_nothing_an_error(tmp_path):
    here, gone = photo(tmp_path / "a.jpg"), tmp_path / "gone.jpg"
    images = ImageSet.open([here, gone])
    assert names(images) == ["a.jpg"]
    assert [(problem.path, problem.reason) for problem in images.problems] == [
        (str(gone), "The file cannot be read (No such file or directory); check the path.")
    ]
    for source in (gone, str(gone), [gone]):
        with pytest.raises(ImageError, match=r"nothing at .*gone\.jpg; give a folder of photos"):
            ImageSet.open(source)
    with pytest.raises(PositionError, match=r"gone\.csv cannot be read"):
        ImageSet.open(tmp_path, positions=tmp_path / "gone.csv")
    assert ImageSet.open([]).files == ()


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    photo(tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert ImageSet.open("photos").files == ImageSet.open(tmp_path / "photos").files
    assert ImageSet.open("photos/a.jpg").files == ImageSet.open(tmp_path / "photos").files


@pytest.mark.parametrize(
    "text",
    [
        "file,lat,lon,note\na.jpg,52.5,13.4,sunny\n",
        "\ufefffile,lat,lon,note\r\na.jpg,52.5,13.4,sunny\r\n",
        "file;lat;lon;note\na.jpg;52,5;13,4;sunny",
        "file\tlat\tlon\tnote\na.jpg\t52.5\t13.4\tsunny\n",
        'FILE , Latitude, LNG,"Note"\n"a.jpg","52.5"," 13.4 ",sunny,,\n\n',
        'lat,lon,note,file\n52.5,"13,4",sunny,.\\a.jpg',
        "file,latitude,lon,lat,note\na.jpg,,13.4,52.5,sunny",
    ],
)
def test_tables_of_many_programs_are_understood(tmp_path, text):
    photo(tmp_path / "a.jpg")
    (tmp_path / "positions.csv").write_bytes(text.encode())
    images = ImageSet.open(tmp_path)
    (record,) = images.records()
    assert record.position == LatLon(52.5, 13.4)
    assert record.extra == {"note": "sunny"}
    assert images.problems == ()


BROKEN_TABLES = pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "one of them `file`, got nothing; put a line like"),
        (b"a.jpg,52.5,13.4\n", "one of them `file`, got a.jpg, 52.5, 13.4; put a line like"),
        ("file,plätze\n".encode("latin-1"), "expected as UTF-8 text, but is not at byte 7; save it as UTF-8"),
        (b'file,lat,lon\n"' + b"a" * 200_000, "broken at line"),
    ],
)


@BROKEN_TABLES
def test_a_table_that_was_given_and_is_none_is_an_error_with_its_cure(tmp_path, content, sentence):
    photo(tmp_path / "a.jpg")
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(PositionError, match=sentence):
        ImageSet.open(tmp_path / "mine.csv")
    with pytest.raises(PositionError, match=sentence):
        ImageSet.open(tmp_path, positions=tmp_path / "mine.csv")


@BROKEN_TABLES
def test_a_table_that_just_lies_there_and_is_none_is_listed_and_the_photos_are_used(tmp_path, content, sentence):
    photo(tmp_path / "a.jpg", 10.0, 20.0)
    lying = tmp_path / "positions.csv"
    lying.write_bytes(content)
    for images in (ImageSet.open(tmp_path), ImageSet.open([tmp_path / "a.jpg"])):
        assert positions(images) == {"a.jpg": LatLon(10.0, 20.0)}
        assert [problem.path for problem in images.problems] == [str(lying)]
        assert re.search(sentence, images.problems[0].reason)


def test_tables_need_not_be_asked(tmp_path):
    photo(tmp_path / "a.jpg")
    table(tmp_path / "positions.csv", "file,x_m,y_m", "a.jpg,1,2", "gone.jpg,3,4")
    for source in (tmp_path, [tmp_path / "a.jpg"]):
        images = ImageSet.open(source, ask_tables=False)
        assert positions(images) == {"a.jpg": None}
        assert images.problems == ()


def test_rows_that_cannot_be_used_are_listed_with_their_lines(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        photo(tmp_path / name)
    path = table(
        tmp_path / "positions.csv",
        "file,lat,lon",
        "a.jpg,1,1",
        "a.jpg,2,2",
        "gone.jpg,1,1",
        ",1,1",
        "b.jpg,52,5,13,4",
        "c.jpg,north,13",
        '"d.jpg","1\n",1',
    )
    images = ImageSet.open(tmp_path)
    assert positions(images) == {"a.jpg": LatLon(1.0, 1.0), "b.jpg": None, "d.jpg": LatLon(1.0, 1.0)}
    assert reasons(images) == [
        f"Line 3 of {path} is not used: line 2 names the same file.",
        f"Line 4 of {path} names it, but there is no such file.",
        f"Line 5 of {path} is not used: the column file is empty.",
        f"Line 6 of {path} is not used: it has 5 cells, but there are 3 columns.",
        f"Line 7 of {path}: A number was wanted as lat, got 'north'; write it like 52.5163.",
    ]
    assert len(images.records()) == 3
    assert len(images.problems) == 5  # asked again, they are the same problems


def test_photos_that_cannot_be_opened_are_left_out_and_listed(tmp_path):
    photo(tmp_path / "good.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("Dear diary")
    photo(tmp_path / "@391545@5818254@99@U@.jpg")
    images = ImageSet.open(tmp_path)
    assert len(images.files) == 4
    assert positions(images) == {"good.jpg": None}
    assert [reason.split(";")[0] for reason in reasons(images)] == [
        "UTM coordinates (zone 1..60, east 0..1,000,000 m, north 0..10,000,000 m) were wanted, "
        "got zone 99, east 391545.0, north 5818254.0",
        "empty.jpg is empty",
        "text.jpg is no image that can be read (JPEG, PNG, WebP, HEIC, TIFF, BMP, GIF or PPM): it starts with b'Dear diary'",
    ]
    with pytest.raises(ImageError, match="is empty"):
        images.record(next(file for file in images.files if file.path.endswith("empty.jpg")))


def test_links_are_followed_once_and_loops_end(tmp_path):
    outside = photo(tmp_path / "outside" / "far.jpg").parent
    root = photo(tmp_path / "photos" / "z" / "near.jpg").parent.parent
    (root / "a").symlink_to(root / "z")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "folder.jpg").mkdir()
    (root / "out").symlink_to(outside)
    images = ImageSet.open(root)
    assert names(images) == ["out/far.jpg", "z/near.jpg"]
    assert sorted(Path(problem.path).name for problem in images.problems) == ["broken.jpg", "self.jpg"]


def test_pipes_are_not_waited_for(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    os.mkfifo(tmp_path / "pipe.jpg")
    images = ImageSet.open(tmp_path)
    assert images.files == ()
    assert reasons(images) == ["It is no file; give photos, folders or CSVs."]


def test_a_folder_that_cannot_be_read_is_listed_and_the_others_are_used(tmp_path, monkeypatch):
    photo(tmp_path / "good" / "a.jpg")
    photo(tmp_path / "shut" / "b.jpg")
    scandir = os.scandir

    def guarded(path):  # permissions would not stop an administrator
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    images = ImageSet.open(tmp_path)
    assert names(images) == ["good/a.jpg"]
    assert reasons(images) == ["The folder cannot be read (Permission denied); check its permissions."]


@pytest.mark.slow
def test_ten_thousand_files_are_found_and_matched_in_well_under_half_a_second(tmp_path):
    for folder in range(20):
        (tmp_path / f"{folder:02}").mkdir()
        for file in range(500):
            (tmp_path / f"{folder:02}" / f"{file:03}.jpg").touch()
    rows = [f"{folder:02}/{file:03}.jpg,{folder},{file}" for folder in range(20) for file in range(500)]
    table(tmp_path / "positions.csv", "file,x_m,y_m", *rows)
    # On its own, as the shape checks of the tests would be what is timed; the best of three, for other work goes on beside.
    script = """
import sys, time
from sameplace.images import ImageSet
def seconds():
    start = time.perf_counter()
    ImageSet.open(sys.argv[1])
    return time.perf_counter() - start
print(min(seconds() for _ in range(3)))
"""
    taken = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True).stdout
    assert float(taken) < 0.5
    images = ImageSet.open(tmp_path)
    assert len(images) == 10_000
    assert images.problems == ()
    assert images.records()[-1].position == LocalPoint(19.0, 499.0)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count", "placed"),
    [
        ("penn_campus", 81, 81),
        ("getty", 3835, 3835),
        ("iiit_campus", 368, 368),
        ("koe_indoor/places.csv", 306, 306),
        ("gardens_point", 600, 0),
    ],
)
def test_sets_of_real_photos_are_understood(data_folder, name, count, placed):
    images = ImageSet.open(data_folder / name)
    records = images.records()
    assert len(images) == len(records) == count
    assert sum(record.position is not None for record in records) == placed
    assert images.problems == ()
