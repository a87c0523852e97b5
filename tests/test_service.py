"""The service answers as the atlas does, changes it safely, and tells nobody more than they may know."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import TinyDescriber
from sameplace.atlas import Atlas
from sameplace.geo import EARTH, LOCAL, LatLon, LocalPoint, Positions, distance
from sameplace.images import ImageSet
from sameplace.service.squares import DEEPEST, WORLD_M, Squares, world
from serving import BEARER, STEP, TOKEN, client, files, jpeg, sentence, town

KEYS = (
    *("lat", "lon", "x_m", "y_m", "known", "radius_m", "calibrated", "level", "radii_m", "false_accept", "several_passes"),
    "verification",
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An atlas that no test writes."""
    return town(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def reader(kept):
    with client(kept) as asking:
        yield asking


@pytest.fixture
def atlas(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)
    return town(tmp_path, places=12)


@pytest.fixture
def writer(atlas):
    with client(atlas, token=TOKEN) as asking:
        yield asking


def located(asking, photo, **parameters):
    response = asking.post("/api/locate", files={"photo": photo}, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


# Locating


def test_the_service_answers_as_the_atlas_does(reader, kept, tmp_path):
    (tmp_path / "query.jpg").write_bytes(jpeg(7))
    estimate = Atlas.open(kept, TinyDescriber()).locate(tmp_path / "query.jpg", top=5).to_json()
    told = located(reader, jpeg(7), top=5)
    assert {key: told[key] for key in KEYS} == {key: estimate[key] for key in KEYS}
    assert [match["similarity"] for match in told["matches"]] == [match["similarity"] for match in estimate["matches"]]
    assert told["lat"] == pytest.approx(48 + 7 * STEP, abs=1e-5)


def test_a_match_says_how_far_from_the_estimate_it_was_taken(reader):
    told = located(reader, jpeg(3), top=3)
    here = LatLon(told["lat"], told["lon"])
    for match in told["matches"]:
        assert match["distance_m"] == pytest.approx(distance(here, LatLon(match["lat"], match["lon"])))


def test_photos_sent_at_the_same_time_are_described_together_and_answered_each_by_itself(kept):
    batches = []

    class Counting(TinyDescriber):
        def describe(self, images):
            batches.append(len(images))
            return super().describe(images)

    with client(kept, Counting()) as asking, ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda seed: located(asking, jpeg(seed), top=1 + seed % 5), range(24)))
    for seed, answer in enumerate(answers):
        assert answer["lat"] == pytest.approx(48 + STEP * seed, abs=1e-5)
        assert len(answer["matches"]) == 1 + seed % 5
    assert sum(batches) == 24
    assert max(batches) > 1


def test_a_photo_that_breaks_the_model_does_not_break_the_answers_of_others(kept):
    class Fragile(TinyDescriber):
        def describe(self, images):
            if any(image.std() < 1 for image in images):
                raise RuntimeError("the model stumbled")
            return super().describe(images)

    flat = BytesIO()
    Image.new("RGB", (32, 32), "#808080").save(flat, "PNG")
    photos = [flat.getvalue(), *(jpeg(seed) for seed in range(8))]
    with client(kept, Fragile()) as asking, ThreadPoolExecutor(9) as pool:
        responses = list(pool.map(lambda photo: asking.post("/api/locate", files={"photo": photo}), photos))
    assert [response.status_code for response in responses] == [500] + [200] * 8
    assert "stumbled" not in responses[0].text


def test_an_empty_atlas_says_that_it_is_empty(tmp_path):
    Atlas.open_or_create(tmp_path / "empty", TinyDescriber())
    with client(tmp_path / "empty") as asking:
        assert "no photos yet" in sentence(asking.post("/api/locate", files={"photo": jpeg(1)}), 409)
        assert asking.get("/api/atlas").json()["extent"] is None
        assert asking.get("/api/tiles/0/0/0").json()["points"] == []
        assert asking.get("/api/photos").json()["total"] == 0


