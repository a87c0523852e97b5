"""Fetching from Mapillary, against a server in this file that speaks its API as its documentation and its users describe it."""

import csv
import errno
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import cos, radians, sin
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace.atlas import Atlas
from sameplace.cli.app import run
from sameplace.datasets import mapillary
from sameplace.datasets.mapillary import Area, Client, Patience, Query, album, client, fetching, search
from sameplace.datasets.mapillary.area import Box
from sameplace.datasets.mapillary.image import understood
from sameplace.datasets.mapillary.patience import retry_after
from sameplace.errors import DatasetError, PositionError
from sameplace.geo import LatLon, distance
from sameplace.images import ImageSet
from sameplace.training.streets import Streets

TOKEN = "MLY|1234567890|0123456789abcdef"
TOWN = Area.between(52.500, 13.400, 52.510, 13.412)
QUICK = Patience(first=0.01, busy=0.02, timeout=5.0)
SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "fetch.json"
NOON = datetime(2022, 8, 16, 12, 0, tzinfo=UTC)


def street_image(number, lat=52.505, lon=13.406, **more):
    return {
        "id": str(1000 + number),
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
        "computed_geometry": {"type": "Point", "coordinates": [lon + 0.00001, lat]},
        "compass_angle": 80.0,
        "computed_compass_angle": 90.5,
        "captured_at": int(NOON.timestamp() * 1000) + number,
        "camera_type": "perspective",
        "is_pano": False,
        "make": "Canon",
        "model": "Canon EOS 5D",
        "sequence": "sequence-1",
        "creator": {"username": "alice", "id": "7"},
        **more,
    }


