"""The best matches in a new order within a stated time, what it tells an atlas, and what is handed over to others."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from PIL import Image
from PIL.ExifTags import IFD, Base

from conftest import TinyDescriber
from sameplace import models
from sameplace.atlas import Atlas
from sameplace.cli.app import run
from sameplace.errors import ImageError, MissingExtra
from sameplace.verification import Either, Features, LocalFeatures, Matched, Ransac, RootSift, Verifier, match, rerank
from sameplace.verification.bearing import ASSUMED_MM, DIAGONAL_MM, bearing, focal_length
from sameplace.verification.handover import read_matches, read_pairs, write_matches, write_pairs
from sameplace.verification.proof import proof
from sameplace.verification.reranking import RANKED_FROM
from test_verification import LEANING, facade, seen

SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "locate.json"
SIFT = Verifier(RootSift(most=300), ransac=Either(), least=20)


class Counted(Verifier):
    """Agrees on as many pairs as the candidate's name says; a name of letters cannot be read. Each comparison takes a while."""

    def __init__(self, least: int = 10, takes: Sequence[float] = ()) -> None:
        super().__init__(Nothing(), least=least)
        self.now = 0.0
        self.takes = iter(takes)

    def clock(self) -> float:
        return self.now

    def features(self, source: object) -> Features:
        if str(source).isalpha() and source != Path("query"):
            raise ImageError(f"There is no photo at {source}; check the path.")
        count = 0 if source == Path("query") else int(str(source))
        return Features(points=np.zeros((count, 2), np.float32), descriptors=np.zeros((count, 2), np.float32), size=(9, 9))

    def compare(self, first: Features, second: Features) -> Matched:
        self.now += next(self.takes, 0.0)
        return Matched(
            pairs=np.zeros((len(second), 2), np.int64), inliers=np.ones(len(second), bool), geometry="homography", matrix=None
        )


class Nothing:
    identity = "nothing"
    longest = 64

    def extract(self, image: np.ndarray) -> Features:
        raise AssertionError("nothing is to be searched")


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 20))
@settings(deadline=None, max_examples=80)
def test_matches_with_many_inliers_come_first_and_the_others_keep_their_order(counts: list[int], least: int) -> None:
    done = rerank(Counted(least=least), Path("query"), [Path(str(count)) for count in counts])
    assert done.inliers == tuple(counts)
    assert sorted(done.order) == list(range(len(counts)))
    ahead = [number for number in done.order if counts[number] >= min(least, RANKED_FROM)]
    assert list(done.order[: len(ahead)]) == ahead == sorted(ahead, key=lambda number: (-counts[number], number))
    assert list(done.order[len(ahead) :]) == sorted(done.order[len(ahead) :])
    assert done.in_time
    assert done.compared == len(counts)


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=10), st.floats(0.5, 4.0))
@settings(deadline=None, max_examples=80)
def test_no_comparison_begins_that_may_exceed_the_time_and_what_is_left_out_is_told(takes: list[float], seconds: float) -> None:
    tool = Counted(takes=takes)
    done = rerank(tool, Path("query"), [Path("9")] * len(takes), seconds=seconds, clock=tool.clock)
    assert done.seconds == pytest.approx(sum(takes[: done.compared]))
    assert done.inliers == (9,) * done.compared + (None,) * (len(takes) - done.compared)
    assert done.stopped == (done.compared < len(takes))
    # Longer than allowed only by what one comparison took more than every one before it; and then it is told.
    slowest = max(takes[: done.compared - 1], default=0.0)
    assert done.seconds <= seconds + max(takes[done.compared - 1] - slowest, 0.0)
    assert done.in_time == (done.seconds <= seconds and not done.stopped)
    if done.stopped:
        assert sum(takes[: done.compared]) + max(takes[: done.compared]) > seconds


def test_a_match_whose_photo_has_gone_stays_where_it_was() -> None:
    done = rerank(Counted(), Path("query"), [Path("gone"), Path("3"), Path("20")])
    assert done.inliers == (None, 3, 20)
    assert done.order == (2, 0, 1)
    assert (done.compared, done.stopped, done.in_time) == (2, False, True)
    with pytest.raises(ImageError, match="check the path"):
        rerank(Counted(), Path("lost"), [Path("3")])