def test_what_is_known_of_a_photo_beforehand_is_minded(reader):
    around = located(reader, jpeg(7), near="48.015,11", within=200, top=50)
    assert around["lat"] > 48.012
    assert {round(match["lat"], 3) for match in around["matches"]} == {48.014, 48.015, 48.016}
    for fields, told in [
        ({"near": "48.015"}, "near"),
        ({"near": "91,0"}, "91"),
        ({"within": "-1", "near": "48,11"}, "within"),
        ({"since": "2024-05-02", "until": "2024-05-01"}, "swap"),
        ({"heading": "nan"}, "heading"),
        ({"level": "1.5"}, "level"),
    ]:
        assert told in sentence(reader.post("/api/locate", files={"photo": jpeg(7)}, params=fields), 422)
    nowhere = reader.post("/api/locate", files={"photo": jpeg(7)}, params={"near": "10,10"})
    assert "within 500 m" in sentence(nowhere, 409)
    assert "/" not in nowhere.json()["detail"]


def test_photos_asked_in_different_ways_at_the_same_time_are_answered_each_in_its_own(kept):
    def ask(number):
        return located(asking, jpeg(3), near=f"{48 + STEP * number},11", within=10)

    with client(kept) as asking, ThreadPoolExecutor(24) as pool:
        for number, answer in enumerate(pool.map(ask, range(24))):
            assert answer["lat"] == pytest.approx(48 + STEP * number, abs=1e-5)


# Looking around


def test_pages_of_photos_hold_each_photo_once_under_its_own_name(reader):
    pages = [reader.get("/api/photos", params={"start": start, "limit": 10}).json() for start in (0, 10, 20, 30)]
    names = [photo["id"] for page in pages for photo in page["photos"]]
    assert len(set(names)) == len(names) == pages[0]["total"] == 24
    for name in names[:3]:
        assert reader.get(f"/api/photos/{name}").json()["id"] == name


def test_names_of_photos_stay_over_restarts_and_merges(atlas):
    with client(atlas, token=TOKEN) as asking:
        before = {photo["id"]: photo["lat"] for photo in asking.get("/api/photos").json()["photos"]}
        for seed in range(100, 103):
            asking.post("/api/photos", files={"photo": jpeg(seed)}, data={"lat": "40", "lon": "1"}, headers=BEARER)
    with client(atlas) as asking:
        after = {photo["id"]: photo["lat"] for photo in asking.get("/api/photos").json()["photos"]}
    assert before.items() <= after.items()
    assert len(after) == 15


def test_nothing_that_a_client_hears_names_a_path(reader, kept):
    addresses = ["/api/atlas", "/api/photos", "/api/tiles/0/0/0", "/api/openapi.json", "/health", "/metrics", "/"]
    heard = [reader.get(address).text for address in addresses] + [json.dumps(located(reader, jpeg(1)))]
    for text in heard:
        assert str(kept.parent) not in text
        assert "01.jpg" not in text


def test_a_picture_is_small_upright_and_nothing_but_pixels(tmp_path):
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[274] = 6  # stored lying, shown upright
    exif[315] = "Ada Secretive"
    Image.new("RGB", (2000, 1000), "teal").save(tmp_path / "photos" / "@1@2@.jpg", exif=exif, comment=b"Ada Secretive")
    Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber())
    with client(tmp_path / "atlas") as asking:
        (photo,) = asking.get("/api/photos").json()["photos"]
        response = asking.get(f"/api/photos/{photo['id']}/picture", params={"size": 640})
    assert b"Secretive" not in response.content
    shown = Image.open(BytesIO(response.content))
    assert shown.size == (320, 640)
    assert not shown.getexif()


