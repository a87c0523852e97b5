"""A walk that was filmed, with a track or without, from the files to the answers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from conftest import TinyDescriber
from sameplace import Atlas, Estimate, Positions, Problem, models
from sameplace.atlas import Track
from sameplace.atlas.sights import taken
from sameplace.cli.app import run
from sameplace.cli.walking import DEVIATION_M, EVERY
from sameplace.datasets import toytown
from sameplace.errors import PositionError
from sameplace.geo import lat_lon
from sameplace.images import ImageSet, read_image, video
from test_cli import photograph
from test_gpx import document
from test_video import written

pytest.importorskip("cv2")

START = datetime(2024, 6, 12, 14, 3, tzinfo=UTC)
HOUSES, STEP = 12, 0.00018  # degrees of latitude, 20 m
SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "schema" / "locate.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street")
    photos = [photograph(folder / "photos" / f"{house:02d}.jpg", house, lat=52.5 + STEP * house) for house in range(HOUSES)]
    Atlas.build(folder / "photos", at=folder / "street.atlas", model=TinyDescriber())
    return folder / "street.atlas", photos


@pytest.fixture
def street(built, tiny_describer, monkeypatch):
    """An atlas of a street, and the photos in it."""
    monkeypatch.setattr(models, "describer", lambda *_, **__: tiny_describer)
    return built


def timed(photo, to, moment):
    """The same photo without a position, taken at a time that names no time zone."""
    exif = Image.Exif()
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"{moment:%Y:%m:%d %H:%M:%S}"
    Image.open(photo).save(to, exif=exif)
    return to


def filmed(path, photos, size=(64, 64), each=10):
    """A video that shows each photo for a second."""
    return written(path, [read_image(photo, size) for photo in photos for _ in range(each)])


def walked_with(path, positions, start=START, every=1.0):
    """A GPX file of positions."""
    rows = [
        (float(lat), float(lon), f"{start + timedelta(seconds=number * every):%Y-%m-%dT%H:%M:%SZ}")
        for number, (lat, lon) in enumerate(positions)
    ]
    path.write_text(document(rows), encoding="utf-8")
    return path


def test_the_frames_of_a_video_are_located_like_the_photos_that_it_shows(street, tmp_path):
    folder, photos = street
    atlas = Atlas.open(folder)
    film = filmed(tmp_path / "walk.avi", photos)
    frames, stills = atlas.locate_walk([film]), atlas.locate_walk(photos)
    assert [answer.photo for answer in frames] == [f"{film} @ 00:{second:02d}.0" for second in range(HOUSES)]
    assert (
        [answer.matches[0].path for answer in frames] == [answer.matches[0].path for answer in stills] == [str(p) for p in photos]
    )
    away = Positions.of([a.position for a in frames]).metric() - Positions.of([a.position for a in stills]).metric()
    assert np.linalg.norm(away, axis=1).max() < 5
    assert len(atlas.locate_walk([film], every=3.0)) == HOUSES / 3


def test_photos_and_videos_of_one_walk_keep_their_order_and_what_is_broken_its_place(street, tmp_path):
    folder, photos = street
    content = filmed(tmp_path / "whole.avi", photos).read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "torn.jpg").write_bytes(photos[0].read_bytes()[:50])
    sources = [photos[0], tmp_path / "cut.avi", tmp_path / "torn.jpg", tmp_path / "empty.mp4", photos[1]]
    answers = Atlas.open(folder).locate_walk(sources)
    told = [answer.photo if isinstance(answer, Estimate) else answer.path for answer in answers]
    first, *cut, torn, empty, last = told
    assert [first, torn, empty, last] == list(map(str, (sources[0], sources[2], sources[3], sources[4])))
    assert cut[-1] == str(sources[1])
    assert cut[:3] == [f"{sources[1]} @ 00:0{second}.0" for second in range(3)]
    problems = [answer.reason for answer in answers if isinstance(answer, Problem)]
    assert [("was cut off" in why, "is empty" in why) for why in problems] == [(True, False), (False, False), (False, True)]


def test_progress_counts_the_frames_before_they_are_decoded(street, tmp_path):
    folder, photos = street
    film, heard = filmed(tmp_path / "walk.avi", photos), []
    Atlas.open(folder).locate_walk([photos[0], film, photos[1]], progress=lambda *told: heard.append(told))
    assert heard == [(done, HOUSES + 2) for done in range(1, HOUSES + 3)]


def test_a_long_video_is_described_in_parts_and_answered_as_one(street, tmp_path, monkeypatch):
    folder, photos = street
    film = filmed(tmp_path / "walk.avi", photos)
    whole = Atlas.open(folder).locate_walk([film])
    monkeypatch.setattr("sameplace.atlas.sights.TOGETHER", 5)
    parts = Atlas.open(folder).locate_walk([film])
    assert [(one.photo, one.matches[0].path) for one in parts] == [(one.photo, one.matches[0].path) for one in whole]
    assert [one.position.lat for one in parts] == pytest.approx([one.position.lat for one in whole], abs=1e-7)


def test_a_track_needs_the_time_of_a_video_and_says_how_to_give_it(street, tmp_path):
    folder, photos = street
    film = filmed(tmp_path / "walk.avi", photos)
    track = Track.read(walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)]))
    atlas = Atlas.open(folder)
    with pytest.raises(PositionError, match=r"for a video that does not say when it began, the time \(began, --began\)"):
        atlas.locate_walk([film], track=track)
    assert len(atlas.locate_walk([film], track=track, began=START)) == HOUSES
    with pytest.raises(PositionError, match="--camera-ahead 2:00"):
        atlas.locate_walk([film], track=track, began=START.replace(hour=16, tzinfo=None))


@pytest.fixture
def unlooked(monkeypatch):
    """Nothing may be described."""

    def describe(*_, **__):
        raise AssertionError("the work had begun")

    monkeypatch.setattr("sameplace.atlas.atlas.describe", describe)


def test_a_wrong_clock_is_told_before_the_work(street, tmp_path, unlooked):
    folder, photos = street
    film = filmed(tmp_path / "walk.avi", photos)
    track = Track.read(walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)]))
    atlas = Atlas.open(folder)
    with pytest.raises(PositionError, match=r"tells of 0 of 12; .*--camera-ahead 2:00"):
        atlas.locate_walk([film], track=track, began=START + timedelta(hours=2))
    with pytest.raises(PositionError, match="tells of 2 of 6;"):
        atlas.locate_walk([film], track=track, began=START + timedelta(seconds=9), every=2.0)
    late = [timed(photo, tmp_path / photo.name, START + timedelta(hours=2)) for photo in photos[:2]]
    with pytest.raises(PositionError, match=r"tells of 0 of 2; .*--camera-ahead 2:00"):
        atlas.locate_walk(late, track=track)


def test_a_video_of_unknown_length_is_judged_by_its_frames_and_not_by_its_beginning(street, tmp_path, monkeypatch):
    folder, photos = street
    film = filmed(tmp_path / "walk.avi", photos)
    track = Track.read(walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)]))
    for said in (0.0, 1e7):
        monkeypatch.setattr("sameplace.atlas.foresight.length", lambda _, said=said: said)
        answers = Atlas.open(folder).locate_walk([film], track=track, began=START - timedelta(seconds=3))
        assert len(answers) == HOUSES


def test_what_cannot_be_read_is_said_of_it_and_not_that_it_tells_no_time(street, tmp_path):
    folder, photos = street
    track = Track.read(walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)]))
    atlas = Atlas.open(folder)
    (tmp_path / "empty.mp4").write_bytes(b"")
    broken = [tmp_path / "nope.mp4", tmp_path / "empty.mp4", tmp_path / "nope.jpg"]
    reasons = [answer.reason for answer in atlas.locate_walk(broken, track=track)]
    assert reasons == [answer.reason for answer in atlas.locate_walk(broken)]
    assert reasons[0].startswith(f"There is no video at {broken[0]}")
    with pytest.raises(PositionError, match="no photo that can be read says when it was taken"):
        atlas.locate_walk([*broken, photos[0]], track=track)
    good = timed(photos[0], tmp_path / "good.jpg", START)
    assert isinstance(atlas.locate_walk([*broken, good], track=track)[-1], Estimate)


def test_a_track_is_not_passed_over_where_the_only_photo_with_a_time_is_torn(street, tmp_path):
    folder, photos = street
    track = Track.read(walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)]))
    torn = timed(photos[0], tmp_path / "torn.jpg", START)
    torn.write_bytes(torn.read_bytes()[:-400])
    with pytest.raises(PositionError, match="no photo that can be read says when it was taken"):
        Atlas.open(folder).locate_walk([torn, photos[1]], track=track)


def test_a_clock_that_is_ahead_is_as_good_as_one_that_is_right(street, tmp_path):
    folder, photos = street
    atlas = Atlas.open(folder)
    gpx = walked_with(tmp_path / "walk.gpx", [(52.5003 + STEP * house, 13.4003) for house in range(HOUSES)])
    moments = [[START + timedelta(hours=ahead, seconds=house) for house in range(HOUSES)] for ahead in (0, 2)]
    walks = [
        [timed(photo, tmp_path / f"{moment:%H}-{photo.name}", moment) for photo, moment in zip(photos, walk, strict=True)]
        for walk in moments
    ]
    right = atlas.locate_walk(walks[0], track=Track.read(gpx))
    late = atlas.locate_walk(walks[1], track=Track.read(gpx, ahead=7200.0))
    assert [answer.position for answer in right] == [answer.position for answer in late]
    with pytest.raises(PositionError, match=r"tells of 0 of 12; .*--camera-ahead 2:00"):
        atlas.locate_walk(walks[1], track=Track.read(gpx))


def test_the_command_line_locates_a_video_with_its_track(street, tmp_path, capsys):
    folder, photos = street
    film = filmed(tmp_path / "walk.avi", photos)
    gpx = walked_with(tmp_path / "walk.gpx", [(52.5 + STEP * house, 13.4) for house in range(HOUSES)])
    asked = ["locate", str(film), "--atlas", str(folder), "--walk", "--json"]
    assert run([*asked, "--gpx", str(gpx), "--began", "2024-06-12T16:03:00", "--camera-ahead", "2:00", "--every", "2"]) == 0
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    for answer in answers:
        jsonschema.validate(answer, SCHEMA)
    assert [answer["photo"] for answer in answers] == [f"{film} @ 00:{second:02d}.0" for second in range(0, HOUSES, 2)]
    assert [answer["lat"] for answer in answers] == pytest.approx([52.5 + STEP * house for house in range(0, HOUSES, 2)], abs=5e-5)
    assert "walk.gpx is taken to be off by 30 m (--gpx-deviation), and the camera's clock to be 2:00 ahead of UTC" in printed.err
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert run(["locate", str(photos[0]), str(tmp_path / "empty.mp4"), "--atlas", str(folder), "--walk"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "52.5" in first
    assert "empty.mp4 is empty; copy it again" in second


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["walk.avi"], "walk.avi is a video: add --walk"),
        (["00.jpg", "--gpx", "walk.gpx"], "--gpx goes with --walk"),
        (["00.jpg", "--every", "2"], "--every goes with --walk"),
        (["00.jpg", "--walk", "--gpx-deviation", "20"], "--gpx-deviation and --camera-ahead go with --gpx"),
        (["00.jpg", "--walk", "--began", "2024-06-12"], "--began says when the one video began, but 0 videos were given"),
        (["walk.avi", "--walk", "--began", "noon"], "--began wants a time like 2024-06-12T14:03:00"),
        (["walk.avi", "--walk", "--gpx", "walk.gpx", "--camera-ahead", "two"], "--camera-ahead wants hours and minutes like 2:00"),
        (
            ["walk.avi", "--walk", "--gpx", "walk.gpx", "--camera-ahead", "-5:75"],
            "--camera-ahead wants hours and minutes like 2:00",
        ),
        (["walk.avi", "--walk", "--why", "pictures"], "--why looks at photos, not at the frames of a video"),
    ],
)
def test_flags_that_do_not_fit_together_are_a_misuse_told_before_any_work(street, flags, told, tmp_path, capsys, monkeypatch):
    folder, photos = street
    monkeypatch.chdir(tmp_path)
    Path("00.jpg").write_bytes(photos[0].read_bytes())
    Path("walk.avi").write_bytes(b"RIFF0000AVI ")
    walked_with(Path("walk.gpx"), [(52.5, 13.4)])
    assert run(["locate", *flags, "--atlas", str(folder)]) == 2
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.out == ""


def test_what_help_says_of_a_walk_is_what_holds():
    assert Track.deviation == DEVIATION_M
    assert video.EVERY == EVERY


@pytest.mark.slow
def test_toytowns_second_pass_filmed_and_with_a_drifting_track_beats_photos_and_track_alone(tmp_path):
    town = toytown.draw(tmp_path / "town", places=100)
    atlas = Atlas.build(town / "database", at=tmp_path / "town.atlas")
    records = ImageSet.open(town / "queries").records()
    photos, truth = [record.path for record in records], Positions.of([record.position for record in records]).metric()

    def right(positions):
        return float(np.mean(np.linalg.norm(positions.metric() - truth, axis=1) <= 25))

    rng, seconds = np.random.default_rng(0), np.array([moment.seconds for moment in taken(photos)])
    error, tracked = rng.normal(scale=40, size=2), np.empty((len(photos), 2))
    for before, now in zip([None, *np.argsort(seconds)], np.argsort(seconds), strict=False):
        left = 0.0 if before is None else np.exp(-(seconds[now] - seconds[before]) / 120)
        error = left * error + 40 * np.sqrt(1 - left**2) * rng.normal(size=2)
        ((lat, lon),) = lat_lon(truth[now][None])
        tracked[now] = lat + error[0] / 111_132, lon + error[1] / (111_320 * np.cos(np.radians(lat)))
    times, first = np.unique(seconds, return_index=True)
    track = Track(times=times, positions=Positions("earth", tracked[first]))
    alone = right(Positions.of([answer.position for answer in atlas.locate_all(photos)]))
    walk = right(Positions.of([answer.position for answer in atlas.locate_walk(photos)]))
    both = right(Positions.of([answer.position for answer in atlas.locate_walk(photos, track=track)]))
    film = right(Positions.of([answer.position for answer in atlas.locate_walk([filmed(tmp_path / "w.avi", photos, (192, 256))])]))
    assert both > max(alone, walk, right(Positions("earth", tracked)))
    assert film > alone


@pytest.mark.data
def test_a_real_walk_by_night_is_found_from_a_video_as_from_its_photos(data_folder, tmp_path):
    day, night = (sorted((data_folder / "gardens_point" / side).iterdir())[:60] for side in ("day_right", "night_right"))
    rows = "".join(f"{photo.resolve()},{5 * number},0\n" for number, photo in enumerate(day))
    (tmp_path / "frames.csv").write_text(f"file,x_m,y_m\n{rows}", encoding="utf-8")
    atlas = Atlas.build(tmp_path / "frames.csv", at=tmp_path / "day.atlas")
    film = written(
        tmp_path / "night.mp4", [read_image(photo, (360, 640)) for photo in night for _ in range(5)], rate=5.0, code="mp4v"
    )
    truth = 5.0 * np.arange(len(night))
    photos, frames = (np.array([answer.position.x_m for answer in atlas.locate_walk(walk)]) for walk in (night, [film]))
    assert np.mean(np.abs(frames - truth) <= 12.5) >= np.mean(np.abs(photos - truth) <= 12.5) - 0.05 >= 0.8
