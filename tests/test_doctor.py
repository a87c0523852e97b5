"""The dataset doctor: each sickness is found, with its cure, and a sound dataset is called sound."""

import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sameplace import datasets
from sameplace.cli.app import run
from sameplace.datasets import Dataset, LeaveOut, Listed, Relevant, WithinFrames, WithinMetres, WithinMetresOf
from sameplace.errors import DatasetError
from sameplace.evaluation.doctor import examine, examine_folder, write_page
from sameplace.evaluation.doctor.coordinates import coordinates
from sameplace.evaluation.doctor.page import page
from sameplace.geo import LatLon, LocalPoint
from sameplace.images import ImageRecord, View
from test_datasets import folder, photo
from test_page import Seen, pictures

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "schema" / "show.json").read_text("utf-8"))
CITY = (52.5, 13.4)


def records(path, places, **known):
    """Photos, all different, at these positions."""
    return tuple(
        ImageRecord(path=photo(path / f"{number:03d}.png", seed=hash((path.name, number)) % 2**32), position=place, **known)
        for number, place in enumerate(places)
    )


def street(count=20, north=0.0):
    return [LocalPoint(20.0 * number, north) for number in range(count)]


@pytest.fixture
def town(tmp_path):
    return Dataset(
        name="town",
        database=records(tmp_path / "database", street()),
        queries=records(tmp_path / "queries", street(north=3.0)),
        truth=WithinMetres(25.0),
    )


def found(findings, kind):
    """The one finding of a kind; None where there is none."""
    (*others, finding) = [None, *(problem for problem in findings.problems if problem.kind == kind)]
    assert others in ([], [None])
    return finding


def named(finding):
    return [Path(example.path).name for example in finding.examples]


def test_a_sound_dataset_is_called_sound_and_its_facts_are_told(town):
    findings = examine(town)
    assert findings.problems == ()
    assert findings.sound
    database, queries = findings.parts
    assert (database.name, database.images, database.placed, database.dated) == ("database", 20, 20, 0)
    assert database.sizes == queries.sizes == {(8, 8): 20}
    assert findings.protocol == town.protocol
    assert "Nothing is the matter" in str(findings)


def test_positives_are_counted_query_by_query(town):
    findings = examine(town)
    assert findings.positives == tuple(len(rows) for rows in town.positives())
    assert findings.histogram() == {"2-3": 20}
    assert findings.chance == pytest.approx(np.mean([len(rows) / 20 for rows in town.positives()]))


@settings(deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=50))
def test_every_query_falls_into_the_class_that_holds_its_number(counts):
    histogram = replace(SOUND, positives=tuple(counts)).histogram()
    assert sum(histogram.values()) == len(counts)
    for name, there in histogram.items():
        low, _, high = name.partition("-")
        assert there == sum(int(low) <= count <= int(high or low) for count in counts)


def test_a_photo_that_is_not_there_is_missing(town):
    town.queries[4].path.unlink()
    missing = found(examine(town), "missing")
    assert (missing.severity, named(missing)) == ("wrong", ["004.png"])


