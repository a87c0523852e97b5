"""The contract with scripts, line by line as it was promised: flags, keys, exit codes, and the schemas in docs/."""

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest

from sameplace import models
from sameplace.cli.app import run
from sameplace.datasets.toytown import draw

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"
INDEX = (
    "sameplace index PHOTOS --to ATLAS [--model NAME|FILE] [--positions CSV] [--json]",
    '{"atlas","model","images","added","updated","removed","skipped":[{"path","reason"}],"seconds"}',
)
LOCATE = (
    "sameplace locate PHOTO... --atlas ATLAS [--top N] [--json]",
    '{"photo","known","lat","lon","x_m","y_m","radius_m","matches":[{"path","similarity","lat","lon","x_m","y_m"}]}',
)
EVALUATE = (
    "sameplace evaluate MODEL DATASET [--root DIR] [--recall-at 1 5 10 20] [--json]",
    '{"model","dataset","protocol","database","queries","answerable","recall":{"1":..},"descriptor","seconds"}',
)
SHOW = ("models", "datasets", "ATLAS", "MODEL")
PLACES = 6


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("drawn") / "town", places=PLACES)


@pytest.fixture
def words(drawn, tmp_path, monkeypatch, tiny_describer):
    """What the contract's placeholders stand for here."""
    monkeypatch.setattr(models, "describer", lambda *_, **__: tiny_describer)
    shutil.copytree(drawn, tmp_path / "town")
    return {
        "PHOTOS": str(tmp_path / "town" / "database"),
        "ATLAS": str(tmp_path / "town.atlas"),
        "NAME|FILE": models.DEFAULT_MODEL,
        "CSV": str(tmp_path / "town" / "database" / "positions.csv"),
        "PHOTO...": str(tmp_path / "town" / "queries" / "0000.jpg"),
        "N": "3",
        "MODEL": models.DEFAULT_MODEL,
        "DATASET": str(tmp_path / "town"),
        "DIR": str(tmp_path),
    }


def typed(line, words, *, options):
    """The arguments of a line of the contract, with or without what it puts in brackets."""
    line = line.removeprefix("sameplace ")
    line = line.replace("[", "").replace("]", "") if options else re.sub(r" \[.*?\]", "", line)
    return [words.get(word, word) for word in line.split()]


def keys(promise):
    """All keys that a line of the contract names, at any depth; those of `recall` are the N that were asked for."""
    return set(re.findall(r'"([a-z_]+)"', promise))


def keys_in(value):
    if isinstance(value, dict):
        return {key for key in value if not key.isdigit()}.union(*map(keys_in, value.values()))
    return set().union(*map(keys_in, value)) if isinstance(value, list) else set()


def checked(verb, line):
    value = json.loads(line)
    schema = json.loads((SCHEMAS / f"{verb}.json").read_text("utf-8"))
    jsonschema.validate(value, schema)
    return value


@pytest.fixture
def atlas(words, capsys):
    assert run(typed(INDEX[0], words, options=False)) == 0
    capsys.readouterr()
    return words["ATLAS"]


