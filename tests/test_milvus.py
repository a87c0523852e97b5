"""An atlas on Milvus answers as one in a folder does; a server in memory checks what it is asked."""

import json
import os
import shutil
import sys
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("pymilvus", reason="Milvus is an extra: pip install 'sameplace[milvus]'")

from conftest import TinyDescriber
from milvus_fake import FakeMilvus, holds
from sameplace.atlas import Atlas, Where, remote_columns, remote_snapshot, remote_update
from sameplace.atlas.segment import Entry
from sameplace.errors import AtlasError, MissingExtra
from sameplace.geo import LatLon, LocalPoint, Positions
from sameplace.search.milvus import Address, collection
from test_atlas import Counting, Other, draw, picture, table

TOWN = "milvus://server.example/town"
HEADER = "file,lat,lon,heading_deg,time"


@pytest.fixture
def server(monkeypatch):
    """The server behind TOWN."""
    fake = FakeMilvus()
    monkeypatch.setattr("pymilvus.MilvusClient", lambda uri, token, timeout: fake)
    return fake


def street(number):
    """Along a street of 8 m steps, looking all around, a day apart."""
    return f"{48 + 0.000072 * number},{11},{(37 * number) % 360},2024-03-{1 + number % 28:02d}T12:00:00"


def asked_photos(folder, numbers):
    """Photos much like those of these numbers."""
    folder.mkdir()
    for number in numbers:
        image = np.array(picture(number)).astype(np.int16) + np.random.default_rng(number).integers(-40, 41, (64, 64, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"q{number}.png")
    return sorted(folder.iterdir())


def same(one, other):
    """Two estimates say the same, but for the last digits."""
    assert [match.path for match in one.matches] == [match.path for match in other.matches]
    assert [match.position for match in one.matches] == [match.position for match in other.matches]
    assert [match.similarity for match in one.matches] == pytest.approx([match.similarity for match in other.matches], abs=1e-6)
    assert one.radius == pytest.approx(other.radius, abs=1e-3)
    assert (one.known, one.calibrated, one.several_passes) == (other.known, other.calibrated, other.several_passes)
    assert one.score == pytest.approx(other.score, abs=1e-4)


def test_answers_are_those_of_a_folder_calibration_and_walk_included(server, tmp_path):
    draw(tmp_path / "photos", [f"{number:03d}.jpg" for number in range(90)], street, HEADER)
    questions = asked_photos(tmp_path / "questions", [0, 7, 44, 89])
    folder = Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber())
    remote = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    assert len(remote) == len(folder) == 90
    assert remote.frame == folder.frame
    assert remote.model == folder.model
    for one, other in zip(remote.locate_all(questions, top=5), folder.locate_all(questions, top=5), strict=True):
        same(one, other)
        assert one.radii
    for one, other in zip(remote.locate_walk(questions), folder.locate_walk(questions), strict=True):
        same(one, other)
    found, wanted = remote.positions().coordinates, folder.positions().coordinates
    assert sorted(found.tolist()) == sorted(wanted.tolist())


def test_coverage_is_refused_with_the_cure_as_the_photos_do_not_come_here(server, tmp_path):
    draw(tmp_path / "photos", ["a.jpg", "b.jpg"])
    atlas = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    with pytest.raises(AtlasError, match="index the photos into a folder"):
        atlas.coverage()


@pytest.mark.parametrize(
    "where",
    [
        Where(near=LatLon(48.0015, 11.0), within=100.0),
        Where(near=LatLon(48.0, 11.0), within=1e6, heading=0.0, heading_width=90.0),
        Where(heading=180.0, heading_width=360.0),
        Where(heading=10.0, heading_width=30.0),
        Where(since=date(2024, 3, 5), until=date(2024, 3, 9)),
    ],
)
def test_what_is_known_beforehand_is_asked_of_the_server_and_gives_the_answer_of_a_folder(server, tmp_path, where):
    draw(tmp_path / "photos", [f"{number:03d}.jpg" for number in range(40)], street, HEADER)
    question = asked_photos(tmp_path / "questions", [20])[0]
    folder = Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber())
    remote = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    same(remote.locate(question, where=where), folder.locate(question, where=where))
    assert all(asked["filter"] for name, asked in server.asked if name == "search")


