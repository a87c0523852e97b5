"""The service tells why a match was found, proves it within a stated time, and locates the photos of a walk together."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import anyio
import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.ExifTags import GPS, IFD, Base

from conftest import TinyDescriber
from sameplace.atlas import Atlas
from sameplace.atlas.why import heat
from sameplace.errors import ModelError
from sameplace.geo import LatLon, distance
from sameplace.images import read_image
from sameplace.service import explaining, proving
from sameplace.service.line import Line
from sameplace.service.problems import Refusal
from sameplace.verification import Either, RootSift, Verifier
from serving import BEARER, STEP, TinyExplainer, client, jpeg, pixels, sentence, town
from test_service_uploads import bomb

SIFT = 14


def facade(seed, shift=0):
    """A wall with much on it, seen from a little farther along the street."""
    rng = np.random.default_rng(seed)
    whole = Image.new("RGB", (720, 360), "gray")
    draw = ImageDraw.Draw(whole)
    for left, top, width, height, *colour in rng.integers(0, (720, 360, 90, 60, 256, 256, 256), (400, 7)).tolist():
        draw.rectangle((left, top, left + width, top + height), tuple(colour))
    stored = BytesIO()
    whole.crop((shift, 0, shift + 480, 360)).save(stored, "JPEG", quality=95)
    return stored.getvalue()


def verifier():
    return Verifier(RootSift(), ransac=Either(), least=SIFT)


class Slow(RootSift):
    """Features that take their time."""

    def extract(self, image):
        time.sleep(0.15)
        return super().extract(image)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """An atlas of eight walls."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "photos").mkdir()
    for number in range(8):
        (folder / "photos" / f"@{48 + STEP * number}@11@.jpg").write_bytes(facade(number))
    Atlas.build(folder / "photos", at=folder / "town.atlas", model=TinyDescriber())
    return folder / "town.atlas"


@pytest.fixture(scope="module")
def asking(street):
    with client(street, explainer=TinyExplainer(), verifier=verifier()) as asked:
        yield asked


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return town(tmp_path_factory.mktemp("kept"))