def test_no_time_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="5 is usual"):
        rerank(Counted(), Path("query"), [], seconds=0.0)


@pytest.mark.parametrize(("flat", "geometry"), [(True, "homography"), (False, "fundamental")])
def test_a_wall_is_matched_by_a_homography_and_a_street_by_a_fundamental_matrix(flat: bool, geometry: str) -> None:
    first, second, _ = views(flat=flat)
    here, there = first.points, second.points
    told, matrix, agree = Either().best(here, there)
    assert told == geometry
    assert agree.mean() > 0.9
    assert matrix is not None
    single = Ransac() if flat else Ransac(geometry="fundamental", threshold=2.0)
    assert single.best(here, there)[2].sum() == agree.sum()
    assert match(first, second, matcher=InOrder(), ransac=Either()).geometry == geometry


class InOrder:
    identity = "in order"

    def pairs(self, first: Features, second: Features) -> np.ndarray:
        return np.column_stack([np.arange(len(first))] * 2).astype(np.int64)


def views(
    *,
    flat: bool = False,
    turned: float = 10.0,
    stands: tuple[float, float, float] = (1.5, 0.0, 1.0),
    millimetres: float = ASSUMED_MM,
) -> tuple[Features, Features, Matched]:
    """A match's view of 120 points, and that of a query turned to the right (degrees) that stands elsewhere (metres)."""
    rng = np.random.default_rng(3)
    world = rng.uniform([-6, -4, 9], [6, 4, 9.0001 if flat else 30], (120, 3))
    focal = np.hypot(480, 640) * millimetres / DIAGONAL_MM
    angle = np.radians(turned)
    rotation = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    pictures = []
    for part in (world, (world - stands) @ rotation.T):
        points = focal * part[:, :2] / part[:, 2:] + [319.5, 239.5]
        pictures.append(Features(points=points.astype(np.float32), descriptors=np.zeros((120, 2), np.float32), size=(480, 640)))
    rows = np.column_stack([np.arange(120)] * 2).astype(np.int64)
    return pictures[1], pictures[0], Matched(pairs=rows, inliers=np.ones(120, bool), geometry="fundamental", matrix=np.eye(3))


@pytest.mark.parametrize("turned", [-25.0, 0.0, 10.0])
@pytest.mark.parametrize("stands", [(1.5, 0.0, 1.0), (-2.0, 0.0, 0.0), (0.0, 0.0, -3.0)])
def test_the_bearing_says_how_the_query_was_turned_and_where_it_stood(turned: float, stands: tuple[float, float, float]) -> None:
    told = bearing(*views(turned=turned, stands=stands))
    assert told is not None
    assert told.turned == pytest.approx(turned, abs=0.5)
    assert told.towards is not None
    aside = (told.towards - np.degrees(np.arctan2(stands[0], stands[2])) + 180) % 360 - 180
    assert aside == pytest.approx(0, abs=2)
    assert told.agreeing > 100


def test_a_camera_that_only_turned_stands_nowhere_else() -> None:
    told = bearing(*views(turned=12.0, stands=(0.0, 0.0, 0.0)))
    assert told is not None
    assert told.turned == pytest.approx(12, abs=0.5)
    assert told.towards is None


def test_a_wrong_focal_length_makes_angles_wrong_by_about_as_much() -> None:
    told = bearing(*views(turned=20.0), query_mm=1.1 * ASSUMED_MM, match_mm=1.1 * ASSUMED_MM)
    assert told is not None
    assert told.turned == pytest.approx(20 / 1.1, abs=1.5)


def test_too_few_pairs_tell_no_bearing() -> None:
    query, there, matched = views()
    assert bearing(query, there, replace(matched, inliers=np.arange(120) < 14)) is None


