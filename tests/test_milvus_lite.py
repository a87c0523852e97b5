"""An atlas in a file of Milvus Lite answers as one in a folder does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pymilvus", reason="Milvus is an extra: pip install 'sameplace[milvus]'")
pytest.importorskip("milvus_lite", reason="Milvus Lite is an extra: pip install 'sameplace[milvus]'")

from conftest import TinyDescriber
from sameplace.atlas import Atlas, Where
from sameplace.errors import AtlasError
from sameplace.geo import LatLon
from test_atlas import Counting, draw
from test_milvus import HEADER, asked_photos, same, street

# Milvus Lite serves its file by gRPC in this process, and leaves threads and sockets to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize("kind", ["", "?index=HNSW", "?index=IVF_FLAT", "?index=IVF_SQ8"])
def test_answers_are_those_of_a_folder(tmp_path, kind):
    draw(tmp_path / "photos", [f"{number:03d}.jpg" for number in range(90)], street, HEADER)
    questions = asked_photos(tmp_path / "questions", [0, 7, 44, 89])
    folder = Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber())
    remote = Atlas.build(tmp_path / "photos", at=f"milvus://{tmp_path}/towns.db/town{kind}", model=TinyDescriber(), commit_every=40)
    try:
        assert len(remote) == 90
        for one, other in zip(remote.locate_all(questions), folder.locate_all(questions), strict=True):
            same(one, other)
        for where in (
            Where(near=LatLon(48.0015, 11.0), within=100.0),
            Where(heading=10.0, heading_width=30.0),
        ):
            for question in questions:
                same(remote.locate(question, where=where), folder.locate(question, where=where))
        again = Atlas.open(f"milvus://{tmp_path}/towns.db/town", model := Counting())
        assert again.add(tmp_path / "photos").added == model.described == 0
        assert remote.summary()["self_recall"] == 1.0
        assert again.remove(tmp_path / "photos" / "007.jpg") == 1
        assert folder.remove(tmp_path / "photos" / "007.jpg") == 1
        same(again.locate(questions[1]), folder.locate(questions[1]))
        assert len(again.positions()) == 89
        (tmp_path / "photos" / "008.jpg").unlink()
        changes = again.add(tmp_path / "photos", prune=True)
        assert (changes.added, changes.removed, len(again)) == (1, 1, 89)
    finally:
        remote.close()


def sameplace(*arguments):
    """The command as users run it."""
    return subprocess.run(
        [sys.executable, "-m", "sameplace", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=300
    )


def test_the_command_line_takes_an_address_for_an_atlas(tmp_path):
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(3)])
    at = f"milvus://{tmp_path}/towns.db/town"
    indexed = sameplace("index", tmp_path / "photos", "--to", at, "--json")
    assert indexed.returncode == 0, indexed.stderr
    assert json.loads(indexed.stdout)["added"] == json.loads(indexed.stdout)["images"] == 3
    assert json.loads(indexed.stdout)["atlas"] == at
    assert json.loads(sameplace("index", tmp_path / "photos", "--to", at, "--json").stdout)["added"] == 0
    located = sameplace("locate", tmp_path / "photos" / "1.jpg", "--atlas", at, "--near", "48.001,11", "--within", "50", "--json")
    assert located.returncode == 0, located.stderr
    assert [match["path"] for match in json.loads(located.stdout)["matches"]] == [str(tmp_path / "photos" / "1.jpg")]
    shown = json.loads(sameplace("show", at, "--json").stdout)
    assert (shown["images"], shown["index"]["kind"]) == (3, "exact")
    assert json.loads(sameplace("remove", tmp_path / "photos" / "1.jpg", "--atlas", at, "--json").stdout)["images"] == 2
    missing = sameplace("locate", tmp_path / "photos" / "1.jpg", "--atlas", f"{at}s")
    assert missing.returncode == 1
    assert len(missing.stderr.splitlines()) == 1


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from conftest import TinyDescriber
from sameplace.atlas import Atlas

class Mortal(TinyDescriber):
    left = 5
    def describe(self, images):
        Mortal.left -= len(images)
        if Mortal.left < 0:
            os._exit(9)
        return super().describe(images)

Atlas.build(sys.argv[2], at=sys.argv[3], model=Mortal(), commit_every=2)
"""


def test_a_run_that_is_killed_goes_on_where_it_was_and_counts_every_photo_once(tmp_path):
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(9)])
    at = f"milvus://{tmp_path}/towns.db/town"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, Path(__file__).parent, tmp_path / "photos", at], check=False, timeout=300
    )
    assert killed.returncode == 9
    atlas = Atlas.open(at, model := Counting())
    try:
        assert len(atlas) == 4
        assert atlas.add(tmp_path / "photos").added == model.described == 5
        assert len(atlas) == len(atlas.positions()) == 9
        everywhere = atlas.locate(tmp_path / "photos" / "8.jpg", top=20)
        assert sorted(match.path for match in everywhere.matches) == sorted(map(str, (tmp_path / "photos").glob("*.jpg")))
    finally:
        atlas.close()


def test_a_file_that_another_process_has_open_is_told(tmp_path):
    draw(tmp_path / "photos", ["a.jpg"])
    at = f"milvus://{tmp_path}/towns.db/town"
    atlas = Atlas.build(tmp_path / "photos", at=at, model=TinyDescriber())
    try:
        told = sameplace("locate", tmp_path / "photos" / "a.jpg", "--atlas", at)
        assert told.returncode == 1
        assert "one process at a time can open such a file" in told.stderr
        with pytest.raises(AtlasError, match="end in"):
            Atlas.open(f"milvus://{tmp_path}/towns/town")
    finally:
        atlas.close()