def post(asked, address, photo, **parameters):
    response = asked.post(address, files={"photo": photo}, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def best(asked, photo):
    return post(asked, "/api/locate", photo)["matches"][0]["id"]


# Why


def test_the_parts_of_both_heat_maps_add_up_to_the_similarity_as_the_model_has_it(asking, street):
    photo, explainer = facade(3, shift=6), TinyExplainer()
    told = post(asking, "/api/why", photo, match=best(asking, photo))
    match = next(street.parent.joinpath("photos").glob(f"@{48 + 3 * STEP}@*"))
    wanted = heat(explainer, *(explainer.see(read_image(source, explainer.size)) for source in (photo, match)))
    for side, elsewhere in zip(("photo", "match"), told["elsewhere"], strict=True):
        grid = np.array(told[side])
        assert grid.shape == (8, 8)
        assert grid.sum() + elsewhere == pytest.approx(told["similarity"], abs=1e-3)
        np.testing.assert_allclose(grid, getattr(wanted, side).locations, atol=1e-6)
    assert told["most"] == pytest.approx(wanted.most, abs=1e-6)


def test_a_photo_lights_up_alike_beside_itself(asking, street):
    stored = sorted((street.parent / "photos").iterdir())[2].read_bytes()
    told = post(asking, "/api/why", stored, match=best(asking, stored))
    assert told["photo"] == told["match"]
    assert told["similarity"] == pytest.approx(1, abs=1e-9)


def test_a_model_that_cannot_explain_says_so_in_one_sentence(kept):
    with client(kept) as asked:
        why_not = asked.get("/api/atlas").json()["unexplained"]
        assert "NetVLAD" in why_not
        refused = asked.post("/api/why", files={"photo": jpeg(1)}, params={"match": best(asked, jpeg(1))})
        assert sentence(refused, 409) == why_not


def test_a_published_model_is_explained_and_what_cannot_be_is_named(tmp_path):
    from sameplace.service.turns import Turns

    turns = Turns(TinyDescriber())
    assert explaining.Explaining("efficientnet-lite0-vlad", turns).why_not is None
    for model in ("efficientnet-lite0-max", TinyDescriber()):
        assert "NetVLAD" in explaining.Explaining(model, turns).why_not
    (tmp_path / "model.int8.onnx").write_bytes(b"")
    told = explaining.Explaining(tmp_path / "model.int8.onnx", turns).why_not
    assert "is an export" in told
    assert str(tmp_path) not in told


def test_a_model_that_breaks_when_it_is_looked_into_is_told_once_for_all(kept, monkeypatch):
    from sameplace.errors import ModelError

    def broken(_):
        raise ModelError("ONNX Runtime cannot load /home/ada/secret.onnx.")

    monkeypatch.setattr(explaining, "Explainer", type("Broken", (TinyExplainer,), {"__init__": lambda *_: broken(_)}))
    with client(kept) as asked:
        asked.service.explaining._model, asked.service.explaining.why_not = "efficientnet-lite0-vlad", None
        refused = asked.post("/api/why", files={"photo": jpeg(1)}, params={"match": best(asked, jpeg(1))})
        assert "secret" not in sentence(refused, 409)
        assert asked.get("/api/atlas").json()["unexplained"] == refused.json()["detail"]


# Proof


def test_points_that_agree_are_told_with_where_they_lie_and_how_many_they_are(asking, street):
    photo = facade(5, shift=48)
    told = post(asking, "/api/proof", photo, match=best(asking, photo))
    lines = np.array(told["lines"])
    assert told["proved"]
    assert told["least"] == SIFT <= told["inliers"] <= told["pairs"]
    assert len(lines) == min(told["inliers"], 120)
    assert ((lines >= 0) & (lines <= 1)).all()
    # The photo shows 48 of 480 pixels farther right: what it shows lies so much farther left on it.
    np.testing.assert_allclose(lines[:, 2] - lines[:, 0], 0.1, atol=0.02)
    np.testing.assert_allclose(lines[:, 3], lines[:, 1], atol=0.02)
    assert told["turned_deg"] > 1


def test_photos_of_different_places_are_not_proved_to_be_one(asking):
    told = post(asking, "/api/proof", facade(5), match=best(asking, facade(2)))
    assert not told["proved"]
    assert (told["turned_deg"], told["towards_deg"]) == (None, None)


def test_an_answer_whose_matches_are_compared_is_that_of_the_atlas(asking, street, tmp_path):
    photo = facade(5, shift=30)
    wanted = Atlas.open(street, TinyDescriber()).locate(photo, top=4, verify=6, verifier=verifier()).to_json()
    told = post(asking, "/api/locate", photo, top=4, verify=6)
    for key in ("similarity", "inliers", "turned_deg", "towards_deg", "lat"):
        assert [match[key] for match in told["matches"]] == [match[key] for match in wanted["matches"]]
    for key in ("by", "least", "wanted", "compared", "stopped", "budget"):
        assert told["verification"][key] == wanted["verification"][key]
    assert told["matches"][0]["inliers"] >= SIFT
    assert post(asking, "/api/locate", photo)["verification"] is None


def test_the_service_caps_how_many_matches_are_compared_and_says_so(street):
    with client(street, verifier=verifier(), verify=2) as asked:
        assert asked.get("/api/atlas").json()["verify"] == 2
        told = post(asked, "/api/locate", facade(1), top=5, verify=50)
    assert (told["verification"]["wanted"], told["verification"]["compared"]) == (2, 2)
    assert [match["inliers"] is None for match in told["matches"]] == [False, False, True, True, True]


@pytest.mark.parametrize("how", ["turned off", "not installed"])
def test_where_nothing_is_compared_that_is_told_before_a_photo_is_sent(how, street, monkeypatch):
    if how == "not installed":
        monkeypatch.setattr(proving, "find_spec", lambda _: None)
    with client(street, verify=0 if how == "turned off" else 10) as asked:
        told = asked.get("/api/atlas").json()
        assert told["verify"] == 0
        assert ("pip install" in told["unverified"]) == (how == "not installed")
        for address in ("/api/locate?verify=3", f"/api/proof?match={best(asked, facade(1))}"):
            assert sentence(asked.post(address, files={"photo": facade(1)}), 409) == told["unverified"]


def test_nobody_waits_much_longer_than_the_stated_time_and_everybody_hears_what_was_left_out(street):
    slow = Verifier(Slow(), ransac=Either(), least=SIFT)

    def ask(number):
        began = time.monotonic()
        told = post(asked, "/api/locate", facade(number % 8, shift=number), verify=8)
        return told["verification"], time.monotonic() - began

    with client(street, verifier=slow, verify_seconds=0.5) as asked:
        asked.service.proving.line = Line(1, 100)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(8)))
    assert all(done["budget"] == 0.5 and done["wanted"] == 8 for done, _ in answers)
    assert all(done["stopped"] and done["compared"] < 8 for done, _ in answers)
    assert max(done["seconds"] for done, _ in answers) < 2
    assert max(waited for _, waited in answers) < 4  # one after the other, all of them would take ten seconds
    assert sum(done["compared"] == 0 for done, _ in answers) > 0


