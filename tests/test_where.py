"""Filters before a search: around a rough position, a sector of headings, a range of dates."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import TinyDescriber
from sameplace import Atlas, LatLon, LocalPoint, Positions, Where, distance
from sameplace.cli.app import run
from sameplace.errors import AtlasError

NOWHERE = LatLon(0.0, 0.0)
latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 179.99)


def admits(where, *, at=NOWHERE, heading=float("nan"), time=float("nan")):
    return bool(where.admits(Positions.of([at]), np.array([heading]), np.array([time]))[0])


@settings(deadline=None)
@given(latitudes, longitudes, latitudes, longitudes, st.floats(0.5, 1.3e7))
def test_a_photo_is_near_where_its_distance_is_not_more(lat, lon, other_lat, other_lon, within):
    here, there = LatLon(lat, lon), LatLon(other_lat, other_lon)
    assert admits(Where(near=here, within=within), at=there) == (distance(here, there) <= within)


@settings(deadline=None)
@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 3000))
def test_so_it_is_in_the_neighbourhood_over_the_antimeridian_and_at_the_poles(lat, lon, north, east, within):
    here, there = LatLon(lat, lon), LatLon(float(np.clip(lat + north / 50, -90, 90)), lon + east / 50)
    assert admits(Where(near=here, within=within), at=there) == (distance(here, there) <= within)


@given(st.floats(-720, 720), st.floats(0, 359.9), st.floats(1, 360))
def test_a_sector_of_headings_knows_no_seam_at_north(heading, other, width):
    apart = min(abs(heading - other) % 360, 360 - abs(heading - other) % 360)
    if abs(apart - width / 2) > 1e-6:
        assert admits(Where(heading=heading, heading_width=width), heading=other) == (apart < width / 2)


@given(st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)), st.integers(-3, 3))
def test_a_day_is_whole_and_in_utc_and_a_moment_is_exact(moment, days):
    seconds = moment.replace(tzinfo=UTC).timestamp()
    day = moment.date() + timedelta(days=days)
    assert admits(Where(since=day), time=seconds) == (moment.date() >= day)
    assert admits(Where(until=day), time=seconds) == (moment.date() <= day)
    assert admits(Where(since=moment, until=moment), time=seconds)
    assert not admits(Where(since=moment + timedelta(seconds=1)), time=seconds)


def test_a_photo_without_a_heading_or_a_time_fits_no_filter_of_it():
    assert not admits(Where(heading=0.0, heading_width=360.0))
    assert not admits(Where(since=date(1970, 1, 1)))
    assert admits(Where(near=LatLon(0.0, 0.0), within=1.0))


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ({"near": LatLon(0.0, 0.0)}, "give both near and within"),
        ({"within": 5.0}, "give both near and within"),
        ({"near": LatLon(0.0, 0.0), "within": -1.0}, "give a distance"),
        ({"near": LatLon(0.0, 0.0), "within": float("nan")}, "give a distance"),
        ({"heading": float("inf")}, "leave it out"),
        ({"heading": 3.0, "heading_width": 0.0}, "90 is usual"),
        ({"since": date(2020, 1, 2), "until": date(2020, 1, 1)}, "swap the two"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(wrong, cure):
    with pytest.raises(ValueError, match=cure):
        Where(**wrong)


# In an atlas


@pytest.fixture
def town(tmp_path):
    """Twenty photos 111 m apart to the north, that look to one side after the other, a month after each other."""
    folder = tmp_path / "town"
    folder.mkdir()
    lines = ["file,lat,lon,heading_deg,time"]
    for number in range(20):
        colours = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(colours).resize((64, 64)).save(folder / f"{number:02}.png")
        when = datetime(2019 + number // 12, 1 + number % 12, 15, tzinfo=UTC).isoformat()
        lines.append(f"{number:02}.png,{48 + 0.001 * number},11,{90 * number % 360},{when}")
    (folder / "positions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def atlas(town, tmp_path):
    return Atlas.build(town, at=tmp_path / "town.atlas", model=TinyDescriber())


def names(estimate):
    return sorted(match.path[-6:-4] for match in estimate.matches)


@pytest.mark.parametrize(
    ("where", "fitting"),
    [
        (Where(near=LatLon(48.005, 11.0), within=120.0), [4, 5, 6]),
        (Where(heading=45.0, heading_width=100.0), [0, 1, 4, 5, 8, 9, 12, 13, 16, 17]),
        (Where(since=date(2020, 6, 1)), [17, 18, 19]),
        (Where(until=datetime(2019, 2, 15, tzinfo=UTC)), [0, 1]),
        (Where(near=LatLon(48.005, 11.0), within=350.0, heading=180.0, since=date(2019, 4, 1)), [6]),
    ],
)
def test_only_photos_that_fit_are_asked_and_all_of_them(atlas, town, where, fitting):
    for photo in (town / "05.png", town / "19.png"):
        estimate = atlas.locate(photo, top=20, where=where)
        assert names(estimate) == [f"{number:02}" for number in fitting]


def test_a_filter_changes_nothing_about_those_who_are_left(atlas, town):
    everything = {match.path: match.similarity for match in atlas.locate(town / "05.png", top=20).matches}
    filtered = atlas.locate(town / "05.png", top=20, where=Where(since=date(2019, 9, 1)))
    for match in filtered.matches:
        assert match.similarity == pytest.approx(everything[match.path], abs=1e-6)


def test_removed_photos_stay_away_whatever_the_filter(atlas, town):
    atlas.remove(town / "05.png")
    assert names(atlas.locate(town / "05.png", top=20, where=Where(near=LatLon(48.005, 11.0), within=120.0))) == ["04", "06"]


def test_what_nothing_fits_is_said_in_one_sentence(atlas, town, tmp_path):
    with pytest.raises(AtlasError, match=r"no photos within 5 m of 10, 11 and taken since 2019-01-01; ask for more"):
        atlas.locate(town / "00.png", where=Where(near=LatLon(10.0, 11.0), within=5.0, since=date(2019, 1, 1)))
    with pytest.raises(AtlasError, match="the rough one is in local metres; give it as they have it"):
        atlas.locate(town / "00.png", where=Where(near=LocalPoint(1.0, 2.0), within=5.0))
    (town / "positions.csv").write_text("file,lat,lon\n" + "".join(f"{number:02}.png,48,11\n" for number in range(20)))
    bare = Atlas.build(town, at=tmp_path / "bare", model=TinyDescriber())
    with pytest.raises(AtlasError, match=r"No photo of the atlas .* has a heading, so none .* GPSImgDirection"):
        bare.locate(town / "00.png", where=Where(heading=0.0))
    with pytest.raises(AtlasError, match=r"No photo of the atlas .* has a time, so none"):
        bare.locate(town / "00.png", where=Where(until=date(2030, 1, 1)))


@pytest.fixture
def located(atlas, town, monkeypatch, capsys):
    from sameplace import models

    monkeypatch.setattr(models, "describer", lambda *_, **__: TinyDescriber())

    def ask(*flags):
        code = run(["locate", str(town / "05.png"), "--atlas", str(atlas.path), *flags])
        return code, capsys.readouterr()

    return ask


def test_the_command_line_filters_too(located):
    code, told = located("--near", "48.012,11.0", "--within", "50")
    assert (code, "12.png" in told.out) == (0, True)
    assert "05.png" in located("--near", "48.005,11.0")[1].out.split()[-1]
    assert "19.png" in located("--since", "2020-08-01")[1].out
    assert "00.png" in located("--until", "2019-01-20")[1].out
    assert "03.png" in located("--heading", "-90", "--heading-width", "10", "--until", "2019-05-01")[1].out


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--within", "5"], 2, "--within goes with --near"),
        (["--heading-width", "5"], 2, "--heading-width with --heading"),
        (["--near", "here"], 2, "LAT,LON or X,Y"),
        (["--near", "99,11"], 2, "are the two swapped"),
        (["--since", "2020-01-02", "--until", "2020-01-01"], 2, "swap the two"),
        (["--near", "-10,11"], 1, "ask for more"),
    ],
)
def test_flags_that_cannot_be_right_are_one_sentence(located, flags, code, told):
    got, said = located(*flags)
    assert got == code
    assert told in said.err
    assert not said.out