def test_a_circle_is_asked_for_as_a_box_until_there_are_enough_within_the_circle(server, tmp_path):
    def corners(number):  # most of the box's photos lie in its corners, and resemble the question most
        return f"{0.9 * (-1) ** number},{0.9 * (-1) ** (number // 2)}" if number < 60 else "0.1,0.1"

    draw(tmp_path / "photos", [f"{number:03d}.jpg" for number in range(64)], corners, "file,x_m,y_m")
    remote = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    estimate = remote.locate(asked_photos(tmp_path / "questions", [3])[0], where=Where(near=LocalPoint(0.0, 0.0), within=1.0))
    assert sorted(match.path[-7:] for match in estimate.matches) == ["060.jpg", "061.jpg", "062.jpg", "063.jpg"]


def test_where_nothing_fits_is_told_as_in_a_folder(server, tmp_path):
    draw(tmp_path / "photos", ["a.jpg", "b.jpg"])
    remote = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    question = asked_photos(tmp_path / "questions", [1])[0]
    with pytest.raises(AtlasError, match=r"has no photos within 5 m of 0, 0; ask for more"):
        remote.locate(question, where=Where(near=LatLon(0.0, 0.0), within=5.0))
    with pytest.raises(AtlasError, match="local metres; give it as they have it"):
        remote.locate(question, where=Where(near=LocalPoint(0.0, 0.0), within=5.0))


@settings(deadline=None)
@given(
    near=st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    within=st.floats(0.01, 3e6),
    aside=st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)), min_size=1, max_size=8),
    heading=st.one_of(st.none(), st.floats(-360, 720)),
    width=st.floats(1e-3, 360),
    data=st.data(),
)
def test_the_filter_on_the_server_lets_through_all_that_fits(near, within, aside, heading, width, data):
    where = Where(near=LatLon(*near), within=within, heading=heading, heading_width=width)
    degrees = within / 111_000
    coordinates = np.array(
        [[np.clip(near[0] + north * degrees, -90, 90), (near[1] + east * degrees + 180) % 360 - 180] for north, east in aside]
    )
    positions = Positions("earth", coordinates)
    headings = np.array([data.draw(st.floats(0, 359.999)) for _ in aside])
    metric = positions.metric()
    wanted = remote_columns.matching(where)
    fit = where.admits(positions, headings, np.full(len(aside), np.nan))
    for line, fits in enumerate(fit.tolist()):
        x_m, y_m, z_m = metric[line].tolist()
        row = {"area": remote_columns.areas(metric[line : line + 1])[0], "x_m": x_m, "y_m": y_m, "z_m": z_m}
        assert holds(wanted, {**row, "heading_deg": headings[line].item(), "time_s": None}) >= fits


def test_a_second_run_describes_nothing_and_sends_nothing(server, tmp_path):
    draw(tmp_path / "photos", ["a.jpg", "b.jpg", "c.jpg"])
    Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    server.asked.clear()
    again = Atlas.open(TOWN, Counting())
    changes = again.add(tmp_path / "photos")
    assert (changes.added, changes.updated, changes.removed) == (0, 0, 0)
    assert again._model.described == 0
    assert [name for name, _ in server.asked] == ["get"]


def test_a_run_that_is_stopped_goes_on_where_it_was_and_counts_every_photo_once(server, tmp_path):
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(7)])
    server.refuses_after = 2
    with pytest.raises(AtlasError, match=r"cannot serve milvus://server.example/town \(the disk is full\); the server's log"):
        Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber(), commit_every=2)
    assert len(Atlas.open(TOWN)) == 4
    server.refuses_after = None
    model = Counting()
    changes = Atlas.open(TOWN, model).add(tmp_path / "photos", commit_every=2)
    assert (changes.added, model.described, len(Atlas.open(TOWN))) == (3, 3, 7)
    assert sorted(row["path"] for row in server.rows.values()) == sorted(map(str, (tmp_path / "photos").glob("*.jpg")))


def test_changed_moved_and_removed_photos_are_followed(server, tmp_path):
    photos = tmp_path / "photos"
    draw(photos, ["a.jpg", "b.jpg", "c.jpg"])
    atlas = Atlas.build(photos, at=TOWN, model=TinyDescriber())
    picture(9).save(photos / "a.jpg")
    os.utime(photos / "a.jpg", ns=(1, 1))
    shutil.move(photos / "b.jpg", photos / "z.jpg")
    table(photos, {"a.jpg": "48,11", "z.jpg": "48.001,11", "c.jpg": "48.002,11"})
    model = Counting()
    changes = Atlas.open(TOWN, model).add(photos, prune=True)
    assert (changes.added, changes.updated, changes.removed, model.described) == (1, 1, 1, 1)
    assert [match.path for match in atlas.locate(photos / "z.jpg", top=1).matches] == [str(photos / "z.jpg")]
    with pytest.raises(AtlasError, match=r"no photo at or below .*nothing was removed"):
        atlas.remove([photos / "a.jpg", photos / "nowhere"])
    assert len(atlas) == 3
    assert atlas.remove(photos / "a.jpg") == 1
    assert atlas.remove(photos) == 2
    assert len(atlas) == 0
    with pytest.raises(AtlasError, match="holds no photos yet"):
        atlas.locate(photos / "z.jpg")