def test_whoever_would_stand_behind_too_many_is_asked_to_come_again(street):
    slow = Verifier(Slow(), ransac=Either(), least=SIFT)
    with client(street, explainer=TinyExplainer(), verifier=slow) as asked, ThreadPoolExecutor(8) as pool:
        match = best(asked, facade(1))
        asked.service.proving.line = Line(1, 1)
        came = list(pool.map(lambda _: asked.post("/api/proof", files={"photo": facade(1)}, params={"match": match}), range(8)))
    busy = [response for response in came if response.status_code != 200]
    assert 0 < len(busy) < 8
    assert all("few seconds" in sentence(response, 503) for response in busy)
    assert all(int(response.headers["retry-after"]) > 0 for response in busy)
    assert asked.service.room.held == 0


def test_a_match_that_has_gone_is_told_without_its_path(tmp_path):
    atlas = town(tmp_path, places=6)
    with client(atlas, explainer=TinyExplainer(), verifier=verifier()) as asked:
        match = best(asked, jpeg(2))
        post(asked, "/api/proof", jpeg(2), match=match)  # whose features are kept
        for photo in (tmp_path / "photos").iterdir():
            photo.write_bytes(b"broken")
        for address in ("/api/why", "/api/proof"):
            refused = asked.post(address, files={"photo": jpeg(2)}, params={"match": match})
            assert str(tmp_path) not in refused.text
            assert "gone or broken" in sentence(refused, 404)
        told = post(asked, "/api/locate", jpeg(2), verify=5)
        assert (told["verification"]["compared"], told["matches"][0]["inliers"]) == (0, None)


# Walks


def taken(seed, when, zone=None, satellites=None):
    """A photo that says when it was taken, by the camera's clock and, if given, by the satellites' hours and minutes."""
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = when
    if zone is not None:
        exif.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = zone
    if satellites is not None:
        exif.get_ifd(IFD.GPSInfo).update({GPS.GPSDateStamp: when[:10], GPS.GPSTimeStamp: (*map(float, satellites), 0.0)})
    stored = BytesIO()
    pixels(seed).save(stored, "JPEG", quality=95, exif=exif)
    return stored.getvalue()


def walked(asked, photos, **parameters):
    return asked.post("/api/walk", files=[("photo", ("x", photo)) for photo in photos], params=parameters)


def test_a_walk_is_located_as_the_atlas_does_it(kept, tmp_path):
    photos = [jpeg(seed) for seed in range(4, 12)]
    for number, photo in enumerate(photos):
        (tmp_path / f"{number}.jpg").write_bytes(photo)
    wanted = Atlas.open(kept, TinyDescriber()).locate_walk(sorted(tmp_path.iterdir()), top=3)
    with client(kept) as asked:
        told = walked(asked, photos).json()
    assert not told["by_time"]
    assert [step["number"] for step in told["steps"]] == list(range(8))
    for step, estimate in zip(told["steps"], wanted, strict=True):
        for key in ("lat", "lon", "radius_m", "known", "calibrated"):
            assert step["estimate"][key] == estimate.to_json()[key]
        assert len(step["estimate"]["matches"]) == 3
    places = [LatLon(step["estimate"]["lat"], step["estimate"]["lon"]) for step in told["steps"]]
    assert told["length_m"] == pytest.approx(sum(map(distance, places, places[1:])))


def test_photos_that_say_when_they_were_taken_are_put_in_that_order(kept):
    order = [3, 0, 2, 1]
    photos = [taken(5 + place, f"2024:05:01 12:0{place}:00") for place in order]
    with client(kept) as asked:
        told = walked(asked, photos).json()
        half = walked(asked, [*photos, jpeg(9)]).json()
    assert told["by_time"]
    assert [step["number"] for step in told["steps"]] == [order.index(place) for place in range(4)]
    assert not half["by_time"]
    assert [step["number"] for step in half["steps"]] == list(range(5))


def test_two_clocks_are_not_mixed_in_one_walk(kept):
    fixed = [taken(5, "2024:05:01 14:00:00"), taken(6, "2024:05:01 14:01:00", satellites=(12, 1)), taken(7, "2024:05:01 14:02:00")]
    zoned = [taken(5, "2024:05:01 14:00:00"), taken(6, "2024:05:01 14:01:00", "+02:00"), taken(7, "2024:05:01 14:02:00")]
    satellites = [taken(seed, "2024:05:01 14:00:00", satellites=(12, 9 - seed)) for seed in (5, 6, 7)]
    with client(kept) as asked:
        for photos, order in ((fixed, [0, 1, 2]), (zoned, [0, 1, 2]), (satellites, [2, 1, 0])):
            told = walked(asked, photos).json()
            assert told["by_time"]
            assert [step["number"] for step in told["steps"]] == order