def test_a_photo_without_a_header_is_broken_and_one_without_its_end_only_to_a_thorough_look(town):
    town.database[1].path.write_bytes(b"no photo")
    whole = town.database[2].path.read_bytes()
    town.database[2].path.write_bytes(whole[: len(whole) // 2])
    assert named(found(examine(town), "broken")) == ["001.png"]
    broken = found(examine(town, thorough=True), "broken")
    assert named(broken) == ["001.png", "002.png"]
    assert all(example.said for example in broken.examples)


def test_a_query_without_a_right_image_is_told_with_the_nearest_one(town):
    away = replace(town.queries[0], position=LocalPoint(-300.0, 0.0))
    findings = examine(replace(town, queries=(away, *town.queries[1:])))
    none = found(findings, "no_positive")
    assert named(none) == ["000.png"]
    assert "300 m away" in none.examples[0].said
    assert "ends at 95.0 %" in none.said
    assert findings.positives[0] == 0


def test_a_query_whose_right_images_are_all_left_out_has_none(town):
    findings = examine(replace(town, left_out=LeaveOut(burst=True), truth=WithinFrames(0), queries=town.database))
    assert len(found(findings, "no_positive").examples) == 20
    assert found(findings, "no_positive").severity == "wrong"


def test_without_positions_the_nearest_is_not_told(town):
    bare = replace(town.queries[0], position=None)
    truth = Listed(tuple(np.array([] if row == 0 else [row], np.int64) for row in range(20)), "as listed")
    none = found(examine(replace(town, queries=(bare, *town.queries[1:]), truth=truth)), "no_positive")
    assert [example.said for example in none.examples] == [""]


@pytest.mark.parametrize(("left_out", "leaks"), [(LeaveOut(), True), (LeaveOut(content=True), False)])
def test_a_query_that_lies_in_the_database_leaks_unless_it_is_left_out(town, left_out, leaks):
    shutil.copy(town.database[7].path, town.queries[3].path)
    leak = found(examine(replace(town, left_out=left_out)), "leakage")
    assert (leak is not None) == leaks
    if leak:
        assert leak.severity == "wrong"
        assert named(leak) == ["003.png"]
        assert str(town.database[7].path) in leak.examples[0].said


@pytest.mark.parametrize(("left_out", "leaks"), [(LeaveOut(), True), (LeaveOut(panorama=True), False)])
def test_a_panorama_on_both_sides_leaks_unless_it_is_left_out(town, left_out, leaks):
    asks, answers = replace(town.queries[2], panorama="p"), replace(town.database[2], panorama="p")
    both = replace(
        town,
        queries=(*town.queries[:2], asks, *town.queries[3:]),
        database=(*town.database[:2], answers, *town.database[3:]),
        left_out=left_out,
    )
    leak = found(examine(both), "panorama_leakage")
    assert (leak is not None) == leaks
    assert leak is None or named(leak) == ["002.png"]


def test_junk_is_no_leak(town):
    shutil.copy(town.database[3].path, town.queries[3].path)
    empty = np.empty(0, np.int64)
    good = tuple(np.array([row - 1 if row == 3 else row]) for row in range(20))
    listed = Relevant(good, tuple(np.array([3]) if row == 3 else empty for row in range(20)), "as listed")
    assert found(examine(replace(town, truth=listed)), "leakage") is None
    assert found(examine(replace(town, truth=replace(listed, junk=(empty,) * 20))), "leakage")


def test_copies_within_a_part_are_duplicates(town):
    shutil.copy(town.database[5].path, town.database[9].path)
    shutil.copy(town.queries[5].path, town.queries[9].path)
    shutil.copy(town.queries[5].path, town.queries[10].path)
    findings = examine(town)
    copies = [(problem.severity, named(problem)) for problem in findings.problems if problem.kind == "duplicates"]
    assert copies == [("doubtful", ["009.png", "010.png"]), ("note", ["009.png"])]


def test_two_views_of_one_photo_are_no_duplicates(town):
    path = town.queries[0].path
    record = ImageRecord(path=path, position=LocalPoint(0.0, 0.0))
    views = (View(path=path), View(path=path, turns=1))
    two = replace(town, queries=(record, record), query_views=views)
    assert found(examine(two), "duplicates") is None
    assert named(found(examine(replace(two, query_views=(views[1], View(path=path, turns=5)))), "duplicates")) == ["000.png"]


cities = st.tuples(st.floats(-60, 60), st.floats(-170, 170)).filter(lambda at: abs(at[0] - at[1]) > 2 and min(map(abs, at)) > 2)


def block(at, mistake, count=30):
    """A city with one wrong position in it."""
    rng = np.random.default_rng(0)
    places = [LatLon(at[0] + north, at[1] + east) for north, east in rng.uniform(-0.02, 0.02, (count, 2))]
    wrong = mistake(places[11])
    return [
        ImageRecord(path=Path(f"{number:03d}.jpg"), position=wrong if number == 11 else place)
        for number, place in enumerate(places)
    ]


@settings(deadline=None, max_examples=50)
@given(cities)
def test_swapped_coordinates_are_found_wherever_the_city_lies(at):
    assume(abs(at[1]) < 89)  # what is no latitude cannot be swapped unseen
    problems, _ = coordinates(block(at, lambda place: LatLon(place.lon, place.lat)))
    assert [(problem.kind, named(problem)) for problem in problems if problem.severity == "wrong"] == [("swapped", ["011.jpg"])]


@settings(deadline=None, max_examples=50)
@given(cities, st.sampled_from([(1, -1), (-1, 1), (-1, -1)]))
def test_a_lost_sign_is_found_wherever_the_city_lies(at, signs):
    assume(signs != (-1, -1) or abs(at[0] + at[1]) > 1)  # there both signs lost and a swap are the same
    problems, _ = coordinates(block(at, lambda place: LatLon(place.lat * signs[0], place.lon * signs[1])))
    wrong = [(problem.kind, named(problem)) for problem in problems if problem.severity == "wrong"]
    assert wrong == [("mirrored", ["011.jpg"])]


@settings(deadline=None, max_examples=50)
@given(cities)
def test_a_city_without_a_mistake_has_no_finding(at):
    problems, crossed = coordinates(block(at, lambda place: place))
    assert [problem.kind for problem in problems if problem.kind != "zones"] == []
    assert (len(crossed) > 1) == any(problem.kind == "zones" for problem in problems)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (LatLon(0.0, 0.0), "zero"),
        (LatLon(51.5, 13.4), "astray"),
        (LocalPoint(391545.0, 5818254.0), "mixed_frames"),
    ],
)
def test_positions_that_cannot_be_true_are_found(place, kind):
    problems, _ = coordinates(block(CITY, lambda _: place))
    assert [(problem.kind, named(problem)) for problem in problems if problem.kind != "zones"] == [(kind, ["011.jpg"])]