def picture(name):
    image = Image.fromarray(np.random.default_rng(int(name)).integers(0, 255, (36, 48, 3), np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Mapillary(ThreadingHTTPServer):
    """The parts of Mapillary that are asked: its search, its entities and its pictures; what goes wrong is set by the tests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.images = {}
        self.most = 2000
        self.crowd = None  # a box with more than so many images fails
        self.page = None  # images on a page, where there are pages
        self.removed, self.expired, self.broken, self.cut = set(), set(), set(), set()
        self.dead_boxes = lambda box: False
        self.faults = []  # (part of a path, status, headers, body), each used once
        self.echo = False
        self.pause = 0.0
        self.asked = []  # (path, parameters, headers, time)
        self.now = self.busiest = 0
        self.lock = threading.Lock()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, *images):
        self.images |= {image["id"]: image for image in images}

    def paths(self, start):
        return [path for path, *_ in self.asked if path.startswith(start)]

    def handle_error(self, request, client_address):
        """A client that was killed leaves without a word."""


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        url = urlsplit(self.path)
        parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
        with server.lock:
            server.asked.append((url.path, parameters, dict(self.headers), time.monotonic()))
            server.now += 1
            server.busiest = max(server.busiest, server.now)
            fault = next((one for one in server.faults if one[0] in self.path), None)
            if fault:
                server.faults.remove(fault)
        time.sleep(server.pause)
        try:
            if fault:
                self.send(*fault[1:])
            elif url.path.startswith("/pictures/"):
                self.picture(url.path.rsplit("/", 1)[1], parameters)
            elif self.headers["Authorization"] != f"OAuth {TOKEN}":
                said = f"Malformed access token {self.headers['Authorization']}" if server.echo else "Invalid OAuth access token."
                self.error(401, 190, said)
            elif url.path == "/images":
                self.search(parameters)
            else:
                self.entities(url.path, parameters)
        finally:
            with server.lock:
                server.now -= 1

    def search(self, parameters):
        server = self.server
        west, south, east, north = (float(edge) for edge in parameters["bbox"].split(","))
        assert west < east <= 180
        assert south < north <= 90
        assert (east - west) * (north - south) < 0.01**2, "the bbox must be smaller than 0.01 degrees square"
        if server.dead_boxes(Box(west, south, east, north)):
            return self.error(500, 2, "Service temporarily unavailable")
        inside = []
        for image in server.images.values():
            lon, lat = image["geometry"]["coordinates"]
            if west <= lon <= east and south <= lat <= north and self.filtered(image, parameters):
                inside.append({field: image[field] for field in parameters["fields"].split(",") if field in image})
        if server.crowd is not None and len(inside) > server.crowd:
            return self.error(500, 1, "Please reduce the amount of data you're asking for, then retry your request")
        answer = {"data": inside[: min(int(parameters["limit"]), server.most)]}
        if server.page:
            first = int(parameters.get("after", 0))
            answer = {"data": inside[first : first + server.page], "paging": {}}
            if first + server.page < len(inside):
                more = self.path.split("&after=")[0]
                answer["paging"]["next"] = f"{server.base_url}{more}&access_token={TOKEN}&after={first + server.page}"
        return self.json(answer)

    def filtered(self, image, parameters):
        at = datetime.fromtimestamp(image["captured_at"] / 1000, UTC)
        start, end = (parameters.get(f"{edge}_captured_at") for edge in ("start", "end"))
        if (start and at < datetime.fromisoformat(start)) or (end and at >= datetime.fromisoformat(end)):
            return False
        return "is_pano" not in parameters or str(image["is_pano"]).lower() == parameters["is_pano"]

    def entities(self, path, parameters):
        server = self.server
        ids = parameters["ids"].split(",") if "ids" in parameters else [path[1:]]
        assert len(ids) <= 50
        if any(name in server.removed for name in ids):
            return self.error(400, 100, "Unsupported get request. Object does not exist")
        (field,) = set(parameters["fields"].split(",")) - {"id"}
        # Each answer has a new address: those in `expired` were handed out before.
        return self.json(
            {name: {"id": name, field: f"{server.base_url}/pictures/{field}/{name}?n={self.fresh(name)}"} for name in ids}
        )

    def fresh(self, name):
        with self.server.lock:
            if name in self.server.expired:
                self.server.expired.remove(name)
                return "expired"
        return "valid"

    def picture(self, name, parameters):
        if parameters["n"] == "expired":
            return self.send(403, {}, b"URL signature expired")
        body = picture(name)
        if name in self.server.broken:
            body = body[: len(body) // 2]
        announced = len(body)
        if name in self.server.cut:
            self.server.cut.remove(name)
            body = body[: len(body) // 2]
        return self.send(200, {"Content-Type": "image/jpeg", "Content-Length": str(announced)}, body)

    def error(self, status, code, message):
        body = json.dumps({"error": {"message": message, "type": "OAuthException", "code": code}})
        self.send(status, {"Content-Type": "application/json"}, body.encode())

    def json(self, answer):
        self.send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def send(self, status, headers, body):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(autouse=True)
def own_computer(monkeypatch):
    """No proxy stands before the server in this file, and nobody waits for the drive, on which no kill depends."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def server():
    with Mapillary() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def street(server):
    """Twelve images along a street."""
    server.add(*(street_image(number, lon=13.401 + 0.0009 * number) for number in range(12)))
    return server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "berlin"


def fetched(server, folder, query=None, token=TOKEN, patience=QUICK, **more):
    return mapillary.fetch(Client(token, base_url=server.base_url, patience=patience), query or Query(area=TOWN), folder, **more)


def names(folder):
    return {path.stem for path in (folder / "images").iterdir()}


def rows(folder):
    with (folder / "positions.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


# What arrives


def test_an_area_becomes_a_folder_that_imageset_reads(street, folder):
    done = fetched(street, folder)
    assert (done.found, done.here, done.fetched, done.images, done.contributors) == (12, 0, 12, 12, 1)
    images = ImageSet.open(folder)
    records = images.records()
    assert len(records) == 12
    assert not images.problems
    first = records[0]
    assert first.position == LatLon(52.505, 13.40101)
    assert (first.heading_deg, first.camera, first.panorama, first.place) == (90.5, "Canon EOS 5D", None, None)
    assert first.time == NOON
    assert {"creator": "alice", "sequence": "sequence-1", "licence": "CC BY-SA 4.0"}.items() <= first.extra.items()
    assert first.extra["link"] == "https://www.mapillary.com/app/?pKey=1000"
    assert first.path.read_bytes() == picture("1000")


def test_what_was_fetched_is_indexed_at_once(street, folder, tmp_path, tiny_describer):
    fetched(street, folder)
    assert len(Atlas.build(folder, at=tmp_path / "berlin.atlas", model=tiny_describer)) == 12


def test_what_was_fetched_teaches_at_once(server, folder):
    server.add(*(street_image(number, lon=13.401 + 0.0001 * number) for number in range(12)))
    fetched(server, folder)
    streets = Streets.of(ImageSet.open(folder).records())
    assert len(streets.queries) == 12
    assert [len(rows) for rows in streets.positives[:3]] == [1, 2, 2]


def test_the_computed_position_and_heading_come_first_and_the_devices_own_stand_in(server, folder):
    lonely = street_image(1, lat=52.501)
    del lonely["computed_geometry"], lonely["computed_compass_angle"]
    server.add(street_image(0), lonely)
    fetched(server, folder)
    computed, device = rows(folder)["images/1000.jpg"], rows(folder)["images/1001.jpg"]
    assert (computed["lon"], computed["heading_deg"], computed["position_from"]) == ("13.4060100", "90.5", "computed")
    assert (device["lon"], device["heading_deg"], device["position_from"]) == ("13.4060000", "80.0", "device")
    assert float(computed["moved_m"]) == pytest.approx(0.7, abs=0.05)
    assert device["moved_m"] == ""


@pytest.mark.parametrize(("wanted", "expected"), [("no", {"1000"}), ("only", {"1001"}), ("yes", {"1000", "1001"})])
def test_panoramas_are_fetched_as_asked_even_where_the_server_does_not_filter(server, folder, monkeypatch, wanted, expected):
    monkeypatch.setattr(Answer, "filtered", lambda *_: True)
    server.add(street_image(0), street_image(1, is_pano=True, camera_type="spherical"))
    fetched(server, folder, Query(area=TOWN, panoramas=wanted))
    assert names(folder) == expected
    panoramas = {row["panorama"]: row["camera_type"] for row in rows(folder).values() if row["panorama"]}
    assert panoramas == ({"1001": "equirectangular"} if "1001" in expected else {})


def test_days_are_whole_and_both_ends_belong_to_them(server, folder):
    days = [NOON.replace(hour=hour) + timedelta(days=day) for day, hour in ((-1, 23), (0, 0), (1, 23), (2, 0))]
    server.add(*(street_image(number, captured_at=int(day.timestamp() * 1000)) for number, day in enumerate(days)))
    fetched(server, folder, Query(area=TOWN, start=NOON.date(), until=NOON.date() + timedelta(days=1)))
    assert names(folder) == {"1001", "1002"}
    sent = server.asked[0][1]
    assert (sent["start_captured_at"], sent["end_captured_at"]) == ("2022-08-16T00:00:00Z", "2022-08-18T00:00:00Z")


@pytest.mark.parametrize(
    ("size", "field"), [("1024", "thumb_1024_url"), ("2048", "thumb_2048_url"), ("original", "thumb_original_url")]
)
def test_the_size_decides_which_picture_is_loaded(server, folder, size, field):
    server.add(street_image(0))
    fetched(server, folder, Query(area=TOWN, size=size))
    assert server.paths("/pictures/") == [f"/pictures/{field}/1000"]


def test_the_attribution_names_the_licence_and_every_contributor_with_a_link(server, folder):
    server.add(street_image(0), street_image(1, creator={"username": "b_o|b"}), street_image(2), street_image(3, creator=None))
    fetched(server, folder)
    page = (folder / "ATTRIBUTION.md").read_text("utf-8")
    assert "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)" in page
    assert "| [alice](https://www.mapillary.com/app/user/alice) | 2 |" in page
    assert r"| [b\_o\|b](https://www.mapillary.com/app/user/b_o%7Cb) | 1 |" in page
    assert "| contributors whom Mapillary does not name | 1 |" in page


def test_a_circle_takes_what_lies_in_it(street, folder):
    middle = LatLon(52.505, 13.4055)
    fetched(street, folder, Query(area=Area.around(middle, 100.0)))
    near = {record.path.stem for record in ImageSet.open(folder).records()}
    everywhere = [understood(image) for image in street.images.values()]
    assert near == {image.id for image in everywhere if distance(image.position, middle) <= 100}
    assert 1 < len(near) < 12


def test_a_limit_takes_those_nearest_to_the_middle_and_asks_for_no_more_boxes_than_it_must(server, folder):
    area = Area.around(LatLon(52.505, 13.406), 3000.0)
    rng = random.Random(1)
    server.add(
        *(street_image(number, 52.505 + rng.uniform(-0.02, 0.02), 13.406 + rng.uniform(-0.03, 0.03)) for number in range(300))
    )
    done = fetched(server, folder, Query(area=area, limit=20))
    images = sorted(
        (understood(image) for image in server.images.values()), key=lambda image: distance(image.position, area.centre)
    )
    assert done.found == 20
    assert names(folder) == {image.id for image in images[:20]}
    assert len(server.paths("/images")) < len(area.cut(search.SIDE)) / 2


# Dense areas


def test_an_image_on_the_edge_of_two_boxes_is_fetched_once(server, folder):
    boxes = TOWN.cut(search.SIDE)
    server.add(street_image(0, boxes[0].north, boxes[0].east))
    assert fetched(server, folder).fetched == 1
    assert server.paths("/pictures/") == ["/pictures/thumb_2048_url/1000"]


@pytest.mark.parametrize("how", ["full", "crowded", "never answered"])
def test_a_box_that_holds_more_than_it_tells_is_divided_until_all_is_found(server, folder, monkeypatch, how):
    rng = random.Random(2)
    server.add(*(street_image(number, 52.505 + rng.uniform(0, 0.004), 13.406 + rng.uniform(0, 0.004)) for number in range(60)))
    if how == "full":
        monkeypatch.setattr(search, "FULL", 10)
        server.most = 10
    elif how == "crowded":
        server.crowd = 10
    else:
        server.dead_boxes = lambda box: box.side > 0.003 and box.south > 52.5049 and box.west > 13.4039
    done = fetched(server, folder)
    assert (done.found, done.failed) == (60, ())
    assert names(folder) == set(server.images)


def test_a_spot_too_small_to_be_divided_is_told_and_the_rest_is_fetched(server, folder):
    server.crowd = 5
    server.add(*(street_image(number, 52.50512, 13.40613) for number in range(6)), street_image(10, lat=52.501))
    done = fetched(server, folder)
    assert names(folder) == {"1010"}
    assert ["11 m" in problem.reason for problem in done.failed] == [True]


def test_further_pages_are_read_without_repeating_the_token(street, folder):
    street.page = 2
    assert fetched(street, folder).fetched == 12
    pages = [parameters for path, parameters, *_ in street.asked if "after" in parameters]
    assert pages
    assert all("access_token" not in parameters for parameters in pages)


def test_a_further_page_on_another_server_is_not_asked_for(street, folder):
    elsewhere = {"data": [street_image(0)], "paging": {"next": "http://127.0.0.1:9/images?after=1"}}
    street.faults = [("/images", 200, {}, json.dumps(elsewhere).encode())]
    assert fetched(street, folder).fetched == 12


# Manners


def test_the_token_is_in_the_header_of_the_api_and_nowhere_else(street, folder):
    fetched(street, folder)
    for path, parameters, headers, _ in street.asked:
        assert TOKEN not in str(parameters)
        assert ("Authorization" in headers) == (not path.startswith("/pictures/"))
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept
    assert TOKEN not in repr(vars(Query(area=TOWN)))


def test_every_request_says_who_asks(street, folder):
    fetched(street, folder)
    assert all(headers["User-Agent"].startswith("sameplace/") for *_, headers, _ in street.asked)


def test_no_more_is_asked_at_once_than_was_allowed(server, folder):
    server.pause = 0.01
    server.add(*(street_image(number, lon=13.4 + 0.0003 * number) for number in range(40)))
    fetched(server, folder, connections=3)
    assert 1 < server.busiest <= 3
    with pytest.raises(DatasetError, match="polite"):
        fetched(server, folder, connections=99)


def test_a_busy_server_is_left_alone_by_all_for_as_long_as_it_says(street, folder):
    street.faults = [("/images", 429, {"Retry-After": "1"}, b"")]
    fetched(street, folder)
    times = [at for *_, at in street.asked]
    assert sum(at < times[0] + 0.8 for at in times) <= fetching.CONNECTIONS


def test_a_server_that_asks_for_hours_ends_the_run_with_one_sentence(street, folder):
    street.faults = [("/images", 429, {"Retry-After": "7200"}, b"")]
    with pytest.raises(DatasetError, match=r"left alone for 120 minutes .*; run the same command again after that\.$"):
        fetched(street, folder)


def test_the_limit_of_an_application_is_waited_for(street, folder):
    limit = {"error": {"message": "(#4) Application request limit reached", "code": 4, "type": "OAuthException"}}
    street.faults = [("/images", 403, {}, json.dumps(limit).encode())] * 2
    assert fetched(street, folder).fetched == 12


def test_a_computer_that_is_blocked_asks_once_and_no_more(street, folder):
    street.faults = [("/images", 302, {"Location": f"{street.base_url}/login"}, b"")] * 50
    with pytest.raises(DatasetError, match="login page"):
        fetched(street, folder, connections=1)
    assert len(street.asked) == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("soon", None), ("", None), (None, None), ("Tue, 16 Aug 2022 12:00:00 GMT", 0)]
)
def test_retry_after_is_a_number_of_seconds_or_a_date(text, seconds):
    assert retry_after(text) == seconds
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert retry_after(in_an_hour) == pytest.approx(3600, abs=60)


def test_the_plan_is_told_before_more_than_a_few_pictures_are_fetched(server, folder):
    server.add(*(street_image(number, lon=13.4 + 0.0002 * number) for number in range(50)))
    plans = []
    fetched(server, folder, announce=lambda plan: plans.append((plan, len(server.paths("/pictures/")))))
    ((plan, before),) = plans
    assert before == fetching.SAMPLE
    assert (plan.found, plan.here, plan.missing) == (50, 0, 50)
    each = sum(len(picture(name)) for name in server.images) / 50
    assert plan.bytes == pytest.approx(50 * each, rel=0.2)
    assert re.fullmatch(
        r"50 images found, 0 of them here, 50 to fetch, about 0\.\d MB \(0\.\d MB each\); [\d.]+ [GM]B are free\.", str(plan)
    )


def test_a_plan_that_does_not_fit_on_the_disk_is_not_begun(server, folder, monkeypatch):
    server.add(*(street_image(number, lon=13.4 + 0.0002 * number) for number in range(50)))
    monkeypatch.setattr(
        fetching.shutil, "disk_usage", lambda _: os.statvfs_result([0] * 10) and type("Usage", (), {"free": 5000})()
    )
    with pytest.raises(DatasetError, match="do not fit on the disk"):
        fetched(server, folder)
    assert len(names(folder)) == fetching.SAMPLE == len(rows(folder))


# What goes wrong


def test_servers_that_stumble_are_asked_again(street, folder):
    street.faults = [
        ("/images", 500, {}, b""),
        ("/images", 502, {}, b"<html>"),
        ("ids=", 503, {}, b""),
        ("/pictures/", 500, {}, b""),
    ]
    assert fetched(street, folder).fetched == 12


def test_a_body_that_is_cut_off_is_fetched_again(street, folder):
    street.cut = {"1003", "1007"}
    done = fetched(street, folder)
    assert done.fetched == 12
    assert (folder / "images" / "1003.jpg").read_bytes() == picture("1003")
    half = json.dumps({"data": []}).encode()[:5]
    street.faults = [("/images", 200, {"Content-Length": "4000"}, half)]
    assert fetched(street, folder).found == 12


def test_a_picture_that_stays_broken_is_told_and_left_out(street, folder):
    street.broken = {"1003"}
    done = fetched(street, folder)
    assert (done.fetched, [problem.path for problem in done.failed]) == (11, ["https://www.mapillary.com/app/?pKey=1003"])
    assert "1003" not in names(folder)
    assert "images/1003.jpg" not in rows(folder)
    assert len(street.paths("/pictures/thumb_2048_url/1003")) == fetching.READINGS


def test_an_address_that_has_expired_is_asked_for_anew(street, folder):
    street.expired = {"1002", "1009"}
    assert fetched(street, folder).fetched == 12
    assert {"1002", "1009"} <= {parameters["ids"] for path, parameters, *_ in street.asked if path == "/"}


def test_an_image_that_was_removed_costs_only_itself(street, folder):
    street.removed = {"1005"}
    done = fetched(street, folder)
    assert done.fetched == 11
    assert ["removed" in problem.reason for problem in done.failed] == [True]


def test_pictures_that_all_fail_end_the_run(server, folder):
    server.add(*(street_image(number, lon=13.4 + 0.0002 * number) for number in range(60)))
    server.removed = set(server.images)
    with pytest.raises(DatasetError, match="20 pictures in a row"):
        fetched(server, folder)


def test_a_network_that_is_down_is_told_in_one_sentence(folder):
    with Mapillary() as gone:
        address = gone.base_url
    nowhere = Client(TOKEN, base_url=address, patience=Patience(first=0.001))
    with pytest.raises(
        DatasetError, match=r"Mapillary gave no usable answer in 3 attempts \(.*refused.*\); run the same command again later\."
    ):
        mapillary.fetch(nowhere, Query(area=TOWN), folder)


@pytest.mark.parametrize("echo", [False, True])
def test_a_wrong_token_is_one_sentence_that_does_not_repeat_it(street, folder, echo):
    street.echo = echo
    with pytest.raises(DatasetError) as told:
        fetched(street, folder, token="MLY|wrong|secret", connections=1)
    assert "does not accept the token" in str(told.value)
    assert "MAPILLARY_TOKEN" in str(told.value)
    assert "secret" not in str(told.value)
    assert len(street.asked) == 1


@pytest.mark.parametrize("token", ["", "  ", "two words", "línea", "a\nb: c"])
def test_a_token_that_cannot_be_one_is_refused_unseen(token):
    with pytest.raises(DatasetError, match="A token of Mapillary was wanted") as told:
        Client(token)
    assert not token.strip() or token not in str(told.value)


def test_an_empty_area_is_one_sentence_and_leaves_no_folder(server, folder):
    with pytest.raises(DatasetError, match=r"^Mapillary has no such images in 52\.5, 13\.4 to 52\.51, 13\.412; "):
        fetched(server, folder)
    assert not folder.exists()


def test_addresses_that_lead_into_the_own_computer_are_not_followed(server, folder, monkeypatch):
    (folder.parent / "secret.jpg").write_bytes(picture("1"))
    server.add(street_image(0))
    entity = {"1000": {"id": "1000", "thumb_2048_url": (folder.parent / "secret.jpg").as_uri()}}
    server.faults = [("ids=", 200, {}, json.dumps(entity).encode())]
    assert [problem.path for problem in fetched(server, folder).failed] == ["https://www.mapillary.com/app/?pKey=1000"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["coordinates", "username", "x"]), inner, max_size=3)
        ),
        max_leaves=6,
    ).flatmap(lambda junk: st.sampled_from([{**street_image(0), field: junk} for field in street_image(0)]))
)
@settings(deadline=None)
def test_whatever_a_server_says_of_an_image_becomes_a_sound_row_or_none(said):
    image = understood(said)
    if image is not None:
        row = image.row("2048")
        assert re.fullmatch(r"images/\d+\.jpg", row["file"])
        assert all(cell.isprintable() for cell in row.values())
        assert abs(float(row["lat"])) <= 90