def test_a_blurred_picture_keeps_its_size_and_loses_its_detail(tmp_path):
    (tmp_path / "photos").mkdir()
    stripes = np.zeros((400, 600, 3), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 255
    Image.fromarray(stripes).save(tmp_path / "photos" / "@1@2@.png")
    Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber())
    spread = {}
    for blur in (False, True):
        with client(tmp_path / "atlas", blur=blur) as asking:
            (photo,) = asking.get("/api/photos").json()["photos"]
            content = asking.get(f"/api/photos/{photo['id']}/picture", params={"size": 640}).content
        shown = Image.open(BytesIO(content))
        assert shown.size == (600, 400)
        spread[blur] = np.asarray(shown.convert("L"), np.float64).std(axis=1).mean()
    assert spread[False] > 100
    assert spread[True] < 5


def test_a_picture_whose_file_has_gone_is_not_found(atlas, writer):
    photo = writer.get("/api/photos").json()["photos"][0]
    for file in (atlas.parent / "photos").iterdir():
        file.unlink()
    assert "gone" in sentence(writer.get(f"/api/photos/{photo['id']}/picture"), 404)


def test_what_others_add_to_the_atlas_is_seen(atlas, writer, monkeypatch):
    monkeypatch.setattr("sameplace.service.edition.SECONDS_BETWEEN_LOOKS", 0.0)
    (atlas.parent / "photos" / "new.jpg").write_bytes(jpeg(50, 49))
    Atlas.build(atlas.parent / "photos", at=atlas, model=TinyDescriber())
    assert writer.get("/health").json()["images"] == 13
    assert located(writer, jpeg(50))["lat"] == pytest.approx(49, abs=1e-5)


def test_an_atlas_that_breaks_while_it_is_served_is_served_as_it_was(atlas, writer, monkeypatch):
    monkeypatch.setattr("sameplace.service.edition.SECONDS_BETWEEN_LOOKS", 0.0)
    (atlas / "manifest.json").write_text("{}")
    assert located(writer, jpeg(3))["lat"] == pytest.approx(48 + 3 * STEP, abs=1e-5)


def test_the_weak_parts_of_the_map_are_those_of_the_atlas(reader, kept):
    parts = Atlas.open(kept, TinyDescriber()).coverage()
    told = reader.get("/api/coverage").json()
    assert [(part["lat"], part["photos"], part["weakness"]) for part in told["parts"]] == [
        (part.position.lat, part.photos, part.weakness) for part in parts
    ]
    assert told["weak"] == sum(part.weakness is not None for part in parts) > 0
    assert all(reader.get(f"/api/photos/{part['example']}").status_code == 200 for part in told["parts"])
    assert len(reader.get("/api/coverage", params={"limit": 3}).json()["parts"]) == 3


def test_the_coverage_is_worked_out_once_for_all_who_ask(kept, monkeypatch):
    worked = []
    coverage = Atlas.coverage

    def counted(atlas):
        worked.append(atlas)
        return coverage(atlas)

    monkeypatch.setattr(Atlas, "coverage", counted)
    with client(kept) as asking, ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: asking.get("/api/coverage").json(), range(8)))
    assert len(worked) == 1
    assert all(one == told[0] for one in told)


# Writing


def test_an_added_photo_is_found_and_a_removed_one_is_not(writer, atlas):
    added = writer.post("/api/photos", files={"photo": jpeg(70)}, data={"lat": "47.5", "lon": "9"}, headers=BEARER)
    assert added.status_code == 201
    name = added.json()["id"]
    best = located(writer, jpeg(70))["matches"][0]
    assert (best["id"], best["lat"], best["lon"]) == (name, 47.5, 9.0)
    assert writer.get(f"/api/photos/{name}/picture").status_code == 200
    assert writer.delete(f"/api/photos/{name}", headers=BEARER).status_code == 204
    assert all(match["id"] != name for match in located(writer, jpeg(70), top=50)["matches"])
    assert "no photo of this name" in sentence(writer.get(f"/api/photos/{name}"), 404)
    assert sentence(writer.delete(f"/api/photos/{name}", headers=BEARER), 404)
    assert [name for name in files(f"{atlas}-uploads") if name != ".lock"] == []


def test_a_photo_without_fields_is_added_where_its_exif_data_say(writer, atlas):
    added = writer.post("/api/photos", files={"photo": jpeg(71, 46.25, 8.5)}, headers=BEARER).json()
    assert (added["lat"], added["lon"]) == (pytest.approx(46.25), pytest.approx(8.5))


