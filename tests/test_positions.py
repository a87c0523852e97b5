"""Where and when: what rows, file names and EXIF data say, and what they only seem to say."""

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from sameplace.errors import ImageError, PositionError
from sameplace.geo import LatLon, LocalPoint, distance, from_utm, to_utm
from sameplace.images import seconds_between
from sameplace.images.exif import from_exif
from sameplace.images.positions import from_name, from_row, parsed_time

quick = settings(deadline=None, max_examples=100)
PHOTO = Path("photo.jpg")


# Rows of a positions.csv


def test_a_row_says_everything_that_its_columns_are_for_and_keeps_the_rest():
    row = {"lat": "52.5", "lon": "13.4", "heading_deg": "-90", "time": "2023-06-10T16:44:17Z", "panorama": "p7", "place": "gate"}
    record = from_row(PHOTO, row | {"camera": "Pixel 7", "weather": "rain", "empty": ""})
    assert record.position == LatLon(52.5, 13.4)
    assert record.heading_deg == 270
    assert record.time == datetime(2023, 6, 10, 16, 44, 17, tzinfo=UTC)
    assert (record.panorama, record.place, record.camera) == ("p7", "gate", "Pixel 7")
    assert record.extra == {"weather": "rain"}


@quick
@given(st.floats(-80, 84), st.floats(-180, 179.999))
def test_utm_columns_lead_to_the_same_place_as_latitude_and_longitude(lat, lon):
    assume(min(abs(lat), abs(lon)) > 1e-6)  # 0, 0 is no position, and rounding crosses the equator
    east, north, zone, northern = to_utm(LatLon(lat, lon))
    letter = "CDEFGHJKLMNPQRSTUVWX"[min(int((lat + 80) // 8), 19)]
    for written in (f"{zone}{letter}", f"{zone:02} {letter.lower()}", *([str(zone), f"{zone}.0", f"{zone}N"] if northern else [])):
        row = {"east": repr(east), "north": repr(north), "zone": written}
        assert distance(from_row(PHOTO, row).position, LatLon(lat, lon)) < 1e-6


@pytest.mark.parametrize(
    ("north", "northern"),
    [
        (4_180_077.0, True),  # San Francisco, 10S: the band
        (3_950_000.0, True),  # Tokyo, 54S
        (6_252_050.0, False),  # Sydney, 56S meant as "south": band S holds no such northing
        (9_950_000.0, False),  # just south of the equator
        (1_000_000.0, False),  # Antarctica
    ],
)
def test_the_letter_s_is_the_band_where_the_northing_fits_it_and_else_means_south(north, northern):
    record = from_row(PHOTO, {"east": "400000", "north": repr(north), "zone": "56S"})
    assert record.position == from_utm(400000.0, north, 56, northern)


def test_metres_without_a_zone_are_a_frame_of_their_own():
    assert from_row(PHOTO, {"x_m": "-3.5", "y_m": "7"}).position == LocalPoint(-3.5, 7.0)


def test_decimal_commas_are_understood():
    assert from_row(PHOTO, {"lat": "52,5", "lon": "13,4"}).position == LatLon(52.5, 13.4)


def test_a_row_without_a_position_has_none():
    record = from_row(PHOTO, {"lat": "", "lon": "", "place": "gate"})
    assert record.position is None
    assert record.place == "gate"
    assert "There is no position in its EXIF data" in record.why_unplaced


def test_zero_zero_is_no_position():
    record = from_row(PHOTO, {"lat": "0.0", "lon": "0"})
    assert record.position is None
    assert "0, 0" in record.why_unplaced
    assert from_row(PHOTO, {"x_m": "0", "y_m": "0"}).position == LocalPoint(0.0, 0.0)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"lat": "north", "lon": "13"}, "A number was wanted as lat, got 'north'"),
        ({"lat": "nan", "lon": "13"}, "A number was wanted as lat, got 'nan'"),
        ({"lat": "1.234.5", "lon": "13"}, "A number was wanted"),
        ({"lat": "93", "lon": "13"}, "swapped"),
        ({"lat": "52.5", "lon": ""}, "belong together, got '52.5', ''"),
        ({"east": "391545", "north": "5818254"}, "no UTM zone go to x_m, y_m"),
        ({"east": "391545", "north": "5818254", "zone": "33I"}, "zone like 33, 33N or 33U was wanted, got '33I'"),
        ({"east": "391545", "north": "5818254", "zone": "EPSG:25833"}, "zone like 33"),
        ({"east": "391545", "north": "5818254", "zone": "61"}, r"zone 1\.\.60"),
        ({"east": "5818254", "north": "391545", "zone": "33"}, "swapped"),
    ],
)
def test_a_row_that_cannot_be_understood_says_what_was_wanted(row, sentence):
    with pytest.raises(PositionError, match=sentence):
        from_row(PHOTO, row)