@pytest.mark.parametrize("name", ["../../etc/passwd", "1/2", "", "abc", None, "1\n2", "9" * 99])
def test_a_number_that_is_none_never_becomes_a_file(name):
    assert understood(street_image(0, id=name)) is None


# Going on


def test_a_second_run_fetches_only_what_is_missing(street, folder):
    fetched(street, folder)
    (folder / "images" / "1004.jpg").unlink()
    street.add(street_image(50, lat=52.509))
    street.asked.clear()
    done = fetched(street, folder)
    assert (done.found, done.here, done.fetched, done.images) == (13, 11, 2, 13)
    assert sorted(Path(path).name for path in street.paths("/pictures/")) == ["1004", "1050"]
    assert len(rows(folder)) == 13


def test_a_search_that_was_interrupted_goes_on_where_it_was(street, folder):
    boxes = len(TOWN.cut(search.SIDE))
    street.dead_boxes = lambda box: box.west > 13.4075
    quick = Patience(first=0.001, attempts=1)
    with pytest.raises(DatasetError, match="no usable answer"):
        fetched(street, folder, patience=quick, connections=1)
    known = json.loads("[" + ",".join((folder / ".mapillary" / "search.jsonl").read_text().splitlines()[1:]) + "]")
    answered = {finding["box"] for finding in known if finding["images"]}
    assert 0 < len(answered) < boxes
    street.dead_boxes = lambda box: False
    street.asked.clear()
    assert fetched(street, folder).fetched == 12
    assert not answered & {parameters.get("bbox") for _, parameters, *_ in street.asked}
    assert not (folder / ".mapillary" / "search.jsonl").exists()


