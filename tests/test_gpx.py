"""GPX files tell where a receiver was and when, whoever wrote them, and nothing in them can do harm."""

import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.errors import PositionError
from sameplace.images import gpx
from sameplace.images.gpx import read_gpx

START = datetime(2024, 6, 12, 14, 3, tzinfo=UTC)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">'


def point(lat, lon, stamp=None):
    return f'<trkpt lat="{lat!r}" lon="{lon!r}"><ele>34.0</ele>{"" if stamp is None else f"<time>{stamp}</time>"}</trkpt>'


def document(*segments, head=HEAD):
    """A GPX file of segments of (lat, lon, stamp)."""
    body = "".join(f"<trkseg>{''.join(point(*one) for one in segment)}</trkseg>" for segment in segments)
    return f"{head}<metadata><time>1999-01-01T00:00:00Z</time></metadata><trk><name>walk</name>{body}</trk></gpx>"


def stamp(seconds):
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def written(folder, text):
    path = folder / "walk.gpx"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


fixes = st.lists(
    st.tuples(st.integers(0, 10**5), st.floats(-89, 89), st.floats(-179, 179)).filter(lambda one: one[1] or one[2]), min_size=1
)


@settings(deadline=None)
@given(fixes, st.integers(0, 9))
def test_every_point_comes_back_in_order_of_time_however_it_was_cut_into_segments(tmp_path_factory, points, cut):
    rows = [(lat, lon, stamp(seconds)) for seconds, lat, lon in points]
    found = read_gpx(written(tmp_path_factory.mktemp("gpx"), document(rows[:cut], rows[cut:])))
    wanted = {}
    for seconds, lat, lon in points:
        wanted.setdefault(seconds, (lat, lon))
    assert found.times.tolist() == [START.timestamp() + seconds for seconds in sorted(wanted)]
    np.testing.assert_array_equal(found.positions.coordinates, [wanted[seconds] for seconds in sorted(wanted)])


@settings(deadline=None)
@given(fixes)
def test_it_finds_what_the_standard_librarys_tree_holds(tmp_path_factory, points):
    text = document([(lat, lon, stamp(seconds)) for seconds, lat, lon in points])
    space = {"gpx": "http://www.topografix.com/GPX/1/1"}
    tree = {
        datetime.fromisoformat(one.find("gpx:time", space).text).timestamp()
        for one in ElementTree.fromstring(text).iterfind(".//gpx:trkpt", space)
    }
    assert set(read_gpx(written(tmp_path_factory.mktemp("gpx"), text)).times.tolist()) == tree


@pytest.mark.parametrize(
    "said",
    [
        "2024-06-12T14:03:00Z",
        "2024-06-12T14:03:00.000Z",
        "2024-06-12T16:03:00+02:00",
        "2024-06-12T14:03:00",
        " 2024-06-12T14:03:00Z\n",
    ],
)
def test_times_are_utc_unless_they_say_another_zone(tmp_path, said):
    assert read_gpx(written(tmp_path, document([(52.5, 13.4, said)]))).times.tolist() == [START.timestamp()]


@pytest.mark.parametrize(
    "head",
    [
        '<gpx version="1.0">',
        '<g:gpx xmlns:g="http://www.topografix.com/GPX/1/0">',
        '﻿<?xml version="1.0"?><!-- a watch --><gpx xmlns="urn:other">',
    ],
)
def test_older_versions_and_other_namespaces_are_read(tmp_path, head):
    text = document([(52.5, 13.4, stamp(0))], head=head)
    if "<g:" in head:
        text = text.replace("<trk", "<g:trk").replace("</", "</g:").replace("<time", "<g:time").replace("<ele", "<g:ele")
        text = text.replace("<metadata", "<g:metadata").replace("<name", "<g:name")
    assert len(read_gpx(written(tmp_path, text)).times) == 1
    utf16 = HEAD.replace("UTF-8", "UTF-16") + document([(52.5, 13.4, stamp(0))], head="")
    assert len(read_gpx(written(tmp_path, utf16.encode("utf-16"))).times) == 1