def test_what_is_stored_of_an_added_photo_is_pixels_position_heading_and_time(writer, atlas):
    fields = {"lat": "47.5", "lon": "9", "heading_deg": "370", "time": "2024-05-01T12:00:00+02:00"}
    secret = {"photo": ("../../../etc/Ada Secretive.jpg", jpeg(70), "image/jpeg")}
    added = writer.post("/api/photos", files=secret, data=fields, headers=BEARER).json()
    assert (added["heading_deg"], added["time"]) == (10.0, "2024-05-01T12:00:00+02:00")
    stored = files(f"{atlas}-uploads")
    assert not any(b"Secretive" in content or "Secretive" in name for name, content in stored.items())
    assert sorted(name.rpartition("/")[2] for name in stored) == [".lock", "photo.jpg", "positions.csv"]


def test_uploads_can_be_indexed_again_as_any_folder_of_photos(writer, atlas, tmp_path):
    for seed in range(3):
        writer.post("/api/photos", files={"photo": jpeg(80 + seed)}, data={"lat": str(40 + seed), "lon": "1"}, headers=BEARER)
    again = Atlas.build(f"{atlas}-uploads", at=tmp_path / "again", model=TinyDescriber())
    assert sorted(again.positions().coordinates[:, 0].tolist()) == [40, 41, 42]
    assert not ImageSet.open(f"{atlas}-uploads").problems


def test_removing_a_photo_that_was_indexed_leaves_its_file_alone(writer, atlas):
    before = files(atlas.parent / "photos")
    name = located(writer, jpeg(5))["matches"][0]["id"]
    assert writer.delete(f"/api/photos/{name}", headers=BEARER).status_code == 204
    assert files(atlas.parent / "photos") == before
    assert writer.get("/health").json()["images"] == 11


def test_photos_added_at_the_same_time_are_all_there(writer, atlas):
    def add(seed):
        return writer.post("/api/photos", files={"photo": jpeg(seed)}, data={"lat": "40", "lon": "1"}, headers=BEARER)

    with ThreadPoolExecutor(20) as pool:
        added = [response.json()["id"] for response in pool.map(add, range(200, 220))]
    assert len(set(added)) == 20
    assert len(Atlas.open(atlas)) == 32
    assert writer.get("/api/atlas").json()["generation"] < 2 + 3 * 20  # what waits is committed together


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "no position"),
        ({"lat": "48"}, "belong together"),
        ({"lat": "91", "lon": "0"}, "91"),
        ({"lat": "nan", "lon": "1"}, "number"),
        ({"lat": "here", "lon": "1"}, "number"),
        ({"x_m": "1", "y_m": "2"}, "latitude and longitude"),
        ({"lat": "48", "lon": "11", "heading_deg": "north"}, "heading_deg"),
        ({"lat": "48", "lon": "11", "time": "yesterday"}, "time"),
    ],
)
def test_an_addition_that_makes_no_sense_is_refused_and_leaves_nothing(fields, told, writer, atlas):
    before = files(atlas.parent)
    assert told in sentence(writer.post("/api/photos", files={"photo": jpeg(70)}, data=fields, headers=BEARER), 422)
    after = files(atlas.parent)
    for kept in (before, after):
        for name in [name for name in kept if name.startswith("town.atlas/")]:
            del kept[name]
    assert before == after
    assert len(Atlas.open(atlas)) == 12


def test_while_another_process_writes_additions_are_asked_to_come_again(writer, atlas):
    with FileLock(atlas / "writer.lock"):
        refused = writer.post("/api/photos", files={"photo": jpeg(70)}, data={"lat": "47", "lon": "9"}, headers=BEARER)
    assert "being written by another process" in sentence(refused, 503)
    assert str(atlas.parent) not in refused.text
    assert int(refused.headers["retry-after"]) > 0
    assert [name for name in files(f"{atlas}-uploads") if name != ".lock"] == []