def test_a_torn_journal_costs_only_its_last_line(street, folder):
    journal = folder / ".mapillary" / "search.jsonl"
    journal.parent.mkdir(parents=True)
    about = {"version": 1, **Query(area=TOWN).about()}
    box = str(TOWN.cut(search.SIDE)[0])
    whole = json.dumps({"box": box, "divided": False, "crowded": False, "images": [street_image(0)]})
    journal.write_text(f"{json.dumps(about)}\n{whole}\n" + '{"box": "13.4')
    assert fetched(street, folder).fetched == 12
    assert box not in {parameters.get("bbox") for _, parameters, *_ in street.asked}


KILLED = """
import os, sys
from sameplace.datasets.mapillary import Area, Client, Query, fetch
os.fsync = lambda handle: None
fetch(Client(sys.argv[1], base_url=sys.argv[2]), Query(area=Area.between(52.500, 13.400, 52.510, 13.412)), sys.argv[3])
"""


def test_a_run_that_is_killed_at_any_moment_loses_nothing_and_the_next_one_fetches_the_rest(server, folder):
    rng = random.Random(3)
    server.add(*(street_image(number, 52.5 + rng.uniform(0, 0.01), 13.4 + rng.uniform(0, 0.012)) for number in range(150)))
    server.pause = 0.004
    for moment in (3, 8, 15, 27, 40):
        server.asked.clear()
        running = subprocess.Popen([sys.executable, "-c", KILLED, TOKEN, server.base_url, str(folder)])
        while len(server.asked) < moment and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        running.wait()
        safe = names(folder) if folder.exists() else set()
        for name in safe:
            assert (folder / "images" / f"{name}.jpg").read_bytes() == picture(name), "a picture is whole or not there"
    server.asked.clear()
    assert 0 < len(safe) < 150
    done = fetched(server, folder)
    assert done.here == len(safe)
    loaded = Counter(Path(path).name for path in server.paths("/pictures/"))
    assert loaded == Counter(set(server.images) - safe)
    assert {Path(file).stem for file in rows(folder)} == set(server.images)
    assert not list((folder / ".mapillary").glob("*.part"))


