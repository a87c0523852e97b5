"""In a notebook an estimate, an atlas and a report show themselves: safely, in little room, whatever became of the files."""

import base64
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import Atlas, Estimate, LatLon, LocalPoint, Match, Report, datasets, evaluate
from sameplace.atlas.showing import address_card, atlas_card, estimate_card
from sameplace.evaluation.showing import report_card
from sameplace.pages.still import EDGE, HEIGHT, WIDTH, Still

HERE = LatLon(52.5, 13.4)


class Seen(HTMLParser):
    """The elements of a card and its words, as a browser would see them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data


def estimate(photo="mystery.jpg", path="gate.jpg", *, position=HERE, radius=7.5, known=True, similarity=0.7):
    match = Match(path=path, similarity=similarity, position=position)
    return Estimate(photo=photo, position=position, radius=radius, known=known, matches=(match,))


def pictures(html):
    return [base64.b64decode(data) for data in re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        exif = Image.Exif()
        exif.get_ifd(34853).update({1: "N", 2: (52.0, 30.0, number / 10), 3: "E", 4: (13.0, 24.0, 0.0)})
        noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
        noise.resize((800, 600)).save(folder / f"{number}.jpg", exif=exif)
    return folder


@pytest.fixture
def atlas(photos, tmp_path, tiny_describer):
    return Atlas.build(photos, at=tmp_path / "walk.atlas", model=tiny_describer)


@pytest.fixture
def report(photos, tiny_describer) -> Report:
    return evaluate(tiny_describer, datasets.load(photos), recall_at=(1, 5))


def cards(atlas, report, photos):
    return {
        "atlas": atlas_card(atlas._snapshot, "It is <small>."),
        "address": address_card("milvus://here/<b>", 3, "tiny"),
        "estimate": estimate_card(atlas.locate(photos / "4.jpg")),
        "report": report_card(report),
    }


def test_what_a_notebook_shows_is_the_card(atlas, report, photos):
    located = atlas.locate(photos / "4.jpg")
    assert located._repr_html_() == estimate_card(located)
    assert atlas._repr_html_() == atlas_card(atlas._snapshot, atlas.doubt())
    assert report._repr_html_() == report_card(report)


def test_cards_run_no_script_and_fetch_nothing(atlas, report, photos):
    for html in cards(atlas, report, photos).values():
        seen = Seen(html)
        assert {tag for tag, _ in seen.elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
        assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on") or name == "style"]
        assert all(attrs["src"].startswith("data:image/jpeg;base64,") for _, attrs in seen.elements if "src" in attrs)
        assert "url(" not in html
        assert "@import" not in html


def test_the_style_of_a_card_touches_nothing_outside_it(atlas):
    style = re.search("<style>(.*?)</style>", atlas._repr_html_(), re.DOTALL)[1]
    selectors = re.findall(r"([^{}]+)\{", style)
    assert len(selectors) > 20
    assert all(".sameplace-shown" in selector for selector in selectors)


def test_pictures_are_small_and_carry_no_metadata(atlas, photos):
    found = [*pictures(atlas._repr_html_()), *pictures(atlas.locate(photos / "4.jpg")._repr_html_())]
    assert len(found) == 6 + 1 + 5
    for stored in found:
        opened = Image.open(BytesIO(stored))
        assert max(opened.size) <= 240
        assert not opened.getexif()
        assert b"Exif" not in stored
        assert len(stored) < 30_000  # of noise, which no photo is


def test_an_atlas_shows_itself_when_its_photos_have_gone(atlas, photos):
    located = atlas.locate(photos / "4.jpg")
    shutil.rmtree(photos)
    for html in (atlas._repr_html_(), located._repr_html_()):
        assert not pictures(html)
        assert "The picture is no longer there" in html
        assert 'class="map"' in html


def test_a_photo_that_came_as_bytes_is_not_said_to_be_missing(atlas, photos):
    html = atlas.locate((photos / "4.jpg").read_bytes())._repr_html_()
    assert len(pictures(html)) == 5
    assert "no longer there" not in html


def test_an_empty_atlas_shows_that_it_is_empty(tmp_path, tiny_describer):
    seen = Seen(Atlas.open_or_create(tmp_path / "new.atlas", tiny_describer)._repr_html_())
    assert "0photos" in seen.words
    assert not [tag for tag, _ in seen.elements if tag == "figure"]


def test_an_atlas_on_a_server_is_told_without_fetching_its_positions(photos, monkeypatch, tiny_describer):
    pytest.importorskip("pymilvus", reason="Milvus is an extra: pip install 'sameplace[milvus]'")
    from milvus_fake import FakeMilvus

    server = FakeMilvus()
    monkeypatch.setattr("pymilvus.MilvusClient", lambda uri, token, timeout: server)
    atlas = Atlas.build(photos, at="milvus://server.example/town", model=tiny_describer)
    monkeypatch.setattr(type(atlas), "positions", lambda self: pytest.fail("the positions were fetched"))
    words = Seen(atlas._repr_html_()).words
    assert "milvus://server.example/town" in words
    assert "9photos" in words


names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30).filter(lambda name: name.strip(". "))


@settings(deadline=None, max_examples=60)
@given(names | st.sampled_from(['"><script>alert(1).jpg', "<b>.jpg", "' onload='x", "&lt;b&gt;", "\udcff"]))
def test_no_file_name_can_add_an_element_or_an_attribute(name):
    def skeleton(words):
        html = estimate_card(estimate(f"/nowhere/{words}", f"/nowhere/{words}"))
        return [(tag, sorted(attrs)) for tag, attrs in Seen(html).elements]

    assert skeleton(name) == skeleton("harmless.jpg")


def test_a_hostile_model_name_is_shown_as_it_is(report):
    seen = Seen(report_card(replace(report, model="<script>x</script>", dataset='"><b>')))
    assert '<script>x</script> on "><b>' in seen.words
    assert not [tag for tag, _ in seen.elements if tag == "script"]


@pytest.mark.parametrize(("known", "verdict"), [(True, "Known place"), (False, "Not sure"), (None, "Cannot tell")])
def test_verdict_position_similarity_and_radius_are_told(known, verdict):
    words = Seen(estimate_card(estimate(known=known, similarity=0.4567))).words
    for told in (verdict, "52.500000, 13.400000", "similarity 0.457", "7.5 m", "gate.jpg", "mystery.jpg"):
        assert told in words


def test_a_calibrated_radius_is_told_with_its_level():
    words = Seen(estimate_card(replace(estimate(), calibrated=True, level=0.8))).words
    assert "within 7.5 m, as 80% of such answers are" in words


def test_local_positions_are_metres_without_a_world_map():
    html = estimate_card(estimate(position=LocalPoint(12.0, -3.5)))
    assert "x 12.00 m, y -3.50 m" in html
    assert "openstreetmap" not in html


def test_recall_is_shown_with_its_interval_and_protocol(report):
    words = Seen(report_card(report)).words
    low, high = report.interval[1]
    for told in (f"{100 * report.recall[1]:.1f} %", f"{100 * low:.1f} to {100 * high:.1f} %", report.protocol[:20]):
        assert told in words


def test_what_cannot_be_drawn_is_left_to_the_plain_text():
    elsewhere = Match(path="gate.jpg", similarity=0.5, position=LocalPoint(0.0, 0.0))
    assert replace(estimate(), matches=(elsewhere,))._repr_html_() is None
    assert estimate(radius=float("nan"))._repr_html_() is None


metres = st.floats(-1e5, 1e5)


@settings(deadline=None)
@given(st.lists(st.tuples(metres, metres), min_size=1, max_size=20))
def test_all_that_a_map_is_to_hold_lies_within_its_edges(places):
    points = np.array(places)
    pixels = Still.holding(points).pixels(points)
    assert (pixels >= EDGE - 1e-6).all()
    assert (pixels <= np.array([WIDTH - EDGE, HEIGHT - EDGE]) + 1e-6).all()


@settings(deadline=None)
@given(st.lists(st.tuples(metres, metres), min_size=2, max_size=20))
def test_distances_on_a_map_are_true_and_north_is_up(places):
    points = np.array(places)
    still = Still.holding(points)
    moved = still.pixels(points + np.array([0.0, 10.0])) - still.pixels(points)
    assert moved == pytest.approx(np.tile([0.0, -10 / still.metres], (len(points), 1)), abs=1e-6)


@settings(deadline=None)
@given(st.floats(1.0, 1e6))
def test_the_scale_is_as_long_as_it_says(width):
    still = Still.holding(np.array([[0.0, 0.0], [width, 0.0]]))
    svg = still.svg("", "A map")
    told, unit = re.search(r">([\d.e+]+) (k?m)</text>", svg).groups()
    long = float(re.search(r"v7h([\d.]+)v-7", svg)[1])
    assert long * still.metres == pytest.approx(float(told) * (1000 if unit == "km" else 1), rel=0.01)
    assert 25 <= long <= 80