def test_zero_in_a_grid_far_away_is_found():
    grid = [ImageRecord(path=Path(f"{n}.jpg"), position=LocalPoint(391545.0 + n, 5818254.0)) for n in range(20)]
    problems, _ = coordinates([*grid, ImageRecord(path=Path("zero.jpg"), position=LocalPoint(0.0, 0.0))])
    assert [(problem.kind, named(problem)) for problem in problems] == [("zero", ["zero.jpg"])]
    swapped = ImageRecord(path=Path("swapped.jpg"), position=LocalPoint(5818254.0, 391545.0))
    assert [problem.kind for problem in coordinates([*grid, swapped])[0]] == ["swapped"]


def test_two_cities_are_no_mistake():
    problems, _ = coordinates([*block(CITY, lambda place: place, 30), *block((48.1, 11.6), lambda place: place, 20)])
    assert {problem.kind for problem in problems} <= {"zones"}


def test_a_swapped_position_adds_no_utm_zone():
    assert coordinates(block(CITY, lambda place: LatLon(place.lon, place.lat)))[1] == (33,)


def test_a_set_across_two_zones_is_told_so():
    problems, crossed = coordinates(block((48.0, 12.0), lambda place: place))
    assert crossed == (32, 33)
    assert [(problem.kind, problem.severity) for problem in problems] == [("zones", "note")]


def test_a_name_that_means_two_places_contradicts_itself():
    honest = "@0391545.00@5818254.00@33@U@052.50289@0013.40186@@@@@@@@@.jpg"
    false = "@0391545.00@5818254.00@32@U@052.50289@0013.40186@@@@@@@@@.jpg"
    place = LatLon(*CITY)
    problems, _ = coordinates([ImageRecord(path=Path(name), position=place) for name in (honest, false)])
    assert [(problem.kind, named(problem)) for problem in problems] == [("name_contradicts_itself", [false])]


def test_many_photos_at_one_position_are_doubtful_unless_they_are_one_panorama():
    spot = [ImageRecord(path=Path(f"{number}.jpg"), position=LatLon(*CITY)) for number in range(12)]
    assert [problem.kind for problem in coordinates([*block(CITY, lambda place: place), *spot])[0]] == ["one_position"]
    cut = [replace(image, panorama="p") for image in spot]
    assert coordinates([*block(CITY, lambda place: place), *cut])[0] == []


def test_degrees_given_as_metres_are_noticed():
    rng = np.random.default_rng(0)
    places = [LocalPoint(CITY[0] + north, CITY[1] + east) for north, east in rng.uniform(-0.05, 0.05, (20, 2))]
    images = [ImageRecord(path=Path(f"{number}.jpg"), position=place) for number, place in enumerate(places)]
    assert [problem.kind for problem in coordinates(images)[0]] == ["degrees_as_metres"]
    room = [replace(image, position=LocalPoint(100 * image.position.x_m, image.position.y_m)) for image in images]
    assert coordinates(room)[0] == []


def test_mixed_frames_say_why_there_is_no_truth(town):
    strange = replace(town.queries[0], position=LatLon(*CITY))
    findings = examine(replace(town, queries=(strange, *town.queries[1:])))
    assert {problem.kind for problem in findings.problems} >= {"mixed_frames", "no_truth"}
    assert findings.positives is None
    assert findings.places == ()


