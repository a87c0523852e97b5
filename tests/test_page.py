"""The map page: one file that needs nothing, shows what it was given, and cannot be talked into anything by a file name."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace.atlas.coverage import CURES, Part
from sameplace.atlas.coverage_page import SQUARES, squares
from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.page import page, write_page
from sameplace.geo import LatLon, LocalPoint, Positions
from sameplace.images import Problem
from sameplace.pages.drawing import DOTS
from sameplace.pages.plan import Plan, thinned

HERE = LatLon(52.5, 13.4)


class Seen(HTMLParser):
    """The elements of a page and their attributes, as a browser would see them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]

    def with_class(self, name):
        return [attrs for _, attrs in self.elements if name in (attrs.get("class") or "").split()]


def estimate(photo="mystery.jpg", matches=("gate.jpg",), position=HERE, known=True):
    nearby = [position] * len(matches)
    found = tuple(Match(path=path, similarity=0.7, position=at) for path, at in zip(matches, nearby, strict=True))
    return Estimate(photo=photo, position=position, radius=7.5, known=known, matches=found)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "tall.jpg"
    exif = Image.Exif()
    exif[274] = 6  # stored lying, shown upright
    exif.get_ifd(34853)[2] = (52.0, 30.0, 0.0)
    Image.new("RGB", (80, 40), (200, 30, 30)).save(path, exif=exif)
    return path


def pictures(html):
    return [Image.open(BytesIO(base64.b64decode(data))) for data in re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)]


def test_the_page_fetches_nothing_and_its_own_policy_forbids_it():
    seen = Seen(page([estimate()], Positions.of([HERE])))
    policy = next(attrs["content"] for _, attrs in seen.elements if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "img-src data:;" in policy
    assert all(source.startswith("data:") for source in seen.attributes("src"))
    assert {tag for tag, _ in seen.elements}.isdisjoint({"iframe", "object", "embed", "base"})
    links = [address for address in seen.attributes("href") if not address.startswith("#")]
    assert [address.split("/")[2] for address in links if not address.startswith("data:")] == ["www.openstreetmap.org"]


def test_the_policy_lets_exactly_this_style_and_this_script_run():
    html = page([estimate()], Positions.of([HERE]))
    for kind in ("style", "script"):
        source = re.search(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL)[1]
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" in html
    assert not [name for _, attrs in Seen(html).elements for name in attrs if name.startswith("on") or name == "style"]


names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30).filter(lambda name: name.strip(". "))


@settings(deadline=None, max_examples=60)
@given(
    name=names | st.sampled_from(['"><script>alert(1)</script>.jpg', "{{script}}.jpg", "' onload='x", "&lt;b&gt;", "\udcff.jpg"])
)
def test_no_file_name_can_add_an_element_or_an_attribute(name):
    def skeleton(text):
        answers = [estimate(photo=text, matches=(text,)), Problem(path=text, reason=text)]
        return [(tag, sorted(attrs)) for tag, attrs in Seen(page(answers, Positions.of([HERE]))).elements]

    assert skeleton(name) == skeleton("harmless.jpg")


def test_a_hostile_name_is_shown_as_it_is():
    html = page([estimate(photo='/photos/"><b>.jpg')], Positions.of([HERE]))
    assert '"><b>.jpg' in "".join(Seen(html).words)


def test_thumbnails_are_upright_and_carry_no_metadata(photo):
    shown = pictures(page([estimate(str(photo), (str(photo),))], Positions.of([HERE])))
    assert [picture.size for picture in shown] == [(40, 80), (40, 80)]
    assert not any(picture.getexif() or "exif" in picture.info for picture in shown)


def test_large_photos_become_small_pictures_of_the_same_shape(tmp_path):
    Image.new("RGB", (3000, 1500)).save(tmp_path / "large.jpg")
    (shown,) = pictures(page([estimate(str(tmp_path / "large.jpg"), ())], Positions.of([HERE])))
    assert shown.size == (560, 280)


def test_a_match_whose_file_has_gone_says_so_instead_of_failing(photo):
    html = page([estimate(str(photo), ("/no/longer/here.jpg",))], Positions.of([HERE]))
    assert len(pictures(html)) == 1
    assert "The picture is no longer there" in html


def test_position_verdict_similarity_and_distance_are_told(photo):
    answer = Estimate(
        photo=str(photo),
        position=HERE,
        radius=7.5,
        known=False,
        matches=(Match(path="gate.jpg", similarity=0.4567, position=LatLon(52.501, 13.4)),),
    )
    words = "".join(Seen(page([answer], Positions.of([HERE]))).words)
    for told in ("52.500000, 13.400000", "7.5 m", "Not sure", "0.457", "111 m away", "tall.jpg", "not calibrated"):
        assert told in words