def test_other_times_inside_a_point_and_waypoints_do_not_count(tmp_path):
    text = f'{HEAD}<wpt lat="1" lon="1"><time>{stamp(5)}</time></wpt><rte><rtept lat="2" lon="2"/></rte>' + document(
        [(52.5, 13.4, stamp(7)), (0.0, 0.0, stamp(8)), (52.6, 13.5, None), (52.7, 13.6, "noon")], head=""
    )
    found = read_gpx(written(tmp_path, text))
    assert found.times.tolist() == [START.timestamp() + 7]
    assert found.positions[0].lat == 52.5


def test_a_doctype_is_refused_before_anything_in_it_grows(tmp_path):
    entities = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY e0 "x">{entities}]><gpx>&e11;</gpx>'
    thief = '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY e SYSTEM "file:///etc/passwd">]><gpx>&e;</gpx>'
    start = time.perf_counter()
    for text in (bomb, thief, bomb.replace("version", "version").encode("utf-16")):
        with pytest.raises(PositionError, match=r"walk.gpx has a DOCTYPE, which no GPX file needs"):
            read_gpx(written(tmp_path, text))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "walk.gpx is no GPX file, or is cut off"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "walk.gpx is no GPX file, or is cut off"),
        (document([(52.5, 13.4, stamp(0))])[:-20], "walk.gpx is no GPX file, or is cut off"),
        ("<kml><Document/></kml>", "was expected as GPX, but is kml instead; export the track as GPX"),
        (document([], head=HEAD.replace("UTF-8", "GB2312")), r"walk.gpx is no GPX file, or is cut off \(multi-byte .* at line 1\)"),
        (document([], head=HEAD.replace("UTF-8", "foo")), r"walk.gpx is no GPX file, or is cut off \(unknown encoding: foo at"),
        (document([]), "it holds no track points"),
        (document([(52.5, 13.4, None)] * 3), "none of its 3 track points has a time; export the track itself, with its times"),
        (document([(152.5, 13.4, stamp(0))]), "at line 2 of walk.gpx has no position that can be understood .*lat '152.5'"),
        (document([(float("nan"), 13.4, stamp(0))]), "has no position that can be understood"),
        (document([("x" * 9999, 13.4, stamp(0))]), "has no position that can be understood"),
        (f'{HEAD}<trk><trkseg><trkpt lon="3"/></trkseg></trk></gpx>', "has no position that can be understood"),
    ],
)
def test_what_tells_nothing_is_one_sentence_with_its_cure(tmp_path, text, told):
    with pytest.raises(PositionError, match=told) as raised:
        read_gpx(written(tmp_path, text))
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_what_cannot_be_opened_or_is_too_large_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(PositionError, match=r"gone.gpx cannot be read \(No such file or directory\); check the path"):
        read_gpx(tmp_path / "gone.gpx")
    path = written(tmp_path, document([(52.5, 13.4, stamp(number)) for number in range(20)]))
    monkeypatch.setattr(gpx, "MOST_FIXES", 10)
    with pytest.raises(PositionError, match="more than 10 track points; cut out the part of this walk"):
        read_gpx(path)
    monkeypatch.setattr(gpx, "MOST_BYTES", 100)
    with pytest.raises(PositionError, match="but at most 100 are read of a GPX file"):
        read_gpx(path)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_no_broken_byte_gets_past_one_sentence(tmp_path_factory, data):
    content = bytearray(document([(52.5, 13.4, stamp(number)) for number in range(5)]).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=10)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        found = read_gpx(written(tmp_path_factory.mktemp("gpx"), bytes(content)))
    except PositionError as error:
        found, told = None, str(error)
    assert "\n" not in told if found is None else np.isfinite(found.positions.coordinates).all()
    assert found is None or (np.diff(found.times) > 0).all()