def test_the_focal_length_is_that_of_the_exif_data_or_a_usual_one(tmp_path: Path) -> None:
    for name, millimetres in (("wide.jpg", 18), ("nonsense.jpg", 0), ("none.jpg", None)):
        exif = Image.Exif()
        if millimetres is not None:
            exif.get_ifd(IFD.Exif)[Base.FocalLengthIn35mmFilm] = millimetres
        Image.new("RGB", (64, 48)).save(tmp_path / name, exif=exif)
    lengths = [focal_length(tmp_path / name) for name in ("wide.jpg", "nonsense.jpg", "none.jpg")]
    assert lengths == [18.0, ASSUMED_MM, ASSUMED_MM]
    assert focal_length((tmp_path / "wide.jpg").read_bytes()) == 18.0


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Six facades 100 m apart; a query sees the fifth at an angle, in colours of the first."""
    folder = tmp_path / "town"
    folder.mkdir()
    for number in range(6):
        facade(number).save(folder / f"{number}.png")
    (folder / "positions.csv").write_text("file,x_m,y_m\n" + "".join(f"{number}.png,{100 * number},0\n" for number in range(6)))
    seen(facade(4), LEANING).save(tmp_path / "query.png")
    return folder


class Misled(TinyDescriber):
    """Finds the facades in the order of their numbers, whatever it is asked."""

    identity = "misled"

    def describe(self, images: np.ndarray) -> np.ndarray:
        vectors = np.zeros((len(images), self.dim), np.float32)
        for row, image in enumerate(images):
            same = [number for number in range(6) if np.array_equal(image, self.pictures[number])]
            angle = 0.1 * (1 + same[0]) if same else 0.0
            vectors[row, :2] = np.cos(angle), np.sin(angle)
        return vectors

    @property
    def pictures(self) -> list[np.ndarray]:
        return [np.asarray(facade(number).resize((32, 32), Image.Resampling.BICUBIC)) for number in range(6)]


def test_an_atlas_puts_the_proved_match_first_and_says_how_it_was_proved(town: Path, tmp_path: Path) -> None:
    atlas = Atlas.build(town, at=tmp_path / "town.atlas", model=Misled())
    plain = atlas.locate(tmp_path / "query.png", top=3)
    assert [Path(found.path).stem for found in plain.matches] == ["0", "1", "2"]
    assert (plain.verification, plain.proved, plain.matches[0].inliers) == (None, None, None)
    answer = atlas.locate(tmp_path / "query.png", top=3, verify=5, verifier=SIFT)
    assert [Path(found.path).stem for found in answer.matches] == ["4", "0", "1"]
    assert answer.proved
    best = answer.matches[0]
    assert best.inliers is not None
    assert best.inliers > 60
    assert best.turned is not None
    assert all((found.inliers or 0) < 20 and found.turned is None for found in answer.matches[1:])
    assert (answer.position, answer.radius, answer.known) == (plain.position, plain.radius, plain.known)
    told = answer.verification
    assert told is not None
    assert (told.by, told.wanted, told.compared, told.in_time) == (SIFT.identity, 5, 5, True)
    assert told.seconds > 0
    again = atlas.locate((tmp_path / "query.png").read_bytes(), top=1, verify=5, verifier=SIFT)
    assert again.matches[0].inliers == best.inliers
    with pytest.raises(ValueError, match="verify=-1"):
        atlas.locate(tmp_path / "query.png", verify=-1)
    unproved = atlas.locate(tmp_path / "query.png", top=3, verify=3, verifier=SIFT)
    assert unproved.proved is False
    for said in (plain, answer, unproved):
        Draft202012Validator(json.loads(SCHEMA.read_text())).validate(json.loads(json.dumps(said.to_json())))


def test_an_atlas_keeps_the_time_and_tells_when_it_was_over(town: Path, tmp_path: Path) -> None:
    class Slow(RootSift):
        def extract(self, image: np.ndarray) -> Features:
            time.sleep(0.15)
            return super().extract(image)

    assert isinstance(Slow(), LocalFeatures)
    atlas = Atlas.build(town, at=tmp_path / "town.atlas", model=Misled())
    answer = atlas.locate(tmp_path / "query.png", verify=6, verify_seconds=0.5, verifier=Verifier(Slow(), least=20))
    told = answer.verification
    assert told is not None
    assert told.stopped
    assert told.compared < told.wanted == 6
    assert not told.in_time
    assert told.budget == 0.5
    assert [found.inliers is None for found in sorted(answer.matches, key=lambda found: found.path)][-1]


def test_locate_verifies_and_prints_it(
    town: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "describer", lambda *_, **__: Misled())
    monkeypatch.setattr("sameplace.verification.best_verifier", lambda: SIFT)
    Atlas.build(town, at=tmp_path / "town.atlas", model=Misled())
    asked = ["locate", str(tmp_path / "query.png"), "--atlas", str(tmp_path / "town.atlas")]
    assert run([*asked, "--verify", "5"]) == 0
    printed = capsys.readouterr()
    assert "inliers" in printed.out
    assert "4.png" in printed.out
    assert "20 inliers are proof" in printed.err
    assert run([*asked, "--verify", "5", "--verify-seconds", "0.0001", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["verification"]["stopped"]
    assert "did not suffice" in printed.err
    for wrong in (["--verify-seconds", "3"], ["--verify", "5", "--walk"]):
        assert run([*asked, *wrong]) == 2
        assert "--verify" in capsys.readouterr().err


def test_pairs_are_written_for_hloc_and_read_back(tmp_path: Path) -> None:
    pairs = [("queries/a.jpg", "database/b.jpg"), ("queries/a.jpg", "database/c.jpg")]
    path = write_pairs(tmp_path / "pairs.txt", pairs)
    assert path.read_text() == "queries/a.jpg database/b.jpg\nqueries/a.jpg database/c.jpg\n"
    assert read_pairs(path) == pairs
    with pytest.raises(ValueError, match="without blanks"):
        write_pairs(tmp_path / "other.txt", [("my photo.jpg", "b.jpg")])


def test_matches_for_colmap_lead_to_the_same_points_of_photos_in_full_size(tmp_path: Path) -> None:
    (tmp_path / "photos" / "old").mkdir(parents=True)
    facade(0).resize((1280, 960)).save(tmp_path / "photos" / "a.png")  # twice as large as it is compared in
    seen(facade(0), LEANING).save(tmp_path / "photos" / "old" / "b.png")
    facade(1).save(tmp_path / "photos" / "c.png")
    out = tmp_path / "out"
    pairs = write_matches(out, SIFT, tmp_path / "photos", [("a.png", "old/b.png"), ("a.png", "c.png")])
    assert read_pairs(pairs) == [("a.png", "old/b.png")]
    ((names, rows),) = read_matches(out / "matches.txt").items()
    assert names == ("a.png", "old/b.png")
    assert len(rows) > 40
    ends = []
    for name, column in zip(names, rows.T, strict=True):
        lines = (out / "features" / f"{name}.txt").read_text().splitlines()
        count, dim = map(int, lines[0].split())
        numbers = np.array([line.split() for line in lines[1:]], float)
        assert numbers.shape == (count, 4 + dim) == (count, 132)
        ends.append(numbers[column, :2])
    large, leaning = np.column_stack([ends[0] / 4, np.ones(len(rows))]) @ LEANING.T, ends[1]
    assert np.median(np.linalg.norm(large[:, :2] / large[:, 2:] - leaning, axis=1)) < 2
    assert not (out / "features" / "c.png.txt").exists()


def test_the_proof_draws_a_line_for_what_agrees_and_none_where_nothing_does(town: Path, tmp_path: Path) -> None:
    gap = slice(12 + 640, 12 + 640 + 12)  # between the photos
    agreed, other = (np.asarray(proof(SIFT, tmp_path / "query.png", town / name)) for name in ("4.png", "5.png"))
    assert agreed.shape == other.shape
    paper = other[56:, gap][0, 6]
    assert (other[56:, gap] == paper).all()
    assert (agreed[56:, gap] != paper).any(axis=(1, 2)).sum() > 60


def test_the_extra_is_asked_for_where_opencv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtra, match="verify"):
        bearing(*views())
