"""Whatever is sent to the service, it answers with a status, holds on to nothing, and writes nothing that was not asked for."""

import gc
import os
import random
import struct
import tempfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serving import BEARER, TOKEN, TinyExplainer, client, files, jpeg, pixels, sentence, serving, town

BOUNDARY = b"a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
REFUSED = {400, 413, 415, 422}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return town(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def asking(kept):
    with client(
        kept, explainer=TinyExplainer(), token=TOKEN, upload_bytes=200_000, pixels=1_000_000, walk_bytes=600_000, walk_photos=5
    ) as asked:
        yield asked


def part(content, name="photo", more=b""):
    head = f'Content-Disposition: form-data; name="{name}"; filename="x"'.encode()
    return b"--" + BOUNDARY + b"\r\n" + head + more + b"\r\n\r\n" + content + b"\r\n"


def form(*parts, end=b"--" + BOUNDARY + b"--\r\n"):
    return b"".join(parts) + end


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width, height):
    """A PNG of a few bytes that claims to have so many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(min(width + 1, 100_000)))) + chunk(b"IEND", b"")


@pytest.fixture(autouse=True)
def temporary(monkeypatch, tmp_path):
    """A temporary folder in which nobody else writes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


# Single cases


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (form(), FORM, 400, "missing"),
        (form(part(b"")), FORM, 400, "empty"),
        (form(part(b"x", "paht")), FORM, 400, "'paht'"),
        (form(part(b"x"), part(b"y")), FORM, 400, "two parts"),
        (form(part(b"x", more=b"\r\nA: b" * 20)), FORM, 400, "broken"),
        (form(part(b"x"), end=b""), FORM, 400, "last boundary"),
        (b"no form at all", FORM, 400, "broken"),
        (b"", FORM, 400, "last boundary"),
        (b"x", {"Content-Type": "multipart/form-data"}, 415, "multipart/form-data"),
        (b"{}", {"Content-Type": "application/json"}, 415, "multipart/form-data"),
        (b"x", {"Content-Type": f"multipart/form-data; boundary={'b' * 5000}"}, 400, "broken"),
        (form(part(b"no photo")), FORM, 422, "no image"),
        (form(part(jpeg(1)[:-300])), FORM, 422, "cut off"),
        (form(part(bytes(200_001))), FORM, 413, "200,000"),
    ],
)
def test_what_is_no_form_with_a_photo_is_refused_in_a_sentence(body, headers, status, told, asking):
    assert told in sentence(asking.post("/api/locate", content=body, headers=headers), status)


def test_a_body_that_announces_too_much_is_refused_unread(asking):
    def endless():
        raise AssertionError("the body was read")
        yield b""

    refused = asking.post("/api/locate", content=endless(), headers={**FORM, "Content-Length": "999999999"})
    assert "200,000" in sentence(refused, 413)


def test_a_body_that_announces_nothing_is_refused_as_soon_as_it_is_too_large(asking):
    sent = []

    def pieces():
        yield b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="photo"\r\n\r\n'
        for number in range(1000):
            sent.append(number)
            yield bytes(10_000)

    assert sentence(asking.post("/api/locate", content=pieces(), headers=FORM), 413)
    assert asking.service.room.held == 0