def test_pictures_of_a_killed_run_keep_their_rows_when_another_area_is_fetched_next(street, folder):
    fetched(street, folder, Query(area=TOWN, limit=5))
    about = {"version": 1, **Query(area=TOWN).about()}
    finding = {"box": "0,0,1,1", "divided": False, "crowded": False, "images": list(street.images.values())}
    (folder / ".mapillary" / "search.jsonl").write_text(f"{json.dumps(about)}\n{json.dumps(finding)}\n")
    (folder / "positions.csv").unlink()
    street.add(street_image(90, lat=52.521))
    fetched(street, folder, Query(area=Area.between(52.520, 13.400, 52.525, 13.410)))
    assert len(rows(folder)) == 6


def test_a_run_that_is_interrupted_keeps_its_pictures_and_their_rows(street, folder):
    def interrupted(plan):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(street, folder, announce=interrupted)
    assert {Path(file).stem for file in rows(folder)} == names(folder)
    assert len(names(folder)) == fetching.SAMPLE
    assert fetched(street, folder).here == fetching.SAMPLE


def test_an_empty_picture_that_a_power_cut_left_is_fetched_again(street, folder):
    fetched(street, folder)
    (folder / "images" / "1004.jpg").write_bytes(b"")
    assert fetched(street, folder).fetched == 1


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(street, folder, monkeypatch):
    synced = []

    def fsync(handle):
        synced.append(handle)
        if len(synced) >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(album.os, "fsync", fsync)
    with pytest.raises(DatasetError, match=r"^The disk of .*berlin is full; .*: make room and run the same command again\.$"):
        fetched(street, folder)
    monkeypatch.undo()
    kept = names(folder)
    assert 0 < len(kept) < 12
    assert not list((folder / ".mapillary").glob("*.part"))
    assert fetched(street, folder).here == len(kept)
    assert len(rows(folder)) == 12