def test_photos_whose_names_are_full_of_signs_are_found_below_their_folder(server, tmp_path):
    photos = tmp_path / 'say "ü" %_'
    draw(photos / "back\\slash", ["a'.jpg"])
    draw(tmp_path / 'say "ü" %_0', ["b.jpg"])
    atlas = Atlas.build(tmp_path, at=TOWN, model=TinyDescriber())
    assert len(atlas) == 2
    assert atlas.remove(photos) == 1


def test_a_name_that_is_no_text_can_be_sent_and_is_given_back_as_it_was():
    path = os.fsdecode(b"/photos/\xff.jpg")
    entry = Entry(
        path=path,
        size=1,
        mtime_ns=1,
        content="0" * 32,
        row="",
        heading_deg=None,
        time=None,
        panorama=None,
        place=None,
        camera=None,
        extra={},
    )
    sent = remote_columns.row(entry, LatLon(48.0, 11.0), "numpy")
    assert all(value.encode() for value in sent.values() if isinstance(value, str))
    assert remote_columns.entry_of(sent) == entry


def test_another_model_is_refused_and_the_recorded_one_taken(server, tmp_path):
    draw(tmp_path / "photos", ["a.jpg"])
    Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    with pytest.raises(
        AtlasError, match=r"The atlas milvus://server.example/town was made with the model tiny .* other .* is another one"
    ):
        Atlas.open(TOWN, Other())
    with pytest.raises(AtlasError, match=r"The model tiny that made the atlas milvus://server.example/town is not at hand"):
        Atlas.open(TOWN).locate(tmp_path / "photos" / "a.jpg")


def test_what_is_not_there_or_no_atlas_is_told_with_its_cure(server, tmp_path):
    with pytest.raises(
        AtlasError, match=r"no atlas town at http://server.example:19530; make one with `sameplace index PHOTOS --to milvus:"
    ):
        Atlas.open(TOWN)
    empty = Atlas.open_or_create(TOWN, TinyDescriber())
    assert len(empty) == 0
    assert server.made is None
    server.made = {}
    with pytest.raises(AtlasError, match="is a collection, but no atlas"):
        Atlas.open(TOWN)
    server.properties = {"sameplace.atlas": json.dumps({"format_version": 99, "model": {}})}
    with pytest.raises(AtlasError, match=r"format version 99.*upgrade"):
        Atlas.open(TOWN)
    server.properties = {"sameplace.atlas": "{"}
    with pytest.raises(AtlasError, match=r"is broken .*index the photos into a new collection"):
        Atlas.open(TOWN)


@pytest.mark.parametrize(
    ("version", "kind", "asked"),
    [
        ("v2.6.4", "IVF_RABITQ", {"nprobe": 64, "rbq_query_bits": 0, "refine_k": 10}),
        ("2.5.1-dev", "IVF_SQ8", {"nprobe": 64}),
        ("3.0", "IVF_RABITQ", {"nprobe": 64, "rbq_query_bits": 0, "refine_k": 10}),
    ],
)
def test_a_server_is_asked_for_half_precision_partitions_by_area_and_its_quantised_index(server, tmp_path, version, kind, asked):
    server.version = version
    draw(tmp_path / "photos", ["a.jpg", "b.jpg"])
    Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber()).locate(tmp_path / "photos" / "a.jpg")
    made = next(made for name, made in server.asked if name == "create_collection")
    fields = {field.name: field for field in made["schema"].fields}
    assert fields["descriptor"].dtype.name == "FLOAT16_VECTOR"
    assert fields["descriptor"].params == {"dim": 192}
    assert fields["id"].is_primary
    assert fields["area"].is_partition_key
    assert [name for name, field in fields.items() if field.nullable] == ["lat", "lon", "heading_deg", "time_s", "panorama"]
    assert (made["num_partitions"], made["consistency_level"]) == (64, "Strong")
    (index,) = (one.to_dict() for one in made["index_params"])
    assert (index["index_type"], index["metric_type"], index["field_name"]) == (kind, "IP", "descriptor")
    search = next(search for name, search in server.asked if name == "search")
    assert search["search_params"] == {"metric_type": "IP", "params": asked}