# Names


def test_a_name_of_the_field_is_understood():
    name = "@0551107.07@4180275.32@10@S@037.76838@-122.41972@pano7@3@270@10@0@12.5@2013-07-01@sunset@.jpg"
    record = from_name(Path("database") / name)
    assert distance(record.position, LatLon(37.76838, -122.41972)) < 1.5
    assert record.position == from_utm(551107.07, 4180275.32, 10, northern=True)
    assert record.heading_deg == 270
    assert record.panorama == "pano7"
    assert record.time == datetime(2013, 7, 1)
    assert record.extra == {"tile": "3", "pitch": "10", "roll": "0", "height": "12.5", "note": "sunset"}


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("@391545@5818254@33@U@@@@@@@@@@@.jpg", from_utm(391545.0, 5818254.0, 33, northern=True)),
        ("@391545@5818254@33@.png", from_utm(391545.0, 5818254.0, 33, northern=True)),
        ("@334416.5@6251925@56@H@@@@@@@@@@@.jpg", from_utm(334416.5, 6251925.0, 56, northern=False)),
        ("@334416.5@6251925@56@@-33.86@151.21@@@@@@@@@.jpg", from_utm(334416.5, 6251925.0, 56, northern=False)),
        ("@12.25@-3@@@@@@@@@@@@@.jpg", LocalPoint(12.25, -3.0)),
        ("@0@0@.jpg", LocalPoint(0.0, 0.0)),
        ("@12.25@-3.5.jpg", LocalPoint(12.25, -3.5)),
        ("@@@@@52.5@13.4@@@@@@@@@.jpg", LatLon(52.5, 13.4)),
    ],
)
def test_names_may_leave_fields_empty_and_without_a_zone_metres_are_local(name, position):
    assert from_name(Path(name)).position == position


@pytest.mark.parametrize(
    "name", ["IMG_0001.jpg", "me@home.jpg", "@home@work@.jpg", "a@1@2@.jpg", "@.jpg", "@1@.jpg", "@@@.jpg", ".jpg"]
)
def test_other_names_say_nothing(name):
    assert from_name(Path(name)) is None


def test_a_name_with_an_impossible_position_is_an_error():
    with pytest.raises(PositionError, match=r"zone 1\.\.60"):
        from_name(Path("@391545@5818254@99@U@.jpg"))


# Times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2023-06-10T16:44:17+08:00", datetime(2023, 6, 10, 16, 44, 17, tzinfo=timezone(timedelta(hours=8)))),
        ("2023-06-10 16:44:17.5Z", datetime(2023, 6, 10, 16, 44, 17, 500_000, tzinfo=UTC)),
        ("2023-06-10", datetime(2023, 6, 10)),
        ("20230610", datetime(2023, 6, 10)),
        ("2023:06:10 16:44:17", datetime(2023, 6, 10, 16, 44, 17)),
        ("2023:06:10 16:44:17+08:00", datetime(2023, 6, 10, 16, 44, 17, tzinfo=timezone(timedelta(hours=8)))),
        ("1686415457", datetime(2023, 6, 10, 16, 44, 17, tzinfo=UTC)),
        ("1686415457.25", datetime(2023, 6, 10, 16, 44, 17, 250_000, tzinfo=UTC)),
        ("15:04", None),
        ("yesterday", None),
        ("0000:00:00 00:00:00", None),
        ("", None),
    ],
)
def test_times_are_understood_in_three_forms(text, time):
    assert parsed_time(text) == time