@pytest.mark.parametrize(("known", "verdict"), [(True, "Known place"), (False, "Not sure"), (None, "Cannot tell")])
def test_each_verdict_has_its_words(known, verdict):
    assert verdict in "".join(Seen(page([estimate(known=known)], Positions.of([HERE]))).words)


def test_the_page_says_what_known_and_radius_are_worth():
    footer = "".join(Seen(page([estimate()], Positions.of([HERE]))).words)
    assert "first guesses, not calibrated" in footer
    learnt = replace(estimate(), false_accept=0.05)
    footer = "".join(Seen(page([learnt], Positions.of([HERE]))).words)
    assert "Of 100 photos from elsewhere about 5 are called known. The radius is a first guess" in footer
    footer = "".join(Seen(page([replace(learnt, calibrated=True)], Positions.of([HERE]))).words)
    assert "first guess" not in footer


def test_a_photo_that_cannot_be_read_has_its_card_with_the_reason():
    seen = Seen(page([Problem(path="broken.jpg", reason="broken.jpg is cut off."), estimate()], Positions.of([HERE])))
    assert "broken.jpg is cut off." in "".join(seen.words)
    assert len(seen.with_class("card")) == 2
    assert len(seen.with_class("answer")) == 1


def test_a_page_of_nothing_but_unreadable_photos_can_still_be_written():
    assert "is cut off" in page([Problem(path="broken.jpg", reason="It is cut off.")], Positions.of([HERE]))


def test_local_frames_have_metres_and_no_world_map():
    html = page([estimate(position=LocalPoint(12.0, -3.5))], Positions.of([LocalPoint(0.0, 0.0), LocalPoint(20.0, 5.0)]))
    assert "x 12.00 m, y -3.50 m" in html
    assert "www.openstreetmap.org" not in html
    assert '<text y="16">y</text>' in html


def test_the_photos_own_position_is_marked_and_its_distance_told():
    html = page([estimate()], Positions.of([HERE]), own={"mystery.jpg": LatLon(52.5003, 13.4)})
    assert "33 m from the photo" in html
    assert len(Seen(html).with_class("own")) == 1


def test_estimate_and_matches_stand_on_the_map_where_they_were_taken():
    match = Match(path="gate.jpg", similarity=0.7, position=LatLon(52.501, 13.402))
    answer = Estimate(photo="mystery.jpg", position=HERE, radius=7.5, known=True, matches=(match,))
    seen = Seen(page([answer], Positions.of([HERE, LatLon(52.501, 13.402)])))
    (here,), (found,) = seen.with_class("here"), seen.with_class("found")
    east, south = np.subtract(*(np.array(marks["data-at"].split(), float) for marks in (found, here)))
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(13.4, 52.5, 13.402, 52.501)
    assert np.hypot(east, south) == pytest.approx(metres, abs=0.1)
    assert east > 0 > south


def test_a_hundred_thousand_positions_are_thinned_and_the_page_says_so():
    rng = np.random.default_rng(0)
    scattered = Positions("local", rng.normal(0, 3000, (100_000, 2)))
    html = page([estimate(position=LocalPoint(0.0, 0.0))], scattered)
    drawn = int(re.search(r"([\d,]+) of the atlas&#x27;s 100,000 photos", html.replace("'s", "&#x27;s"))[1].replace(",", ""))
    assert 500 < drawn <= DOTS + 300
    assert html.count("h0M") == drawn - 1


def part(x, y, weakness=None, photos=3, taken_for=None):
    found = 3 if weakness is None else 0
    return Part(
        position=LocalPoint(x, y), photos=photos, asked=3, found=found, weakness=weakness, example="gate.jpg", taken_for=taken_for
    )


def test_where_the_atlas_is_weak_unfolds_beside_the_answers_with_what_would_help():
    parts = [part(0.0, 0.0, "look-alike", taken_for="twin.jpg"), part(70.0, 0.0, "sparse"), part(140.0, 0.0)]
    answers = [estimate(position=LocalPoint(0.0, 0.0))]
    seen = Seen(page(answers, Positions.of([LocalPoint(0.0, 0.0), LocalPoint(140.0, 0.0)]), coverage=parts))
    (folded,) = [attrs for tag, attrs in seen.elements if tag == "details"]
    assert "open" not in folded
    words = "".join(seen.words)
    assert "2 of 3 parts of this atlas are weak" in words
    assert all(CURES[reason].capitalize() in words for reason in ("look-alike", "sparse"))
    assert CURES["one light"].capitalize() not in words
    assert len(seen.attributes("data-part")) == 2
    (weak,), (well,) = seen.with_class("weak"), seen.with_class("well")
    assert (weak["d"].count("z"), well["d"].count("z")) == (2, 1)