@pytest.mark.parametrize(("width", "height"), [(1001, 1000), (60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_photo_that_would_unpack_to_too_many_pixels_is_refused_by_its_header(width, height, asking):
    match = asking.get("/api/photos").json()["photos"][0]["id"]
    for address in ("/api/locate", "/api/photos", f"/api/why?match={match}", f"/api/proof?match={match}"):
        refused = asking.post(address, files={"photo": bomb(width, height)}, headers=BEARER)
        assert "1,000,000 pixels" in sentence(refused, 413)


def test_a_client_that_dawdles_is_told_so(kept):
    import time

    def slowly():
        yield b"--" + BOUNDARY
        time.sleep(0.2)
        yield form(part(jpeg(1)))[2 + len(BOUNDARY) :]

    with client(kept, upload_seconds=0.05) as asked:
        # The test client sends the whole body at once, so that the clock must be tried where the body is read.
        import asyncio

        from starlette.requests import Request

        from sameplace.service.problems import Refusal
        from sameplace.service.upload import Room, received

        async def never():
            await asyncio.sleep(10)

        async def read():
            head = [(name.lower().encode(), value.encode()) for name, value in FORM.items()]
            request = Request({"type": "http", "method": "POST", "headers": head}, never)
            async with received(request, Room(1000), asked.service.settings):
                pass

        with pytest.raises(Refusal, match=r"within 0\.05 s") as refused:
            asyncio.run(read())
    assert refused.value.status == 408


def test_when_too_much_is_held_in_memory_clients_come_again(kept):
    with client(kept, held_bytes=1000) as asked:
        refused = asked.post("/api/locate", files={"photo": jpeg(1)})
        assert "a few seconds" in sentence(refused, 503)
        assert refused.headers["retry-after"]
        assert asked.service.room.held == 0


# Everything at once


def mutated(rng, photo):
    """A photo with some of its bytes changed, cut out, doubled, or cut off."""
    photo = bytearray(photo)
    for _ in range(rng.randint(1, 20)):
        if not photo:
            break
        at = rng.randrange(len(photo))
        match rng.randrange(5):
            case 0:
                photo[at] = rng.randrange(256)
            case 1:
                del photo[at : at + rng.randint(1, 50)]
            case 2:
                photo[at:at] = photo[at : at + rng.randint(1, 50)]
            case 3:
                photo[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
            case 4 if len(photo) > 100:
                del photo[rng.randrange(50, len(photo)) :]
    return bytes(photo)


def seeds():
    """A photo in every form that is read."""
    made = [jpeg(1, 48.0), jpeg(2)]
    for kind, options in [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {"progressive": True}),
    ]:
        stored = BytesIO()
        pixels(3).save(stored, kind, **options)
        made.append(stored.getvalue())
    return made


ADDED = "/api/photos"


def ways(match):
    """The addresses that take photos, those that anybody is asked more often."""
    asked = ["/api/locate", "/api/locate?top=50", "/api/locate?verify=3", "/api/walk", "/api/walk?top=10&speed=0.1"]
    return [*asked, f"/api/why?match={match}", f"/api/proof?match={match}", f"/api/why?match={'0' * 32}", ADDED, ADDED, ADDED]


def fuzzed(rng, photos, addresses):
    """Some request: what is sent, and how."""
    photo = mutated(rng, rng.choice(photos))
    match rng.randrange(7):
        case 0:
            body = form(part(rng.randbytes(rng.randrange(2000))))
        case 1:
            body = mutated(rng, form(part(photo)))
        case 2:
            body = form(
                part(photo),
                part(
                    rng.randbytes(20), rng.choice(["lat", "lon", "x_m", "time", "\udcff?", ""]).encode("utf-8", "replace").decode()
                ),
            )
        case 3:
            body = form(part(bomb(rng.randrange(1, 2**31), rng.randrange(1, 2**31))))
        case 4:
            body = form(*(part(mutated(rng, rng.choice(photos))) for _ in range(rng.randrange(9))))
        case _:
            body = form(part(photo))
    kind = (
        FORM
        if rng.random() < 0.95
        else {"Content-Type": rng.choice(['multipart/form-data; boundary="', "image/jpeg", "multipart/form-data; boundary=b"])}
    )
    address = rng.choice(addresses)
    # Additions show a wrong token half of the time; the others have no position, or one that cannot be read.
    shown = BEARER if rng.random() < 0.5 else {}
    return address, body, {**kind, **shown}


def assault(asked, atlas, times, seed):
    """Send many broken things; returns how often which status came."""
    rng, photos, came = random.Random(seed), seeds(), dict[int, int]()
    photos = [photo for photo in photos if b"Exif" not in photo]  # none that could be added rightly
    addresses = ways(asked.get("/api/photos").json()["photos"][0]["id"])
    before = files(atlas)
    for _ in range(times):
        address, body, headers = fuzzed(rng, photos, addresses)
        response = asked.post(address, content=body, headers=headers)
        came[response.status_code] = came.get(response.status_code, 0) + 1
        wanted = REFUSED | ({401} if address == ADDED else {404} if address.endswith("000") else {200})
        assert response.status_code in wanted, (address, headers, response.text, body[:200])
        if response.status_code != 200:
            sentence(response, response.status_code)
    assert files(atlas) == before
    assert [name for name in files(f"{atlas}-uploads") if name != ".lock"] == []
    assert files(tempfile.gettempdir()) == {}
    assert asked.service.room.held == 0
    assert len(asked.service.questions) == 0
    return came


def test_no_broken_upload_crashes_or_leaves_anything(asking, kept):
    came = assault(asking, kept, 300, seed=1)
    assert came.keys() >= {200, 400, 401, 404, 413, 422}


@pytest.mark.slow
def test_ten_thousand_broken_uploads_leave_nothing_behind_in_memory_either(kept):
    limits = {"upload_bytes": 200_000, "pixels": 1_000_000, "walk_photos": 5}
    with client(kept, explainer=TinyExplainer(), token=TOKEN, uploads=kept.with_name("town.atlas-uploads-2"), **limits) as asked:
        (kept.with_name("town.atlas-uploads")).mkdir(exist_ok=True)
        assault(asked, kept, 1000, seed=2)
        gc.collect()
        before, open_before = resident(), len(list(Path("/proc/self/fd").iterdir()))
        assault(asked, kept, 10_000, seed=3)
        gc.collect()
        assert resident() - before < 30_000_000
        assert len(list(Path("/proc/self/fd").iterdir())) <= open_before + 2


def resident():
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# What OpenAPI promises


def promised(kept, examples):
    """Send what OpenAPI allows, and what it does not, to every route; returns how much was sent."""
    tried = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def holds(operation, mode, data):
        nonlocal tried
        tried += 1
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate(headers=BEARER, checks=CHECKED)

    with serving(kept, explainer=TinyExplainer(), token=TOKEN, uploads=kept.with_name(f"promised-uploads-{examples}")) as url:
        schema = schemathesis.openapi.from_url(f"{url}api/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) == 14
        for operation in operations:
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                with suppress(Unsatisfiable):  # a route without parameters cannot be asked wrongly
                    holds(operation, mode)
    return tried


def test_the_service_keeps_what_openapi_promises(kept):
    assert promised(kept, 3) >= 30


@pytest.mark.slow
def test_the_service_keeps_what_openapi_promises_whatever_is_asked(kept):
    assert promised(kept, 60) > 500


def test_a_photo_may_have_any_form_that_is_read(asking):
    for photo in seeds():
        assert asking.post("/api/locate", files={"photo": photo}).status_code == 200
    assert Image.open(BytesIO(seeds()[5])).format == "PPM"