def test_a_second_service_cannot_take_the_same_uploads(writer, atlas):
    from sameplace.errors import AtlasError

    with pytest.raises(AtlasError, match="Another service"), client(atlas, token=TOKEN):
        pass


def test_what_a_killed_service_left_half_written_is_swept(atlas):
    part = atlas.parent / "town.atlas-uploads" / "ab" / ".part-abcdef"
    part.mkdir(parents=True)
    (part / "photo.jpg").write_bytes(b"half")
    with client(atlas, token=TOKEN):
        assert not part.exists()


# Who may do what


def test_without_a_token_nobody_writes(reader):
    assert "token" in sentence(reader.post("/api/photos", files={"photo": jpeg(1)}, headers=BEARER), 403)
    assert sentence(reader.delete(f"/api/photos/{'0' * 32}", headers=BEARER), 403)


@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer another-token-here"}, {"Authorization": f"Basic {TOKEN}"}])
def test_who_shows_another_token_neither_writes_nor_reads_what_is_private(shown, atlas):
    before = files(atlas)
    with client(atlas, token=TOKEN, private=True) as asking:
        name = asking.get("/api/photos", headers=BEARER).json()["photos"][0]["id"]
        for method, address in [
            ("GET", "/api/atlas"),
            ("GET", "/api/photos"),
            ("GET", f"/api/photos/{name}"),
            ("GET", f"/api/photos/{name}/picture"),
            ("GET", "/api/tiles/0/0/0"),
            ("GET", "/metrics"),
            ("POST", "/api/locate"),
            ("POST", f"/api/why?match={name}"),
            ("POST", f"/api/proof?match={name}"),
            ("POST", "/api/walk"),
            ("POST", "/api/photos"),
            ("DELETE", f"/api/photos/{name}"),
        ]:
            refused = asking.request(method, address, headers=shown)
            assert "token" in sentence(refused, 401)
            assert refused.headers["www-authenticate"] == "Bearer"
        assert asking.get("/health").status_code == 200
        assert asking.get("/api/photos", headers=BEARER).status_code == 200
    assert files(atlas) == before


@pytest.mark.parametrize("settings", [{"token": "short"}, {"private": True}, {"tiles": "https://tiles.example/{z}.png"}])
def test_settings_that_make_no_sense_are_refused(settings, kept):
    with pytest.raises(ValueError, match=r"wanted|needs"), client(kept, **settings):
        pass


def test_a_name_that_leads_here_by_somebody_elses_doing_is_refused(kept):
    with client(kept, names=frozenset({"localhost", "town.example"})) as asking:
        for name in ("localhost", "localhost:8000", "town.example", "[::1]:8000"):
            assert asking.get("/health", headers={"Host": name}).status_code == 200
        for name in ("evil.example", "localhost.evil.example", "[::1", ":80"):
            assert "--name" in sentence(asking.get("/health", headers={"Host": name}), 421)


def test_another_site_cannot_send_forms_here(reader):
    refused = reader.post("/api/locate", files={"photo": jpeg(1)}, headers={"Sec-Fetch-Site": "cross-site"})
    assert "Another site" in sentence(refused, 403)


def test_every_response_tells_browsers_what_is_allowed(reader):
    for address in ("/", "/page/app.js", "/api/atlas", "/nowhere", "/api/photos?limit=0"):
        headers = reader.get(address).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


def test_map_tiles_are_allowed_from_the_one_place_that_was_configured(kept):
    with client(kept, tiles="https://tiles.example/{z}/{x}/{y}.png") as asking:
        assert "img-src 'self' blob: data: https://tiles.example;" in asking.get("/").headers["content-security-policy"]


# Operation


