"""Positions and distances: against pyproj, and by the laws that hold on a globe."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer

from sameplace import geo
from sameplace.errors import PositionError
from sameplace.geo import EARTH, LOCAL, LatLon, LocalPoint, Positions, distance, from_utm, to_utm, utm_zone

GLOBE = Geod(ellps="WGS84")
latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
on_earth = st.builds(LatLon, latitudes, longitudes)
in_a_hall = st.builds(LocalPoint, st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
one_frame = st.one_of(st.lists(on_earth, min_size=3, max_size=3), st.lists(in_a_hall, min_size=3, max_size=3))
quick = settings(deadline=None, max_examples=100)


@quick
@given(on_earth, st.floats(-4e6, 1e7))
@example(LatLon(90.0, 0.0), 0.0)
@example(LatLon(-90.0, 10.0), 0)
@example(LatLon(0.0, -180.0), 3)
def test_earth_centred_metres_are_pyprojs_and_lead_back_to_the_micrometre_at_any_height(position, height):
    to_metres = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    ground = np.array(to_metres.transform(position.lon, position.lat, 0.0))
    np.testing.assert_allclose(Positions.of([position]).metric()[0], ground, atol=1e-8)
    above = np.array(to_metres.transform(position.lon, position.lat, height))
    assert distance(geo.point(EARTH, above), position) < 1e-6


@quick
@given(on_earth, st.floats(0, 360), st.floats(0, 1000))
@example(LatLon(0.0, 179.999), 90, 1000)
@example(LatLon(89.999, 20.0), 0, 1000)
def test_the_distance_is_the_way_over_the_ground_to_a_millimetre_within_a_kilometre(start, azimuth, metres):
    lon, lat, _ = GLOBE.fwd(start.lon, start.lat, azimuth, metres)
    assert distance(start, LatLon(lat, lon)) == pytest.approx(metres, abs=1e-3)


@quick
@given(one_frame)
def test_distances_are_those_of_a_metric_space(places):
    first, second, third = places
    assert distance(first, second) == distance(second, first) >= 0
    assert distance(first, first) == 0
    assert distance(first, third) <= distance(first, second) + distance(second, third) + 1e-6


@quick
@given(latitudes, st.floats(-360, 360))
@example(0.0, float(np.nextafter(-180, -200)))
@example(0.0, 180.0)
def test_a_longitude_is_wrapped_to_one_name_a_place(lat, lon):
    position = LatLon(lat, lon)
    assert -180 <= position.lon < 180
    assert (position.lon - lon) % 360 == pytest.approx(0, abs=1e-9) or (position.lon - lon) % 360 == pytest.approx(360)


@pytest.mark.parametrize(
    ("lat", "lon"), [(91.0, 0.0), (0.0, 361.0), (float("nan"), 0.0), (0.0, float("inf")), (5818254.0, 391545.0)]
)
def test_what_is_no_latitude_and_longitude_is_refused_with_a_guess(lat, lon):
    with pytest.raises(PositionError, match="swapped"):
        LatLon(lat, lon)


def test_a_local_point_must_be_finite():
    with pytest.raises(PositionError, match="Finite coordinates"):
        LocalPoint(float("nan"), 0.0)


@quick
@given(st.floats(-80, 84), longitudes)
@example(0.0, 6.0)
@example(0.0, -180.0)
@example(0.0, float(np.nextafter(180, 0)))
@example(60.0, 3.0)
@example(75.0, 33.0)
@example(-1e-12, 3.0)
def test_utm_is_pyprojs_both_ways(lat, lon):
    position = LatLon(lat, lon)
    east, north, zone, northern = to_utm(position)
    from_degrees = Transformer.from_crs("EPSG:4326", (32600 if northern else 32700) + zone, always_xy=True)
    np.testing.assert_allclose((east, north), from_degrees.transform(position.lon, position.lat), atol=1e-6)
    assert distance(from_utm(east, north, zone, northern), position) < 1e-6


@quick
@given(st.floats(200_000, 800_000), st.floats(100_000, 9_200_000), st.integers(1, 60), st.booleans())
def test_any_utm_coordinates_lead_where_pyproj_says(east, north, zone, northern):
    to_degrees = Transformer.from_crs((32600 if northern else 32700) + zone, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(east, north)
    assume(abs(lat) < 84)
    assert distance(from_utm(east, north, zone, northern), LatLon(lat, lon)) < 1e-6


def test_neighbours_across_a_zone_border_are_as_near_as_they_are():
    west, east = LatLon(52.0, 11.9999), LatLon(52.0, 12.0001)
    assert utm_zone(west) == 32
    assert utm_zone(east) == 33
    from_zones = distance(from_utm(*to_utm(west)), from_utm(*to_utm(east)))
    assert from_zones == pytest.approx(GLOBE.inv(11.9999, 52.0, 12.0001, 52.0)[2], abs=1e-6)


@pytest.mark.parametrize(
    ("place", "zone"),
    [
        (LatLon(60.39, 5.32), 32),
        (LatLon(55.99, 5.32), 31),
        (LatLon(64.0, 5.32), 31),
        (LatLon(60.0, 2.99), 31),
        (LatLon(78.2, 15.6), 33),
        (LatLon(71.9, 15.6), 33),
        (LatLon(78.0, 8.99), 31),
        (LatLon(78.0, 9.0), 33),
        (LatLon(78.0, 21.0), 35),
        (LatLon(78.0, 33.0), 37),
        (LatLon(78.0, 42.0), 38),
        (LatLon(0.0, 0.0), 31),
        (LatLon(0.0, 179.9999), 60),
        (LatLon(0.0, -180.0), 1),
    ],
)
def test_norway_and_svalbard_have_wider_zones(place, zone):
    assert utm_zone(place) == zone


@pytest.mark.parametrize("lat", [84.001, -80.001, 90.0])
def test_utm_ends_before_the_poles(lat):
    with pytest.raises(PositionError, match="use latitude and longitude there"):
        to_utm(LatLon(lat, 0.0))


@pytest.mark.parametrize("wrong", [(5e5, 5e6, 0), (5e5, 5e6, 61), (5.8e6, 4e5, 33), (5e5, -1.0, 33), (float("nan"), 1e6, 33)])
def test_utm_coordinates_out_of_range_are_refused_with_a_guess(wrong):
    with pytest.raises(PositionError, match="swapped"):
        from_utm(*wrong, northern=True)


@quick
@given(one_frame)
def test_many_positions_give_back_each_one(places):
    positions = Positions.of(places)
    assert len(positions) == len(places)
    assert [positions[row] for row in range(len(positions))] == places
    for row, place in enumerate(places):
        assert distance(geo.point(positions.frame, positions.metric()[row]), place) < 1e-6


def test_no_positions_are_positions_too():
    assert len(Positions.of([])) == 0
    assert Positions.of([]).metric().shape == (0, 3)


def test_frames_are_never_mixed():
    with pytest.raises(PositionError, match="mixed with local metres"):
        distance(LatLon(0.0, 0.0), LocalPoint(0.0, 0.0))
    with pytest.raises(PositionError, match="'earth' or 'local'"):
        Positions("mars", np.zeros((1, 2)))


def test_local_metres_are_left_as_they_are():
    assert distance(LocalPoint(3.0, 0.0), LocalPoint(0.0, 4.0)) == 5
    assert geo.point(LOCAL, np.array([1.0, 2.0, 0.0])) == LocalPoint(1.0, 2.0)


def test_the_centre_of_the_earth_is_no_place():
    with pytest.raises(PositionError, match="opposite sides"):
        geo.point(EARTH, Positions.of([LatLon(10.0, 20.0), LatLon(-10.0, -160.0)]).metric().mean(axis=0))