def test_another_size_is_not_mixed_in(street, folder):
    fetched(street, folder)
    with pytest.raises(DatasetError, match="holds images of size 2048, but size 1024 was asked for"):
        fetched(street, folder, Query(area=TOWN, size="1024"))


def test_what_the_user_keeps_in_the_folder_stays(street, folder):
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "mine.png")
    (folder / "positions.csv").write_text("file,lat,lon,weather\nmine.png,52.1,13.1,rain\n")
    fetched(street, folder)
    record = next(record for record in ImageSet.open(folder).records() if record.path.name == "mine.png")
    assert (record.position, record.extra["weather"]) == (LatLon(52.1, 13.1), "rain")
    (folder / "ATTRIBUTION.md").write_text("These are mine.")
    with pytest.raises(DatasetError, match="not written by sameplace"):
        fetched(street, folder)


def test_a_broken_table_of_the_users_is_not_overwritten(street, folder):
    folder.mkdir()
    (folder / "positions.csv").write_text("file,lat,lon\n,1,2\n")
    with pytest.raises(PositionError, match=r"Line 2 of .* is broken"):
        fetched(street, folder)
    assert (folder / "positions.csv").read_text() == "file,lat,lon\n,1,2\n"


def test_two_do_not_fetch_into_one_folder(street, folder):
    with album.opened(folder, "2048"), pytest.raises(DatasetError, match="Another sameplace fetches into"):
        fetched(street, folder)