def test_metrics_count_by_route_and_not_by_address(reader):
    reader.get("/api/tiles/3/1/2")
    reader.get("/nowhere/at/all")
    located(reader, jpeg(1))
    told = reader.get("/metrics").text
    assert 'sameplace_requests_total{method="GET",route="/api/tiles/{z}/{x}/{y}",status="200"}' in told
    assert 'route="none",status="404"' in told
    assert "nowhere" not in told
    assert "sameplace_photos 24.0" in told
    assert "sameplace_upload_bytes_held 0.0" in told


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/api/locate", 405),
        ("GET", "/api/photos?limit=0", 422),
        ("GET", "/api/photos?start=many", 422),
        ("GET", "/api/photos/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/api/photos/no-name", 422),
        ("GET", f"/api/photos/{'0' * 32}", 404),
        ("GET", f"/api/photos/{'0' * 32}/picture?size=5000", 422),
        ("GET", "/api/tiles/2/4/0", 404),
        ("GET", "/api/tiles/99/0/0", 422),
        ("GET", "/page/..%2fapp.py", 404),
        ("POST", "/api/locate?verify=51", 422),
        ("POST", "/api/locate?verify=-1", 422),
        ("POST", "/api/locate?verify=all", 422),
        ("POST", f"/api/locate?verify={10**400}", 422),
        ("POST", "/api/why", 422),
        ("POST", "/api/proof", 422),
        ("POST", "/api/proof?match=../../etc/passwd", 422),
        ("POST", f"/api/proof?match={'0' * 32}", 404),
        ("POST", "/api/walk?speed=0", 422),
        ("POST", "/api/walk?speed=inf", 422),
        ("POST", "/api/walk?top=1000", 422),
        ("GET", "/api/walk", 405),
    ],
)
def test_a_misuse_is_one_sentence_with_the_right_status(method, address, status, reader):
    sentence(reader.request(method, address), status)


# The squares of the map

places = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(places=places, zoom=st.integers(0, 5))
def test_the_tiles_of_a_zoom_hold_every_photo_once(places, zoom):
    points = world(Positions(EARTH, np.array(places)))
    squares = Squares(points=points)
    wanted = np.unique(np.floor(points * 2**zoom).astype(int), axis=0, return_counts=True)
    for (across, down), count in zip(*wanted, strict=True):
        shown, counts = squares.tile(zoom, int(across), int(down))
        assert counts.sum() == count
        assert len(shown) <= 256
        assert (np.floor(points[shown] * 2**zoom) == (across, down)).all()
        cells = np.floor(points[shown] * 2 ** (zoom + 4))
        assert len(np.unique(cells, axis=0)) == len(shown)


@settings(deadline=None, max_examples=100)
@given(lat=st.floats(-85, 85), lon=st.floats(-180, 179.999))
def test_the_squares_are_those_of_web_maps(lat, lon):
    import pyproj

    across, down = world(Positions.of([LatLon(lat, lon)]))[0]
    east, north = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)
    assert across * WORLD_M - WORLD_M / 2 == pytest.approx(east, abs=0.01)
    assert WORLD_M / 2 - down * WORLD_M == pytest.approx(north, abs=0.01)


@settings(deadline=None, max_examples=30)
@given(x=st.floats(-1e6, 1e6), y=st.floats(-1e6, 1e6))
def test_in_a_local_frame_the_squares_are_metres(x, y):
    middle, there = world(Positions.of([LocalPoint(0.0, 0.0), LocalPoint(x, y)]))
    assert (there - middle) * WORLD_M == pytest.approx([x, -y], abs=1e-3)
    assert Positions.of([LocalPoint(x, y)]).frame == LOCAL


def test_deep_down_photos_of_one_standpoint_are_one_point():
    squares = Squares(points=np.full((5, 2), 0.5) + np.arange(5)[:, None] * 1e-12)
    shown, counts = squares.tile(DEEPEST, 2 ** (DEEPEST - 1), 2 ** (DEEPEST - 1))
    assert counts.tolist() == [5]
    assert shown.tolist() == [0]


def test_a_tile_told_by_the_service_names_its_photos(reader):
    told = reader.get("/api/tiles/0/0/0").json()
    assert told["photos"] == 24
    near = max(told["points"], key=lambda point: point["photos"])
    assert reader.get(f"/api/photos/{near['id']}").json()["lat"] == near["lat"]