def test_a_truth_that_does_not_fit_the_images_is_told(town):
    truth = WithinMetresOf(5.0, queries=np.zeros((3, 3)), database=np.zeros((20, 3)))
    assert "belong together" in found(examine(replace(town, truth=truth)), "no_truth").examples[0].said


def test_what_a_folder_leaves_out_is_told_by_reason(tmp_path):
    folder(
        tmp_path,
        [*(f"{n}.png,52.5{n:03d},13.4" for n in range(12)), "zero.png,0,0", "far.png,120,13.4"],
        columns="file,lat,lon",
    )
    photo(tmp_path / "bare.png")
    (tmp_path / "torn.png").write_bytes(b"torn")
    with (tmp_path / "positions.csv").open("a") as table:
        table.write("gone.png,52.5,13.4\n")
    findings = examine_folder(tmp_path)
    left_out = {
        kind: named(found(findings, kind)) for kind in ("unplaced", "zero_left_out", "impossible", "broken_left_out", "table")
    }
    assert left_out == {
        "unplaced": ["bare.png"],
        "zero_left_out": ["zero.png"],
        "impossible": ["far.png"],
        "broken_left_out": ["torn.png"],
        "table": ["gone.png"],
    }
    assert [part.name for part in findings.parts] == ["photos"]
    assert findings.parts[0].images == 12


def test_a_folder_that_cannot_be_evaluated_is_examined_all_the_same(tmp_path):
    for number in range(4):
        photo(tmp_path / f"{number}.png", seed=number % 3)
    findings = examine_folder(tmp_path)
    assert findings.problems[0].kind == "no_truth"
    assert "No photo" in findings.problems[0].examples[0].said
    assert {problem.kind for problem in findings.problems} == {"no_truth", "unplaced", "duplicates"}
    assert findings.parts[0].images == 4
    assert findings.protocol == ""


def test_a_folder_without_photos_cannot_be_examined(tmp_path):
    with pytest.raises(DatasetError):
        examine_folder(tmp_path)
    with pytest.raises(DatasetError):
        examine_folder(tmp_path / "nowhere")


def test_radius_and_burst_are_those_of_the_protocol(tmp_path):
    folder(tmp_path, ["a.png,0,0", "b.png,30,0", "c.png,60,0"])
    assert found(examine_folder(tmp_path), "no_positive").severity == "wrong"
    assert examine_folder(tmp_path, radius=31.0).sound


def test_times_are_told_from_the_first_to_the_last(town):
    times = [datetime(2024, 6, 1, tzinfo=UTC), datetime(2023, 1, 2)]
    dated = tuple(replace(image, time=time) for image, time in zip(town.database, times, strict=False))
    part = examine(replace(town, database=(*dated, *town.database[2:]))).parts[0]
    assert (part.dated, part.taken) == (2, "2023-01-02 to 2024-06-01")


def test_the_worst_comes_first(town):
    town.database[0].path.unlink()
    away = replace(town.queries[0], position=LocalPoint(-9000.0, 50.0))
    crowd = replace(town, queries=(away, *town.queries[1:]))
    shutil.copy(town.queries[5].path, town.queries[9].path)
    ranks = [problem.rank for problem in examine(crowd).problems]
    assert ranks == sorted(ranks)
    assert len(ranks) >= 2
    assert examine(crowd).problems[0].severity == "wrong"


def test_every_finding_is_printed_with_its_cure_and_its_first_examples(town):
    for number in range(6):
        town.queries[number].path.unlink()
    printed = str(examine(town))
    missing = found(examine(town), "missing")
    assert f"wrong: {missing.said}." in printed
    assert f"{missing.cure}." in printed
    assert [f"{number:03d}.png" in printed for number in range(4)] == [True, True, True, False]
    assert "... and 3 more; --json lists them all" in printed


def test_the_doctor_reports_how_far_it_has_come(town):
    seen = []
    examine(town, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)


