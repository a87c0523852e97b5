"""Oxford, Paris and Holidays, each in a copy of its true layout that is written here, with empty images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sameplace import datasets
from sameplace.datasets import catalogue
from sameplace.errors import DatasetError
from sameplace.images import View, read_image

LANDMARKS = 11
CORRUPT = 20


def images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def ground_truth(root: Path, prefix: str, name_of: Callable[[int, int], str]) -> None:
    """The four text files of five queries a landmark; query n of a landmark is its image n."""
    (root / "groundtruth").mkdir(parents=True)
    for landmark in range(LANDMARKS):
        for number in range(1, 6):
            start = root / "groundtruth" / f"landmark{landmark}_{number}_"
            query = f"{prefix}{name_of(landmark, number)} 136.5 34.1 648.5 955.7\n"
            for kind, text in {
                "query": query,
                "good": "".join(f"{name_of(landmark, n)}\n" for n in range(1, 6)),
                "ok": f"{name_of(landmark, 6)}\n",
                "junk": f"{name_of(landmark, 7)}\n{name_of(landmark, 8)}\n",
            }.items():
                Path(f"{start}{kind}.txt").write_text(text)


def oxford_5k(root: Path) -> None:
    names = [f"landmark{landmark}_{number:06d}.jpg" for landmark in range(LANDMARKS) for number in range(10)]
    images(root / "images", names)
    ground_truth(root, "oxc1_", lambda landmark, number: f"landmark{landmark}_{number:06d}")


def paris_6k(root: Path) -> None:
    for landmark in range(LANDMARKS):
        names = [f"paris_landmark{landmark}_{number:06d}.jpg" for number in range(30)]
        images(root / "images" / f"landmark{landmark}", names)
    corrupt = [f"landmark1/paris_landmark1_{number:06d}.jpg\n" for number in range(8, 8 + CORRUPT)]
    (root / "corrupt.txt").write_text("".join(corrupt))
    ground_truth(root, "", lambda landmark, number: f"paris_landmark{landmark}_{number:06d}")


def holidays(root: Path, folder: str = "jpg") -> None:
    numbers = [100_000 + 100 * group + member for group in range(50) for member in range(2 + (group < 49))]
    images(root / folder, [f"{number}.jpg" for number in numbers])


def holidays_upright(root: Path) -> None:
    holidays(root, "jpg_rotated")


WRITERS = {"oxford-5k": oxford_5k, "paris-6k": paris_6k, "holidays": holidays, "holidays-upright": holidays_upright}
PUBLISHED = {"oxford-5k": (5063, 55), "paris-6k": (6392, 55), "holidays": (1491, 500), "holidays-upright": (1491, 500)}
MADE_SMALLER = {"oxford-5k": (110, 55), "paris-6k": (310, 55), "holidays": (149, 50), "holidays-upright": (149, 50)}
names = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Each benchmark, written once; whoever changes it puts it right again."""
    written: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in written:
            written[name] = tmp_path_factory.mktemp(name)
            WRITERS[name](written[name])
        return written[name]

    return of