def test_a_time_and_a_heading_that_are_not_understood_are_kept_as_they_were_written():
    record = from_row(PHOTO, {"x_m": "1", "y_m": "2", "time": "15:04", "heading_deg": "west"})
    assert record.position == LocalPoint(1.0, 2.0)
    assert record.time is record.heading_deg is None
    assert record.extra == {"time": "15:04", "heading_deg": "west"}


@quick
@given(st.floats())
@example(-1e-20)
def test_headings_go_once_round(degrees):
    heading = from_row(PHOTO, {"heading_deg": repr(degrees)}).heading_deg
    assert heading is None if not math.isfinite(degrees) else 0 <= heading < 360


def test_times_with_and_without_a_zone_are_not_compared():
    noon = datetime(2023, 6, 10, 12)
    assert seconds_between(noon, noon + timedelta(minutes=1)) == 60
    assert seconds_between(noon.replace(tzinfo=UTC), datetime(2023, 6, 10, 20, tzinfo=timezone(timedelta(hours=8)))) == 0
    assert seconds_between(noon, noon.replace(tzinfo=UTC)) is None


# EXIF

GPS_HERE = {
    GPS.GPSLatitudeRef: "S",
    GPS.GPSLatitude: (33.0, 51.0, 36.0),
    GPS.GPSLongitudeRef: "E",
    GPS.GPSLongitude: (151.0, 12.0, 36.0),
}


def photo_with(folder, gps, form="JPEG", main=(), photo=()):
    exif = Image.Exif()
    exif.get_ifd(IFD.GPSInfo).update(gps)
    exif.get_ifd(IFD.Exif).update(photo)
    exif.update(main)
    if form == "TIFF":
        exif[IFD.GPSInfo] = 0  # Pillow writes this directory only where its number is among the tags
    path = folder / f"photo.{form.lower()}"
    Image.new("RGB", (8, 8)).save(path, form, exif=exif)
    return path


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_tells_position_heading_time_and_camera(tmp_path, form):
    gps = GPS_HERE | {
        GPS.GPSImgDirectionRef: "T",
        GPS.GPSImgDirection: 275.5,
        GPS.GPSDateStamp: "2023:06:10",
        GPS.GPSTimeStamp: (16.0, 44.0, 17.0),
    }
    record = from_exif(photo_with(tmp_path, gps, form, main={Base.Make: "Apple", Base.Model: "iPhone 12"}))
    assert distance(record.position, LatLon(-33.86, 151.21)) < 0.01
    assert record.heading_deg == 275.5
    assert record.time == datetime(2023, 6, 10, 16, 44, 17, tzinfo=UTC)
    assert record.camera == "Apple iPhone 12"
    assert record.extra == {}