def test_coverage_alone_makes_a_page_and_no_coverage_leaves_no_trace():
    atlas = Positions.of([LocalPoint(0.0, 0.0), LocalPoint(140.0, 0.0)])
    seen = Seen(page([], atlas, coverage=[part(0.0, 0.0), part(140.0, 0.0)]))
    (unfolded,) = [attrs for tag, attrs in seen.elements if tag == "details"]
    assert "open" in unfolded
    assert "No part of this atlas is weak" in "".join(seen.words)
    without = Seen(page([estimate(position=LocalPoint(0.0, 0.0))], atlas))
    assert not [tag for tag, _ in without.elements if tag == "details"]
    assert not without.with_class("cover")


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4 * SQUARES))
def test_squares_of_large_atlases_are_joined_and_stay_where_the_photos_are(seed, count):
    rng = np.random.default_rng(seed)
    points, photos, weak = rng.uniform(0, 9000, (count, 2)), rng.integers(1, 9, count).astype(float), rng.random(count) < 0.5
    middles, told, side = squares(points, photos, weak)
    assert len(middles) == len(told) <= SQUARES
    if len(middles) == count:
        np.testing.assert_array_equal(middles, points)
    gaps = np.linalg.norm(points[:, None] - middles[None], axis=2).min(axis=1)
    assert gaps.max() <= side * 2**0.5
    assert squares(points, photos, np.full(count, True))[1].all()
    assert not squares(points, photos, np.full(count, False))[1].any()


def test_twenty_thousand_parts_make_a_small_page():
    rng = np.random.default_rng(0)
    parts = [part(float(x), float(y), weakness="sparse") for x, y in rng.uniform(0, 500_000, (20_000, 2))]
    html = page([], Positions("local", rng.uniform(0, 500_000, (1000, 2))), coverage=parts)
    assert len(html) < 250_000
    assert "19,988 more" in html


def test_the_page_is_written_as_utf8(tmp_path):
    write_page(tmp_path / "map.html", [estimate(photo="Straße 道.jpg")], Positions.of([HERE]))
    assert "Straße 道.jpg" in (tmp_path / "map.html").read_text("utf-8")


@settings(deadline=None)
@given(st.floats(-89, 89), st.floats(-180, 179.9), st.floats(0, 360), st.floats(1, 30_000))
def test_distance_and_bearing_from_the_centre_of_a_plan_are_those_of_the_earth(lat, lon, bearing, metres):
    there_lon, there_lat, _ = pyproj.Geod(ellps="WGS84").fwd(lon, lat, bearing, metres)
    plan = Plan(centre=LatLon(lat, lon))
    east, north = plan.flat(Positions.of([LatLon(there_lat, there_lon)]))[0]
    assert np.hypot(east, north) == pytest.approx(metres, rel=1e-4, abs=1e-3)
    wanted = metres * np.array([np.sin(np.radians(bearing)), np.cos(np.radians(bearing))])
    assert np.hypot(*(wanted - (east, north))) < 1e-3 + 2e-4 * metres


def test_the_other_side_of_the_earth_is_half_its_girth_away():
    plan = Plan(centre=LatLon(0.0, 0.0))
    assert np.hypot(*plan.flat(Positions.of([LatLon(0.0, -180.0)]))[0]) == pytest.approx(np.pi * 6378137, rel=1e-6)


def test_the_arrow_points_north_at_the_centre_and_turns_away_from_it():
    plan = Plan(centre=LatLon(60.0, 0.0))
    assert plan.north(LatLon(60.0, 0.0)) == pytest.approx(0, abs=1e-6)
    assert plan.north(LatLon(60.0, 10.0)) == pytest.approx(-8.7, abs=0.3)  # meridians converge: 10 degrees times sin 60
    assert plan.north(LatLon(90.0, 0.0)) == 0


def test_a_plan_of_places_all_over_the_globe_has_a_centre():
    everywhere = Positions.of(
        [LatLon(0.0, 0.0), LatLon(0.0, 180.0), LatLon(0.0, 90.0), LatLon(0.0, -90.0), LatLon(90.0, 0.0), LatLon(-90.0, 0.0)]
    )
    assert Plan.around(everywhere).centre == LatLon(0.0, 0.0)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_thinning_keeps_at_most_the_limit_and_leaves_no_region_empty(count, limit, seed):
    points = np.random.default_rng(seed).uniform(0, 100, (count, 2))
    kept = thinned(points, limit)
    assert len(kept) <= limit
    assert len(kept) == count or len(kept) >= 1
    assert sorted(set(kept.tolist())) == kept.tolist()
    gaps = np.linalg.norm(points[:, None] - points[kept][None], axis=2).min(axis=1)
    assert gaps.max() <= 100 * np.sqrt(2) * (0 if len(kept) == count else 2 / np.sqrt(limit) + 1e-9) or limit < 4