@pytest.fixture(autouse=True)
def smaller_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue with the counts of the copies, which are smaller than the benchmarks."""
    monkeypatch.setattr(
        catalogue,
        "KNOWN",
        tuple(
            replace(entry, database=MADE_SMALLER[entry.name][0], queries=MADE_SMALLER[entry.name][1])
            for entry in catalogue.KNOWN
            if entry.name in MADE_SMALLER
        ),
    )


@names
def test_counts_are_the_published_ones(name: str, archive) -> None:
    (entry,) = (entry for family in catalogue.FAMILIES for entry in family if entry.name == name)
    assert (entry.database, entry.queries) == PUBLISHED[name]
    dataset = datasets.load(name, root=archive(name))
    assert (len(dataset.database), len(dataset.queries)) == MADE_SMALLER[name]
    assert "junk" in dataset.protocol or "the query itself does not count" in dataset.protocol


@names
@pytest.mark.parametrize("position", [0, 1, -1])
def test_an_image_less_or_more_is_told_in_one_sentence(name: str, position: int, archive) -> None:
    victim = sorted(archive(name).glob("j*/*.jpg" if "holidays" in name else "images/**/*.jpg"))[position]
    victim.rename(victim.with_suffix(".away"))
    with pytest.raises(DatasetError, match=r"expected .*, found .*; get .*\.$"):
        datasets.load(name, root=archive(name))
    victim.with_suffix(".away").rename(victim)
    extra = victim.with_stem("199999" if "holidays" in name else "extra")
    extra.touch()
    with pytest.raises(DatasetError, match=r"expected .*, found .*; get .*\.$"):
        datasets.load(name, root=archive(name))
    extra.unlink()


@pytest.mark.parametrize("name", ["oxford-5k", "paris-6k"])
def test_good_and_ok_are_right_and_junk_does_not_count(name: str, archive) -> None:
    dataset = datasets.load(name, root=archive(name))
    rows = {record.path.stem: row for row, record in enumerate(dataset.database)}
    start = "landmark10_" if name == "oxford-5k" else "paris_landmark10_"
    query = [record.path.stem for record in dataset.queries].index(f"{start}000003")
    assert dataset.positives()[query].tolist() == sorted(rows[f"{start}{n:06d}"] for n in range(1, 7))
    assert dataset.junk()[query].tolist() == [rows[f"{start}{n:06d}"] for n in (7, 8)]
    assert rows[f"{start}000003"] in dataset.positives()[query]  # the query's own image stays in the database


def test_what_asks_is_the_box_as_matlab_cuts_it(archive) -> None:
    dataset = datasets.load("oxford-5k", root=archive("oxford-5k"))
    assert dataset.query_views is not None
    view = dataset.query_views[0]
    # round() of MATLAB goes away from zero; its pixels count from 1, and the last one is cut out, too
    assert view == View(path=dataset.queries[0].path, box=(136.0, 33.0, 649.0, 956.0))
    assert dataset.database_views is None


def test_the_box_is_really_what_is_seen(tmp_path: Path) -> None:
    oxford_5k(tmp_path)
    pixels = np.zeros((960, 700, 3), np.uint8)
    pixels[33:956, 136:649] = 200  # rows 34 to 956 and columns 137 to 649, counted from 1
    path = tmp_path / "images" / "landmark0_000001.jpg"
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)
    dataset = datasets.load("oxford-5k", root=tmp_path)
    assert dataset.query_views is not None
    assert (read_image(dataset.query_views[0], (32, 32)) == 200).all()


def test_corrupt_images_of_paris_are_left_out_wherever_they_are_named(archive) -> None:
    root = archive("paris-6k")
    dataset = datasets.load("paris-6k", root=root)
    left_out = {f"paris_landmark1_{number:06d}" for number in range(8, 8 + CORRUPT)}
    assert left_out.isdisjoint(record.path.stem for record in dataset.database)
    query = [record.path.stem for record in dataset.queries].index("paris_landmark1_000001")
    assert [dataset.database[row].path.stem for row in dataset.junk()[query]] == ["paris_landmark1_000007"]


def test_without_its_list_of_corrupt_images_paris_says_what_to_get(archive) -> None:
    listed = archive("paris-6k") / "corrupt.txt"
    listed.rename(listed.with_suffix(".away"))
    with pytest.raises(DatasetError, match=r"expected 310 database images, found 330; get .*the list corrupt\.txt"):
        datasets.load("paris-6k", root=listed.parent)
    listed.with_suffix(".away").rename(listed)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("query", "oxc1_landmark0_000001 1 2 3", "expected a name and four numbers in landmark0_1_query.txt"),
        ("query", "", "found nothing"),
        ("good", "landmark0_999999", "expected landmark0_999999.jpg, which groundtruth names, found none"),
        ("junk", None, "expected a file groundtruth/landmark0_1_junk.txt, found none"),
    ],
)
def test_a_ground_truth_that_is_not_whole_is_refused(kind: str, text: str | None, said: str, archive) -> None:
    path = archive("oxford-5k") / "groundtruth" / f"landmark0_1_{kind}.txt"
    before = path.read_text()
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DatasetError, match=said):
        datasets.load("oxford-5k", root=archive("oxford-5k"))
    path.write_text(before)


@names
def test_an_empty_root_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected .*found none.*; get .*\.$"):
        datasets.load(name, root=tmp_path)


def test_a_query_of_holidays_asks_for_its_group_and_does_not_count(archive) -> None:
    dataset = datasets.load("holidays", root=archive("holidays"))
    assert dataset.queries[3].path.name == "100300.jpg"
    assert [dataset.database[row].path.name for row in dataset.positives()[3]] == ["100301.jpg", "100302.jpg"]
    assert [dataset.database[row].path.name for row in dataset.junk()[3]] == ["100300.jpg"]
    assert sum(len(rows) for rows in dataset.positives()) == 149 - 50


def test_a_group_of_holidays_without_its_query_is_told(tmp_path: Path) -> None:
    images(tmp_path / "jpg", ["100000.jpg", "100001.jpg", "100101.jpg"])
    with pytest.raises(DatasetError, match="expected the query 100100 in jpg, found none, though 100101 is there"):
        datasets.load("holidays", root=tmp_path)


def test_upright_holidays_are_a_folder_of_their_own(archive) -> None:
    with pytest.raises(DatasetError, match="expected jpg_rotated, found none"):
        datasets.load("holidays-upright", root=archive("holidays"))


@pytest.mark.parametrize("file", ["corrupt.txt", "groundtruth/landmark0_1_ok.txt"])
def test_damaged_text_is_told_in_one_sentence(file: str, tmp_path: Path) -> None:
    paris_6k(tmp_path)
    (tmp_path / file).write_bytes(b"\xff")
    with pytest.raises(DatasetError, match=f"expected text in {file}, found a byte that is none, number 0 .*; get "):
        datasets.load("paris-6k", root=tmp_path)
