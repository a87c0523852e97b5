"""The gallery: one file that needs nothing, shows what became of the queries, and never without the protocol."""

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import TinyDescriber
from sameplace import datasets
from sameplace.datasets import Dataset, WithinFrames, WithinMetresOf
from sameplace.evaluation import score
from sameplace.evaluation.gallery import gallery, write_gallery
from sameplace.evaluation.gallery.shown import chosen, kinds_of
from sameplace.geo import distance
from sameplace.images import ImageRecord, View
from test_page import Seen, pictures

PLACES = 24


def built(folder: Path) -> Path:
    """Places 20 m apart, each photographed twice, the second time with more and more noise; the last query is far from all."""
    rng = np.random.default_rng(0)
    rows = {"database": [], "queries": []}
    for number in range(PLACES):
        pixels = rng.integers(0, 255, (8, 8, 3))
        for part, noise in (("database", 0), ("queries", 5 + 40 * number)):
            path = folder / part / f"{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noisy = (pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).resize((48, 32), Image.Resampling.NEAREST).save(path)
            away = 5000 if (part, number) == ("queries", PLACES - 1) else 20 * number
            rows[part].append(f"{number:02d}.png,{away},{3 if part == 'queries' else 0}")
    for part, lines in rows.items():
        (folder / part / "positions.csv").write_text("\n".join(["file,x_m,y_m", *lines]))
    return folder


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return built(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def outcome(town):
    return score(TinyDescriber(), datasets.load(town, radius=15.0))


@pytest.fixture
def own(tmp_path):
    """A town, and its outcome, whose files a test may change."""
    folder = built(tmp_path / "own")
    return folder, score(TinyDescriber(), datasets.load(folder, radius=15.0))


@pytest.fixture(scope="module")
def walk(town):
    """The same photos, of which nothing is known but their order."""
    parts = [tuple(ImageRecord(path=path) for path in sorted((town / part).glob("*.png"))) for part in ("database", "queries")]
    return score(TinyDescriber(), Dataset(name="walk", database=parts[0], queries=parts[1], truth=WithinFrames(1)))


def cards(html, kind=None):
    return [attrs for attrs in Seen(html).with_class("card") if kind in (None, attrs["data-kind"])]


def test_every_query_is_shown_as_what_became_of_it(outcome):
    html = gallery(outcome)
    first, answerable = outcome.first, outcome.report.answers.answerable
    shown = {kind: {int(card["id"].split("-")[1]) for card in cards(html, kind)} for kind in ("right", "wrong", "none")}
    assert shown["right"] == set(np.flatnonzero(first == 0).tolist())
    assert shown["none"] == set(np.flatnonzero(~answerable).tolist()) == {PLACES - 1}
    assert shown["wrong"] == set(range(PLACES)) - shown["right"] - shown["none"]
    assert min(map(len, shown.values())) > 0


def test_the_protocol_and_the_figures_stand_on_top(outcome):
    html = gallery(outcome)
    words = " ".join("".join(Seen(html.split('class="filters"')[0]).words).split())
    for told in (outcome.report.protocol, "24 queries, 23 of them answerable, 24 database images", "recall@1", "tiny on"):
        assert told in words
    low, high = outcome.report.interval[1]
    assert f"{100 * outcome.report.recall[1]:.1f} %recall@1{100 * low:.1f} - {100 * high:.1f} %" in words


def test_a_failure_tells_what_was_found_how_far_off_it_is_and_where_a_right_image_came(outcome):
    html = gallery(outcome)
    query = next(row for row, kind in enumerate(kinds_of(outcome)) if kind == "wrong")
    card = html.split(f'id="query-{query}"')[1].split("</article>")[0]
    found = outcome.retrieved[query][0]
    dataset = outcome.dataset
    away = distance(dataset.queries[query].position, dataset.database[found].position)
    assert f"similarity {outcome.similarities[query][0]:.3f}" in card
    assert f"{away:.0f} m from the query" in card
    assert f"right at rank {outcome.first[query] + 1}" in card
    assert "3.0 m from the query" in card  # the nearest right image, which is the query's own place
    assert f">{query:02d}.png<" in card.split("nearest right image")[-1]


def test_the_truth_shown_is_the_nearest_right_image(outcome):
    for one in chosen(outcome, 100):
        right = outcome.positives[one.query]
        if one.kind == "none":
            assert one.truth is None
        else:
            here = outcome.dataset.queries[one.query].position
            assert one.truth_m == min(distance(here, outcome.dataset.database[row].position) for row in right)


def test_metres_in_space_come_from_the_truth_that_knows_them(outcome):
    places = np.array([[20.0 * number, 0.0, 7.0] for number in range(PLACES)])
    truth = WithinMetresOf(8.0, queries=places * (1, 1, 0), database=places)
    (one, *_) = chosen(replace(outcome, dataset=replace(outcome.dataset, truth=truth)), 100)
    assert one.truth_m == 7.0


def test_the_surest_failures_and_the_least_sure_successes_come_first(outcome):
    shown = chosen(outcome, 100)
    wrong = [one.similarity for one in shown if one.kind == "wrong"]
    right = [one.similarity for one in shown if one.kind == "right"]
    assert wrong == sorted(wrong, reverse=True)
    assert right == sorted(right)
    assert [one.kind for one in shown] == sorted((one.kind for one in shown), key=["wrong", "none", "right"].index)


@pytest.mark.parametrize("thumbnails", [3, 10, 30, 60])
def test_the_number_of_thumbnails_is_limited_and_the_page_says_what_it_leaves_out(outcome, thumbnails):
    html = gallery(outcome, thumbnails=thumbnails)
    assert 0 < len(pictures(html)) <= thumbnails
    assert len(cards(html)) == min(thumbnails // 3, PLACES)
    assert "evenly from the surest to the least sure" in html


def test_a_gallery_of_less_than_one_query_is_refused(outcome):
    with pytest.raises(ValueError, match="allow more"):
        gallery(outcome, thumbnails=2)


def test_a_full_page_of_the_worst_photos_stays_below_20_megabytes(tmp_path, outcome):
    noise = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    images = tuple(ImageRecord(path=tmp_path / "noise.png") for _ in range(3))
    worst = Dataset(name="noise", database=images, queries=images, truth=WithinFrames(0))
    ones = np.ones(3, np.int64)
    answers = replace(outcome.report.answers, first=ones, answerable=ones == 1, confidence=np.ones(3), error_m=None)
    noisy = replace(
        outcome,
        dataset=worst,
        report=replace(outcome.report, answers=answers),
        positives=tuple(np.array([row]) for row in range(3)),
        retrieved=tuple(np.array([(row + 1) % 3, row]) for row in range(3)),
        similarities=tuple(np.ones(2, np.float32) for _ in range(3)),
    )
    html = gallery(noisy)
    assert len(pictures(html)) == 9
    assert len(html) * 240 / 9 < 20e6


def test_the_page_fetches_nothing_and_its_own_policy_forbids_it(outcome):
    html = gallery(outcome)
    seen = Seen(html)
    policy = next(attrs["content"] for _, attrs in seen.elements if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for kind in ("style", "script"):
        source = re.search(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL)[1]
        assert f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" in policy
    assert all(source.startswith("data:") for source in seen.attributes("src"))
    assert all(address.startswith(("#", "data:")) for address in seen.attributes("href"))
    assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on") or name == "style"]


def test_no_name_can_add_an_element_or_an_attribute(outcome, tmp_path):
    def skeleton(name):
        images = tuple(replace(image, path=tmp_path / name) for image in outcome.dataset.queries)
        hostile = replace(outcome.dataset, queries=images, name=name)
        html = gallery(replace(outcome, dataset=hostile, report=replace(outcome.report, dataset=name, protocol=name, model=name)))
        return [(tag, sorted(attrs)) for tag, attrs in Seen(html).elements]

    harmless = skeleton("harmless.jpg")
    for name in ('"><script>alert(1)<script>.jpg', "{{script}}.jpg", "' onload='x", "&lt;b&gt;", "\udcff.jpg"):
        assert skeleton(name) == harmless


def test_filters_and_queries_can_be_reached_by_keyboard(outcome):
    seen = Seen(gallery(outcome))
    buttons = [attrs for tag, attrs in seen.elements if tag == "button" and "data-show" in attrs]
    assert [button["data-show"] for button in buttons] == ["all", "wrong", "none", "right"]
    assert [button["aria-pressed"] for button in buttons] == ["true", "false", "false", "false"]
    enlarging = [attrs for tag, attrs in seen.elements if tag == "button" and attrs.get("class") == "photo"]
    assert len(enlarging) == len(seen.attributes("src"))
    assert all(attrs["aria-label"].startswith("Enlarge ") for attrs in enlarging)


def test_queries_stand_on_the_map_where_they_were_taken(outcome):
    html = gallery(outcome)
    layer = html.split('data-card="query-3"')[1].split("<title>")[1]
    box = html.split('data-card="query-3" data-box="')[1].split('"')[0]
    left, top, width, height = map(float, box.split())
    east, south = map(float, re.search(r'class="pin here" data-at="([-\d. ]+)"', layer)[1].split())
    assert left < east < left + width
    assert top < south < top + height
    seen = Seen(html)
    others = [np.array(attrs["data-at"].split(), float) for attrs in seen.with_class("here")]
    assert len(others) == PLACES
    assert "queries answered rightly" in "".join(seen.words)


def test_without_positions_there_is_a_line_instead_of_a_map(walk):
    seen = Seen(gallery(walk))
    assert not seen.with_class("plan")
    assert len(seen.with_class("strip")) == PLACES
    assert "3 of 24 database images are right" in "".join(seen.words)
    assert "a right image" in "".join(seen.words)


def test_a_query_that_finds_nothing_has_its_card(walk):
    nothing = (np.empty(0, np.int64), np.empty(0, np.float32))
    lost = replace(
        walk,
        retrieved=(nothing[0], *walk.retrieved[1:]),
        similarities=(nothing[1], *walk.similarities[1:]),
        report=replace(
            walk.report,
            answers=replace(
                walk.report.answers,
                first=np.concatenate([[np.iinfo(np.int64).max], walk.first[1:]]),
                confidence=np.concatenate([[np.nan], walk.report.answers.confidence[1:]]),
            ),
        ),
    )
    card = gallery(lost).split('id="query-0"')[1].split("</article>")[0]
    assert "none right among 0" in card
    assert "first retrieved" not in card


def test_views_are_shown_as_they_were_described(walk):
    turned = tuple(View(path=image.path, turns=1) for image in walk.dataset.queries)
    html = gallery(replace(walk, dataset=replace(walk.dataset, query_views=turned)))
    sizes = [picture.size for picture in pictures(html)]
    assert sizes.count((32, 48)) == PLACES
    assert set(sizes) == {(32, 48), (48, 32)}
    cut = tuple(replace(view, box=(-4.0, 0.0, 24.0, 90.0)) for view in turned)  # as far as there is a photo
    sizes = [picture.size for picture in pictures(gallery(replace(walk, dataset=replace(walk.dataset, query_views=cut))))]
    assert sizes.count((32, 24)) == PLACES


def test_pictures_carry_no_metadata(own):
    folder, outcome = own
    exif = Image.Exif()
    exif.get_ifd(34853)[2] = (52.0, 30.0, 0.0)
    for path in (folder / "queries").glob("*.png"):
        with Image.open(path) as picture:
            picture.save(path, exif=exif)
    assert not any(picture.getexif() or "exif" in picture.info for picture in pictures(gallery(outcome)))


def test_a_photo_that_has_gone_since_says_so(own):
    town, outcome = own
    (town / "queries" / "00.png").unlink()
    (town / "queries" / "01.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    html = gallery(outcome)
    assert html.count("The picture is no longer there") == 1
    assert html.count("The picture cannot be read") == 1


def test_the_gallery_is_written_as_utf8(outcome, tmp_path):
    named = replace(outcome, report=replace(outcome.report, model="Straße 道"))
    write_gallery(tmp_path / "gallery.html", named)
    assert "Straße 道" in (tmp_path / "gallery.html").read_text("utf-8")