def test_an_index_of_the_users_choice_is_asked_for(server, tmp_path):
    draw(tmp_path / "photos", ["a.jpg"])
    Atlas.build(tmp_path / "photos", at=f"{TOWN}?index=hnsw", model=TinyDescriber()).locate(tmp_path / "photos" / "a.jpg", top=200)
    made = next(made for name, made in server.asked if name == "create_collection")
    (index,) = (one.to_dict() for one in made["index_params"])
    assert index["index_type"] == "HNSW"
    assert index["M"] == 32
    search = next(search for name, search in server.asked if name == "search")
    assert search["search_params"]["params"] == {"ef": 400}


def test_an_old_server_is_refused(server):
    server.version = "2.4.9"
    with pytest.raises(AtlasError, match=r"Milvus 2\.5 or newer was wanted at http://server.example:19530, got 2.4.9; upgrade"):
        Atlas.open(TOWN)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("milvus://server.example", "letters, digits and _ alone, got ''"),
        ("milvus://server.example/my-town", "choose another name"),
        ("milvus://ada:secret@server.example/town", "SAMEPLACE_MILVUS_TOKEN"),
        ("milvus://server.example:x/town", "no number"),
        ("milvus://server.example/town?index=FAST", "IVF_RABITQ"),
        ("milvus://server.example/town?colour=red", r"got \?colour=red"),
        ("milvus:///folder/file/town", r"end in \.db"),
        ("milvus:///town", "FILE.db/NAME"),
        ("milvus://server.example/more/town", "HOST:PORT/NAME"),
    ],
)
def test_an_address_that_is_none_is_told_in_one_sentence(address, why):
    with pytest.raises(AtlasError, match=why) as told:
        Address.parse(address)
    assert "\n" not in str(told.value)


def test_tls_has_a_scheme_of_its_own_and_a_token_comes_from_the_environment(server, monkeypatch):
    given = {}
    monkeypatch.setattr("pymilvus.MilvusClient", lambda uri, **others: given.update(uri=uri, **others) or server)
    monkeypatch.setenv("SAMEPLACE_MILVUS_TOKEN", "ada:secret")
    Atlas.open_or_create("milvus+tls://server.example:443/town", TinyDescriber())
    assert (given["uri"], given["token"]) == ("https://server.example:443", "ada:secret")


def test_milvus_lite_is_never_asked_for_what_it_does_not_build(tmp_path):
    lite = Address.parse("milvus:///folder/file.db/town?index=IVF_RABITQ")
    with pytest.raises(AtlasError, match="Milvus Lite builds FLAT, HNSW, IVF_FLAT, IVF_SQ8, and IVF_RABITQ was wanted"):
        lite.plan((3, 2))
    assert Address.parse("milvus:///folder/file.db/town").plan((3, 2)).kind == "FLAT"
    with pytest.raises(AtlasError, match="There is no folder"):
        Atlas.open(f"milvus://{tmp_path}/nowhere/file.db/town")


def test_without_pymilvus_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sameplace\[milvus\]'"):
        Atlas.open(TOWN)


def test_a_server_that_is_not_there_is_told(tmp_path):
    with pytest.raises(AtlasError, match=r"is the server running, and are its name and port right\?"):
        Atlas.open("milvus://localhost:1/town")


def test_many_photos_are_sent_in_several_messages(server, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "BYTES_AT_ONCE", 20_000)
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(9)])
    Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    assert [rows for name, rows in server.asked if name == "upsert"] == [4, 4, 1]


def test_a_large_atlas_learns_from_an_even_sample_and_promises_no_radius(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_update, "CALIBRATED_UP_TO", 50)
    monkeypatch.setattr(remote_update, "SAMPLE", 40)
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(90)])
    atlas = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    estimate = atlas.locate(asked_photos(tmp_path / "questions", [5])[0])
    assert not estimate.calibrated
    assert estimate.known is True
    sampled = next(wanted for name, wanted in server.asked if name == "query_iterator" and wanted.startswith("id <"))
    assert 20 < sum(holds(sampled, row) for row in server.rows.values()) < 60


def test_what_searches_have_met_is_forgotten_in_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_snapshot, "KEPT", 10)
    draw(tmp_path / "photos", [f"{number:02d}.jpg" for number in range(60)])
    atlas = Atlas.build(tmp_path / "photos", at=TOWN, model=TinyDescriber())
    for number in range(0, 60, 17):
        assert atlas.locate(tmp_path / "photos" / f"{number:02d}.jpg").matches[0].path.endswith(f"{number:02d}.jpg")
    atlas._snapshot.kept.forget()
    assert len(atlas._snapshot.kept.rows) == len(atlas._snapshot.kept.known) == 10