def test_a_file_is_no_folder(street, folder):
    folder.write_text("")
    with pytest.raises(DatasetError, match="is a file"):
        fetched(street, folder)


# Areas


DEGREES = st.floats(-89, 89)
RECTANGLES = st.builds(
    lambda south, west, height, width: Area.between(south, west, min(south + height, 90.0), (west + width + 180) % 360 - 180),
    DEGREES,
    st.floats(-179.9, 179.9),
    st.floats(0.001, 0.05),
    st.floats(0.001, 0.05),
)
SHARES = st.floats(0, 1)


def holds(box, position):
    return box.south <= position.lat <= box.north and box.west <= position.lon <= box.east


@given(RECTANGLES, SHARES, SHARES)
@settings(deadline=None, max_examples=60)
def test_the_boxes_of_an_area_are_small_and_cover_it_over_the_antimeridian_too(area, up, right):
    boxes = area.cut(search.SIDE)
    width = (area.east - area.west) % 360
    lon = (area.west + right * width + 180) % 360 - 180
    position = LatLon(area.south + up * (area.north - area.south), min(lon, 179.999999999))
    assert all(
        0 < box.east - box.west <= search.SIDE * 1.00001 and 0 < box.north - box.south <= search.SIDE * 1.00001 for box in boxes
    )
    assert len(boxes) == area.boxes_of(search.SIDE)
    assert any(holds(box, position) for box in boxes) or not area.contains(position)
    assert sum((box.east - box.west) * (box.north - box.south) for box in boxes) == pytest.approx(width * (area.north - area.south))


@given(DEGREES, st.floats(-180, 179.99), st.floats(5, 2000), st.floats(0, 360), SHARES)
@settings(deadline=None, max_examples=60)
def test_the_boxes_around_a_middle_cover_its_circle(lat, lon, radius, direction, share):
    area = Area.around(LatLon(lat, lon), radius)
    step = share * radius / 111_700
    aside = step * sin(radians(direction)) / max(cos(radians(lat)), 1e-6)
    position = LatLon(max(min(lat + step * cos(radians(direction)), 90), -90), (lon + aside + 180) % 360 - 180)
    if area.contains(position) and area.boxes_of(search.SIDE) < 5000:
        boxes = area.cut(search.SIDE)
        assert any(holds(box, position) for box in boxes)
        nearest = min(zip(area.distances(boxes), boxes, strict=True))[0]
        assert nearest <= distance(area.centre, position)