def test_the_page_shows_findings_pictures_and_places_and_fetches_nothing(town, tmp_path):
    away = replace(town.queries[0], position=LocalPoint(-300.0, 0.0))
    findings = examine(replace(town, queries=(away, *town.queries[1:])))
    write_page(tmp_path / "page.html", findings)
    html = (tmp_path / "page.html").read_text("utf-8")
    seen = Seen(html)
    words = "".join(seen.words)
    (none,) = findings.problems
    for told in (none.said, none.cure, none.examples[0].said, findings.protocol, "database: 20", "queries: 20"):
        assert told in words
    assert len(pictures(html)) == 1
    assert [attrs["data-at"] for attrs in seen.with_class("own")] == [f"{-300.0 - (380 - 300) / 2:.2f} 1.50"]
    assert all(source.startswith("data:") for source in seen.attributes("src"))
    assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on") or name == "style"]


def test_no_name_can_add_an_element_to_the_page(town):
    def skeleton(name):
        query = replace(town.queries[0], path=Path(name))
        seen = Seen(page(examine(replace(town, name=name, queries=(query, *town.queries[1:])))))
        return [(tag, sorted(attrs)) for tag, attrs in seen.elements]

    for name in ('"><script>alert(1)<script>.jpg', "{{script}}.jpg", "' onload='x", "&lt;b&gt;"):
        assert skeleton(name) == skeleton("harmless.jpg")


def test_a_page_without_positions_has_no_map(town):
    bare = tuple(replace(image, position=None) for image in town.queries)
    html = page(examine(Dataset(name="bare", database=bare, queries=bare, truth=WithinFrames(0))))
    assert not Seen(html).with_class("plan")


@pytest.fixture
def shown(capsys):
    """What `sameplace show ... --json` prints, checked against its schema."""

    def show(*arguments):
        capsys.readouterr()
        assert run(["show", *map(str, arguments), "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        value = json.loads(line)
        jsonschema.validate(value, SCHEMA)
        return value

    return show


def test_show_examines_a_folder(tmp_path, shown):
    folder(tmp_path / "database", ["a.png,0,0", "b.png,30,0"])
    folder(tmp_path / "queries", ["c.png,1,0", "d.png,900,0"])
    value = shown(tmp_path)
    assert value["dataset"] == tmp_path.name
    assert value["parts"]["queries"]["images"] == 2
    assert value["positives_per_query"] == {"0": 1, "1": 1}
    assert [problem["kind"] for problem in value["problems"]] == ["no_positive"]
    assert not value["sound"]
    assert shown(tmp_path, "--radius", "1000")["sound"]


def test_show_tells_people_the_same(tmp_path, capsys):
    folder(tmp_path, ["a.png,0,0", "b.png,3,0", "c.png,900,0"])
    assert run(["show", str(tmp_path), "--map", str(tmp_path / "page.html"), "--thorough"]) == 0
    printed = capsys.readouterr()
    assert "doubtful: Without a right image in the database: 1 of 3 queries" in printed.out
    assert "every pixel was read" in printed.out
    assert "page.html" in printed.err
    assert "Without a right image" in (tmp_path / "page.html").read_text("utf-8")


def test_a_known_dataset_is_a_card_without_its_root_and_examined_with_it(tmp_path, shown):
    card = shown("toytown")
    assert (card["dataset"], card["database"], card["queries"]) == ("toytown", 100, 100)
    from sameplace.datasets.toytown import draw

    draw(tmp_path, places=2)  # not as many as it has
    assert run(["show", "toytown", "--root", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["toytown", "--thorough"], "--root where it lies"),
        (["models", "--burst"], "leave these flags out"),
        (["gardens-piont"], "did you mean gardens-point?"),
    ],
)
def test_what_cannot_be_examined_is_a_misuse(arguments, told, capsys):
    assert run(["show", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_folder_that_is_neither_atlas_nor_photos_is_one_sentence(tmp_path, capsys):
    assert run(["show", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"sameplace: .* is no atlas, and cannot be examined as a folder of photos: ", line)


def test_an_atlas_without_its_manifest_is_still_no_folder_of_photos(tmp_path, capsys):
    (tmp_path / "segments").mkdir()
    assert run(["show", str(tmp_path)]) == 1
    assert "atlas" in capsys.readouterr().err


@pytest.mark.data
def test_gardens_point_by_night_has_one_frame_twice(data_folder):
    findings = examine(datasets.load("gardens-point", root=data_folder / "gardens_point"))
    assert [(problem.kind, named(problem)) for problem in findings.problems] == [("duplicates", ["Image183.jpg"])]


SOUND = examine(Dataset(name="none", database=(), queries=(), truth=WithinFrames(0)))