def test_an_empty_photo_costs_the_rest_of_a_walk_nothing(kept):
    with client(kept) as asked:
        told = walked(asked, [jpeg(4), b"", jpeg(5)]).json()
        assert "is empty" in sentence(walked(asked, [b"", b""]), 422)
    assert [step["number"] for step in told["steps"] if step["estimate"]] == [0, 2]
    assert "is empty" in told["steps"][2]["error"]


def test_a_walk_of_which_no_photo_can_be_decoded_is_refused(kept):
    with client(kept) as asked:
        assert "None of these photos can be used: " in sentence(walked(asked, [jpeg(4)[:-300], b"no photo", jpeg(6)[:-300]]), 422)


def test_a_walk_of_too_many_bytes_is_told_what_all_its_photos_may_have(kept):
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    with client(kept, walk_photos=2, walk_bytes=3000) as asked:
        announced = asked.post("/api/walk", content=b"x", headers=head | {"Content-Length": "999999"})
        unannounced = asked.post("/api/walk", content=iter([bytes(50_000)]), headers=head)
    for refused in (announced, unannounced):
        assert "At most 3,000 bytes of photos were wanted at a time" in sentence(refused, 413)


@pytest.mark.parametrize("found", [True, False])
def test_what_compares_is_never_loaded_where_all_requests_are_served(street, monkeypatch, found):
    loaded = []

    def load():
        loaded.append(threading.current_thread())
        if not found:
            raise ModelError("There is no model at /a/folder/of/this/machine.")
        return verifier()

    monkeypatch.setattr(proving, "best_verifier", load)
    answer, done = Atlas.open(street, TinyDescriber()).locate(facade(1)), threading.Event()

    async def asked():
        tool = proving.Proving(most=5, seconds=0.05, waiting=5)
        tool.line = Line(1, 5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tool.line.run, done.wait)
            await anyio.wait_all_tasks_blocked()
            try:
                return await tool.verified(answer, facade(1), 3, 3)
            except Refusal as refusal:
                return refusal
            finally:
                done.set()

    told = anyio.run(asked)
    assert loaded
    assert threading.current_thread() not in loaded
    if found:
        assert (told.verification.compared, told.verification.stopped) == (0, True)
    else:
        assert str(told) == "Matches cannot be compared point by point on this machine."


def test_what_cannot_be_used_of_a_walk_costs_the_rest_nothing(kept):
    with client(kept, pixels=1_000_000) as asked:
        told = walked(asked, [jpeg(4), b"no photo", jpeg(5), bomb(60_000, 60_000), jpeg(6)[:-300], jpeg(7)]).json()
        nothing = walked(asked, [b"no photo", bomb(60_000, 60_000)])
    errors = {step["number"]: step["error"] for step in told["steps"] if step["error"]}
    assert errors.keys() == {1, 3, 4}
    assert "pixels" in errors[3]
    assert [step["number"] for step in told["steps"] if step["estimate"]] == [0, 2, 5]
    assert "no image" in sentence(nothing, 422)


@pytest.mark.parametrize(
    ("limits", "photos", "status", "told"),
    [
        ({"walk_photos": 3}, 4, 413, "At most 3 photos"),
        ({"walk_bytes": 3000}, 8, 413, "3,000 bytes"),
        ({"upload_bytes": 500}, 2, 413, "500 bytes"),
        ({"held_bytes": 1000}, 4, 503, "few seconds"),
        ({}, 0, 400, "missing"),
    ],
)
def test_a_walk_that_is_too_long_or_none_is_refused(limits, photos, status, told, kept):
    empty = {"content": b"--b--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    with client(kept, **limits) as asked:
        came = (
            walked(asked, [jpeg(seed, width=200, height=200) for seed in range(photos)])
            if photos
            else asked.post("/api/walk", **empty)
        )
        assert told in sentence(came, status)
        assert asked.service.room.held == 0


def test_a_walk_where_nothing_is_known_beforehand_or_at_all_is_told(kept, tmp_path):
    with client(kept) as asked:
        assert "within 500 m" in sentence(walked(asked, [jpeg(1), jpeg(2)], near="10,10"), 409)
    Atlas.open_or_create(tmp_path / "empty", TinyDescriber())
    with client(tmp_path / "empty") as asked:
        assert "no photos yet" in sentence(walked(asked, [jpeg(1)]), 409)


def test_what_waits_is_told_to_prometheus(asking):
    told = asking.get("/metrics", headers=BEARER).text
    for name in ("proofs_waiting", "explanations_waiting", "walks_waiting"):
        assert f"sameplace_{name} 0.0" in told