@given(RECTANGLES, SHARES, SHARES)
@settings(deadline=None, max_examples=40)
def test_no_point_of_a_box_is_nearer_to_the_middle_than_the_box(area, up, right):
    boxes = area.cut(search.SIDE)
    for box, metres in list(zip(boxes, area.distances(boxes), strict=True))[:10]:
        point = LatLon(box.south + up * (box.north - box.south), box.west + right * (box.east - box.west))
        assert metres <= distance(area.centre, point)


@pytest.mark.parametrize(
    "edges",
    [
        (52.6, 13.3, 52.5, 13.5),
        (52.5, 13.3, 95.0, 13.5),
        (52.5, 13.3, 52.6, 200.0),
        (52.5, 13.3, 52.6, 13.3),
        (float("nan"), 0, 1, 1),
    ],
)
def test_an_area_that_is_none_is_refused_with_a_cure(edges):
    with pytest.raises(PositionError, match="swapped"):
        Area.between(*map(float, edges))


def test_an_area_over_the_antimeridian_has_its_middle_there():
    area = Area.between(-17.0, 179.9, -16.9, -179.9)
    assert area.centre == LatLon(-16.95, -180.0)
    assert area.contains(LatLon(-16.95, 179.95))
    assert not area.contains(LatLon(-16.95, 0.0))


def test_a_country_is_refused_before_anything_is_asked():
    with pytest.raises(DatasetError, match="searches, of which 100,000 are the most"):
        Query(area=Area.between(47.0, 6.0, 55.0, 15.0))


def test_days_in_the_wrong_order_and_no_images_at_all_are_refused():
    with pytest.raises(DatasetError, match="swap them"):
        Query(area=TOWN, start=date(2023, 1, 2), until=date(2023, 1, 1))
    with pytest.raises(DatasetError, match="at least one"):
        Query(area=TOWN, limit=0)


# The command


@pytest.fixture
def typed(street, folder, monkeypatch):
    """Types a command line against the local server."""
    monkeypatch.setenv("MAPILLARY_TOKEN", TOKEN)
    monkeypatch.setattr(mapillary, "Client", lambda token: Client(token, base_url=street.base_url, patience=QUICK))
    return lambda *words: run(["fetch", "mapillary", "--to", str(folder), *words])


def test_the_command_prints_what_its_schema_promises(typed, folder, capsys):
    assert typed("--area", "52.500,13.400,52.510,13.412", "--json") == 0
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    jsonschema.validate(value, json.loads(SCHEMA.read_text("utf-8")))
    assert (value["folder"], value["fetched"], value["images"], value["failed"]) == (str(folder), 12, 12, [])
    assert "12 images found, 0 of them here, 12 to fetch" in printed.err
    assert typed("--around=52.505,13.406", "--radius", "2000") == 0
    assert "12 images by 1 contributor, CC BY-SA 4.0; 0 fetched" in capsys.readouterr().out


def test_the_command_takes_southern_and_western_degrees_days_and_a_limit(typed, street, folder):
    street.add(street_image(70, -33.86, -70.6), street_image(71, -33.86, -70.6, captured_at=0))
    assert typed("--area", "-33.87,-70.61,-33.85,-70.59", "--from", "2022-01-01", "--until", "2022-12-31", "--limit", "5") == 0
    assert names(folder) == {"1070"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--area", "1,2,3"],
        ["--area", "a,b,c,d"],
        ["--area", "52.5,13.3,52.4,13.5"],
        ["--around", "52.5,13.3", "--area", "52.4,13.3,52.5,13.4"],
        ["--area", "52.4,13.3,52.5,13.4", "--radius", "10"],
        ["--around", "152.5,13.3"],
        ["--area", "52.4,13.3,52.5,13.4", "--size", "1000"],
    ],
)
def test_a_command_that_makes_no_sense_is_a_misuse_told_in_one_sentence(typed, folder, capsys, words):
    assert typed(*words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not folder.exists()


def test_a_command_without_a_token_says_where_to_get_one(typed, monkeypatch, capsys):
    monkeypatch.delenv("MAPILLARY_TOKEN")
    assert typed("--area", "52.500,13.400,52.510,13.412") == 2
    assert "https://www.mapillary.com/dashboard/developers" in capsys.readouterr().err


def test_a_refused_token_is_a_sentence_without_a_traceback(typed, street, capsys):
    street.echo = True
    assert typed("--area", "52.500,13.400,52.510,13.412", "--token", "MLY|wrong|secret") == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("sameplace: Mapillary does not accept the token (Malformed access token OAuth ...)")
    assert "secret" not in printed.err + printed.out


def test_a_command_that_fetches_nothing_fails(typed, street, capsys):
    street.removed = set(street.images)
    assert typed("--area", "52.500,13.400,52.510,13.412") == 1
    assert "Not one of the images" in capsys.readouterr().err


def test_the_addresses_of_the_real_service_are_its_own():
    assert client.BASE_URL == "https://graph.mapillary.com"
    assert Client(TOKEN).base_url == client.BASE_URL