def test_index_prints_what_was_promised(words, capsys):
    (Path(words["PHOTOS"]) / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert run(typed(INDEX[0], words, options=True)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    value = checked("index", line)
    assert keys_in(value) == keys(INDEX[1])
    assert (value["atlas"], value["images"], value["added"]) == (words["ATLAS"], PLACES, PLACES)
    assert [Path(skipped["path"]).name for skipped in value["skipped"]] == ["broken.jpg"]


def test_index_without_options_answers_in_words(words, capsys):
    assert run(typed(INDEX[0], words, options=False)) == 0
    assert f"{PLACES} photos" in capsys.readouterr().out


def test_index_exits_1_if_nothing_could_be_indexed(words, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert run(typed(INDEX[0], words | {"PHOTOS": str(tmp_path / "empty"), "CSV": words["CSV"]}, options=True)) == 1
    printed = capsys.readouterr()
    assert checked("index", printed.out)["images"] == 0
    assert len([line for line in printed.err.splitlines() if line.startswith("sameplace: ")]) == 1


def test_locate_prints_what_was_promised(words, atlas, capsys):
    assert run(typed(LOCATE[0], words, options=True)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    value = checked("locate", line)
    assert keys_in(value) >= keys(LOCATE[1]) | {"calibrated", "level", "radii_m", "false_accept", "several_passes"}
    assert value["calibrated"] is False
    assert value["photo"] == words["PHOTO..."]
    assert len(value["matches"]) == 3
    assert value["x_m"] is value["y_m"] is None


def test_locate_in_a_local_frame_has_metres_and_no_degrees(words, tmp_path, capsys):
    photos = Path(words["PHOTOS"])
    rows = [f"{path.name},{number * 10},{number}" for number, path in enumerate(sorted(photos.glob("*.jpg")))]
    (photos / "positions.csv").write_text("\n".join(["file,x_m,y_m", *rows]), "utf-8")
    assert run(typed(INDEX[0], words, options=False)) == 0
    capsys.readouterr()
    assert run(typed(LOCATE[0], words, options=True)) == 0
    value = checked("locate", capsys.readouterr().out)
    assert value["lat"] is value["lon"] is value["matches"][0]["lat"] is None
    assert value["matches"][0]["x_m"] % 10 == 0


def test_locate_answers_one_line_a_photo_and_exits_1_if_one_could_not_be_read(words, atlas, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    good = words["PHOTO..."]
    assert run(["locate", good, str(tmp_path / "broken.jpg"), good, "--atlas", atlas, "--json"]) == 1
    lines = [checked("locate", line) for line in capsys.readouterr().out.splitlines()]
    assert [set(line) == {"photo", "error"} for line in lines] == [False, True, False]


def test_evaluate_prints_what_was_promised(words, capsys):
    assert run(typed(EVALUATE[0], words, options=True)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    value = checked("evaluate", line)
    assert set(value) >= keys(EVALUATE[1])
    assert list(value["recall"]) == ["1", "5", "10", "20"]
    assert (value["database"], value["queries"]) == (PLACES, PLACES)
    assert all(0 <= share <= 1 for share in value["recall"].values())


def test_evaluate_takes_a_radius(words, capsys):
    line = typed(EVALUATE[0], words, options=True)
    assert run([*line, "--radius", "0.001"]) == 0
    assert checked("evaluate", capsys.readouterr().out)["answerable"] == 0


def test_evaluate_of_a_folder_without_queries_leaves_each_photo_out(words, capsys):
    line = typed(EVALUATE[0], words | {"DATASET": words["PHOTOS"]}, options=True)
    assert run([*line, "--burst"]) == 0
    assert checked("evaluate", capsys.readouterr().out)["queries"] == PLACES


def test_evaluate_of_a_dataset_that_does_not_exist_is_a_misuse(words, capsys):
    assert run(typed(EVALUATE[0], words | {"DATASET": "gardens-piont"}, options=True)) == 2
    assert "gardens-point" in capsys.readouterr().err


@pytest.mark.parametrize("what", SHOW)
def test_show_prints_what_was_promised(what, words, atlas, capsys):
    if what == "MODEL" and models.installed(models.DEFAULT_MODEL) is None:
        pytest.fail("the default model is not in the package")
    assert run(["show", words.get(what, what), "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert checked("show", line)


def test_remove_and_toytown_speak_json_too(words, atlas, tmp_path, capsys):
    assert run(["remove", str(Path(words["PHOTOS"]) / "0000.jpg"), "--atlas", atlas, "--json"]) == 0
    assert checked("remove", capsys.readouterr().out) == {"atlas": atlas, "removed": 1, "images": PLACES - 1}
    assert run(["toytown", str(tmp_path / "another"), "--places", "2", "--json"]) == 0
    assert checked("toytown", capsys.readouterr().out)["queries"] == 2