@settings(deadline=None, max_examples=40)
@given(lat=st.floats(-90, 90), lon=st.floats(-180, 179.99999))
def test_any_position_written_in_degrees_minutes_and_seconds_is_read_to_the_centimetre(tmp_path_factory, lat, lon):
    def written(value):
        degrees, rest = divmod(abs(Fraction(value)), 1)
        minutes, rest = divmod(rest * 60, 1)
        return (float(degrees), float(minutes), float(rest * 60))

    gps = {
        GPS.GPSLatitudeRef: "N" if lat >= 0 else "S",
        GPS.GPSLatitude: written(lat),
        GPS.GPSLongitudeRef: "E" if lon >= 0 else "W",
        GPS.GPSLongitude: written(lon),
    }
    record = from_exif(photo_with(tmp_path_factory.mktemp("exif"), gps))
    if record.position is None:
        assert "0, 0" in record.why_unplaced
        assert max(abs(lat), abs(lon)) < 1e-6
    else:
        assert distance(record.position, LatLon(lat, lon)) < 0.01


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({GPS.GPSLatitude: (0.0, 0.0, 0.0), GPS.GPSLongitude: (0.0, 0.0, 0.0)}, "0, 0, which devices write when"),
        (
            {GPS.GPSLatitude: (IFDRational(33, 1), IFDRational(51, 0), IFDRational(36, 1))},
            "GPS position in its EXIF data is broken",
        ),
        (
            {GPS.GPSLatitude: (IFDRational(0, 0),) * 3, GPS.GPSLongitude: (IFDRational(0, 0),) * 3},
            "GPS position in its EXIF data is broken",
        ),
        ({GPS.GPSLatitudeRef: ""}, "GPS position in its EXIF data is broken"),
        ({GPS.GPSLatitude: (99.0, 0.0, 0.0)}, r"is impossible \(-99, 151.21\); give it one in a positions.csv"),
    ],
)
def test_gps_data_that_hold_no_position_say_why(tmp_path, change, reason):
    record = from_exif(photo_with(tmp_path, GPS_HERE | change))
    assert record.position is None
    assert re.search(reason, record.why_unplaced)


def test_a_photo_without_exif_says_nothing(tmp_path):
    record = from_exif(photo_with(tmp_path, {}))
    assert record.position is record.heading_deg is record.time is record.camera is None
    assert record.extra == {}


def test_the_clock_of_the_camera_counts_where_there_is_none_of_gps(tmp_path):
    here = {Base.DateTimeOriginal: "2023:06:10 16:44:17"}
    assert from_exif(photo_with(tmp_path, GPS_HERE, photo=here)).time == datetime(2023, 6, 10, 16, 44, 17)
    there = here | {Base.OffsetTimeOriginal: "+08:00"}
    assert from_exif(photo_with(tmp_path, GPS_HERE, photo=there)).time == datetime(2023, 6, 10, 8, 44, 17, tzinfo=UTC)


def test_a_magnetic_heading_is_called_so(tmp_path):
    record = from_exif(photo_with(tmp_path, GPS_HERE | {GPS.GPSImgDirection: 365.0, GPS.GPSImgDirectionRef: "M"}))
    assert record.heading_deg == 5
    assert record.extra == {"heading_from": "magnetic north"}


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("", "X100", "X100"),
        ("Leica\0\0", "", "Leica"),
    ],
)
def test_a_camera_has_one_name(tmp_path, make, model, camera):
    assert from_exif(photo_with(tmp_path, {}, main={Base.Make: make, Base.Model: model})).camera == camera


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_broken_exif_is_silent_and_costs_nothing_but_itself(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    path = photo_with(folder, GPS_HERE | {GPS.GPSImgDirection: 5.0}, main={Base.Make: "A camera with a long name"})
    stored = bytearray(path.read_bytes())
    start = stored.index(b"Exif\0\0") + 6
    length = int.from_bytes(stored[start - 8 : start - 6], "big") - 8
    for _ in range(data.draw(st.integers(1, 6))):
        stored[start + data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(stored)
    record = from_exif(path)
    assert record.path == path
    assert record.position is None or isinstance(record.position, LatLon)


def test_exif_that_is_none_is_a_photo_without_exif(tmp_path):
    path = photo_with(tmp_path, GPS_HERE)
    path.write_bytes(path.read_bytes().replace(b"Exif\0\0MM", b"Exif\0\0XY").replace(b"Exif\0\0II", b"Exif\0\0XY"))
    assert from_exif(path).position is None


def test_what_is_no_image_has_no_exif(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("Dear diary")
    with pytest.raises(ImageError, match="no image that can be read"):
        from_exif(path)
