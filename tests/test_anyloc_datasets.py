"""The benchmarks of AnyLoc, VPR-Bench and their kin, each in a copy of its true layout that is written here, with empty images."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sameplace import datasets
from sameplace.datasets import catalogue
from sameplace.datasets.archive import natural
from sameplace.datasets.dataset import Dataset
from sameplace.errors import DatasetError
from sameplace.geo import LocalPoint


def images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def save_objects(path: Path, rows: list, columns: int = 2) -> None:
    """What VPR-Bench's ground truth is: a table of a number and a list, pickled."""
    array = np.empty((len(rows), columns), object)
    for number, row in enumerate(rows):
        array[number, 0] = number
        array[number, 1] = row
    np.save(path, array, allow_pickle=True)


def within(count: int, reach: int, every: int = 1, of: int | None = None) -> list[list[int]]:
    """For each of some frames the frames of the other traverse that are at most so many away."""
    last = (count * every if of is None else of) - 1
    return [list(range(max(i * every - reach, 0), min(i * every + reach, last) + 1)) for i in range(count)]


def poses(root: Path, database: range, queries: range, rows: int) -> None:
    images(root / "db_images", [f"{number}.png" for number in database])
    images(root / "q_images", [f"{number}.png" for number in queries])
    array = np.full((rows, 7), 1e6)
    array[database, 0], array[database, 1] = np.arange(len(database)), 3.0
    array[queries, 0], array[queries, 1] = np.arange(len(queries)), 3.0
    np.save(root / "pose_topic_list.npy", array)


def hawkins(root: Path) -> None:
    poses(root, range(127), range(127, 245), 314)


def laurel_caverns(root: Path) -> None:
    poses(root, range(141), range(229, 341), 744)


def mid_atlantic_ridge(root: Path) -> None:
    images(root / "db_images", [f"image{number}.png" for number in range(65)])
    images(root / "q_images", [f"image{number}.png" for number in range(101)])
    save_objects(root / "eiffel_gt.npy", [[64]] * 101 + [[i // 2, 64] for i in range(101)])


def nardo_air(root: Path) -> None:
    images(root / "reference_images", [f"{number}.png" for number in range(102)])
    images(root / "query_images", [f"{number}.png" for number in range(71)])
    columns = [name for rank in range(1, 8) for name in (f"top_{rank}_ref_ind", f"top_{rank}_ref_dist")]
    with (root / "gt_matches.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["", "query_ind", *columns])
        writer.writeheader()
        for row, query in enumerate(reversed(range(71))):
            top = {f"top_{rank}_ref_ind": query + rank for rank in range(1, 8)}
            writer.writerow({"": row, "query_ind": query, **top})


def baidu_mall(root: Path) -> None:
    for side, count in (("training", 100), ("query", 150)):
        names = [f"{side}_{number:05d}" for number in range(count)]
        images(root / f"{side}_images_undistort", [f"{name}.jpg" for name in names])
        (root / f"{side}_gt").mkdir()
        for number, name in enumerate(names):
            centre = f"7 3 {number % 100}" if side == "training" else f"7 3 {number % 100}.0 "
            lines = ["1000 0 600", "0 1000 400", "0 0 1", "0 0 0", "1 0 0", "0 1 0", "0 0 1", centre, "1200 800"]
            (root / f"{side}_gt" / f"{name}.camera").write_text("\n".join(lines) + "\n")


def struct(path: Path, names: tuple[list[str], list[str]], radius: float) -> None:
    """HEAPUtil's file: a row of eight cells; names are a matrix of letters, padded with blanks."""
    cells = np.empty(8, object)
    for place, side in ((0, names[0]), (2, names[1])):
        cells[place] = np.array(side)
        cells[place + 1] = np.column_stack([np.arange(len(side)) + 5e5, np.full(len(side), 5.8e6)])
    cells[4], cells[5], cells[6], cells[7] = len(names[0]), len(names[1]), radius, radius**2
    savemat(path, {"dbStruct": cells})


def berlin_kudamm(root: Path) -> None:
    names = ([f"Reference_resized/{i}.jpg" for i in range(314)], [f"Query_resized/{i}.jpg" for i in range(280)])
    for side in names:
        for name in side:
            images((root / name).parent, [Path(name).name])
    struct(root / "berlin.mat", names, 50.0)


def oxford_robotcar(root: Path) -> None:
    names = ([f"1-s/{i}.png" for i in range(191)], [f"2-s/{i}.png" for i in range(191)])
    for side in names:
        for name in side:
            images((root / "oxDataPart" / name).parent, [Path(name).name])
    struct(root / "oxdatapart.mat", names, 10.0)


def gardens_point(root: Path) -> None:
    for walk in ("day_left", "day_right", "night_right"):
        images(root / walk, [f"Image{number:03d}.jpg" for number in range(200)])
    save_objects(root / "gardens_gt.npy", within(200, 2))


def vp_air(root: Path) -> None:
    for folder in ("queries", "reference_views"):
        images(root / folder, [f"{number:05d}.png" for number in range(1, 61)])
    images(root / "distractors", [f"d{number:05d}.png" for number in range(25)])


def vpr_bench(root: Path, database: int, queries: int, truth: list[list[int]]) -> None:
    images(root / "ref", [f"{number:07d}.jpg" for number in range(database)])
    images(root / "query", [f"{number:07d}.jpg" for number in range(queries)])
    save_objects(root / "ground_truth_new.npy", truth)
    (root / "ReadMe.txt").write_text("Please cite ...")


def seventeen_places(root: Path) -> None:
    vpr_bench(root, 406, 406, within(406, 5))
    save_objects(root / "my_ground_truth_new.npy", within(406, 2))


def corridor(root: Path) -> None:
    vpr_bench(root, 111, 111, within(111, 2))


def sped(root: Path) -> None:
    vpr_bench(root, 607, 607, within(607, 0))
    np.save(root / "ground_truth_new.npy", np.column_stack([np.arange(607.0)] * 2))


def nordland_vpr_bench(root: Path, reach: int = 1) -> None:
    vpr_bench(root, 130, 13, within(13, reach, every=10))


def nordland_patch_netvlad(root: Path, radius: float = 10.0) -> None:
    for side, season in (("index", "summer"), ("query", "winter")):
        names = [f"images-{7 * number:05d}.png" for number in range(100)]
        images(root / "nordland" / season, [*names, "images-99999.png"])
        (root / f"nordland_imageNames_{side}.txt").write_text("".join(f"./nordland/{season}/{name}\n" for name in names))
    frames = np.column_stack([np.arange(100.0), np.zeros(100)])
    np.savez(root / "nordland.npz", utmQ=frames, utmDb=frames, posDistThr=radius)


def stromovka(root: Path) -> None:
    for season in ("season_00", "season_01"):
        images(root / season, [f"{number:09d}.bmp" for number in range(30)])
        (root / season / "displacements.txt").write_text("".join(f"{number} 0\n" for number in range(30)))


MADE_SMALLER = {
    "baidu-mall": (100, 150),
    "nordland-patch-netvlad": (100, 100),
    "nordland-vpr-bench": (130, 13),
    "stromovka": (30, 30),
    "vp-air": (85, 60),
}
WRITERS: dict[str, Callable[[Path], None]] = {
    "17-places": seventeen_places,
    "baidu-mall": baidu_mall,
    "berlin-kudamm": berlin_kudamm,
    "corridor": corridor,
    "gardens-point": gardens_point,
    "gardens-point-day": gardens_point,
    "hawkins": hawkins,
    "laurel-caverns": laurel_caverns,
    "mid-atlantic-ridge": mid_atlantic_ridge,
    "nardo-air": nardo_air,
    "nardo-air-r": nardo_air,
    "nordland-patch-netvlad": nordland_patch_netvlad,
    "nordland-vpr-bench": nordland_vpr_bench,
    "oxford-robotcar": oxford_robotcar,
    "sped": sped,
    "stromovka": stromovka,
    "vp-air": vp_air,
}
# As published: images of the database, queries, and what is right for the query in the middle of those written here.
PUBLISHED = {
    "17-places": (406, 406, "right as listed, within 5 frames", range(203 - 5, 203 + 5 + 1)),
    "baidu-mall": (689, 2292, "right within 10 m in space", range(75 - 10, 75 + 10 + 1)),
    "berlin-kudamm": (314, 280, "right within 50 m", range(140 - 50, 140 + 50 + 1)),
    "corridor": (111, 111, "right as listed", range(55 - 2, 55 + 2 + 1)),
    "gardens-point": (200, 200, "right within 2 frames", range(100 - 2, 100 + 2 + 1)),
    "gardens-point-day": (200, 200, "right within 2 frames", range(100 - 2, 100 + 2 + 1)),
    "hawkins": (127, 118, "right within 8 m", range(59 - 8, 59 + 8 + 1)),
    "laurel-caverns": (141, 112, "right within 8 m", range(56 - 8, 56 + 8 + 1)),
    "mid-atlantic-ridge": (65, 101, "right as listed in eiffel_gt.npy, within 0.3 m", (25, 64)),
    "nardo-air": (102, 71, "right as the best 5 listed in gt_matches.csv", range(35 + 1, 35 + 5 + 1)),
    "nardo-air-r": (102, 71, "right as the best 5 listed in gt_matches.csv", range(35 + 1, 35 + 5 + 1)),
    "nordland-patch-netvlad": (27_592, 27_592, "right within 10 frames", range(50 - 10, 50 + 10 + 1)),
    "nordland-vpr-bench": (27_592, 2760, "right as listed, within 1 frame", range(60 - 1, 60 + 1 + 1)),
    "oxford-robotcar": (191, 191, "right within 25 m", range(95 - 25, 95 + 25 + 1)),
    "sped": (607, 607, "right as listed, within 0 frames", range(303, 303 + 1)),
    "stromovka": (500, 500, "right within 0 frames", range(15, 15 + 1)),
    "vp-air": (12_706, 2706, "right within 3 frames; 25 distractors never are", range(30 - 3, 30 + 3 + 1)),
}
QUERY_FOLDERS = {
    "baidu-mall": "query_images_undistort",
    "berlin-kudamm": "Query_resized",
    "gardens-point": "night_right",
    "gardens-point-day": "day_left",
    "hawkins": "q_images",
    "laurel-caverns": "q_images",
    "mid-atlantic-ridge": "q_images",
    "nardo-air": "query_images",
    "nardo-air-r": "query_images",
    "nordland-patch-netvlad": "nordland/winter",
    "oxford-robotcar": "oxDataPart/2-s",
    "stromovka": "season_01",
    "vp-air": "queries",
}
WITH_NAME_LISTS = ("berlin-kudamm", "oxford-robotcar", "nordland-patch-netvlad")
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
    """The catalogue with the counts of those copies that are written smaller than the benchmark."""
    entries = [
        replace(entry, database=MADE_SMALLER[entry.name][0], queries=MADE_SMALLER[entry.name][1])
        if entry.name in MADE_SMALLER
        else entry
        for entry in catalogue.KNOWN
    ]
    monkeypatch.setattr(catalogue, "KNOWN", tuple(entries))


@names
def test_counts_and_tolerances_are_the_published_ones(name: str, archive) -> None:
    database, queries, said, right = PUBLISHED[name]
    (entry,) = (entry for family in catalogue.FAMILIES for entry in family if entry.name == name)
    assert (entry.database, entry.queries) == (database, queries)
    dataset = datasets.load(name, root=archive(name))
    assert (len(dataset.database), len(dataset.queries)) == MADE_SMALLER.get(name, (database, queries))
    assert str(dataset.truth) == said
    assert dataset.positives()[len(dataset.queries) // 2].tolist() == list(right)
    assert all(record.path.is_file() for record in (*dataset.database, *dataset.queries))


@names
def test_one_missing_query_is_told_in_one_sentence(name: str, archive) -> None:
    folder = archive(name) / QUERY_FOLDERS.get(name, "query")
    victim = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png", ".bmp"))[7]
    victim.rename(victim.with_suffix(".away"))
    with pytest.raises(DatasetError, match=r"expected .*, found .*; get .*\.$"):
        datasets.load(name, root=archive(name))
    victim.with_suffix(".away").rename(victim)


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in WITH_NAME_LISTS])
def test_one_query_too_many_is_told_in_one_sentence(name: str, archive) -> None:
    folder = archive(name) / QUERY_FOLDERS.get(name, "query")
    last = max((path for path in folder.iterdir() if path.suffix in (".jpg", ".png", ".bmp")), key=lambda path: natural(path.name))
    words, number = re.fullmatch(r"(.*?)([0-9]+)", last.stem).groups()  # type: ignore[union-attr]
    extra = last.with_stem(f"{words}{int(number) + 1:0{len(number)}d}")
    extra.touch()
    with pytest.raises(DatasetError, match=r"expected .*found.*; get .*\.$"):
        datasets.load(name, root=archive(name))
    extra.unlink()


@names
def test_an_empty_and_a_missing_root_are_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"(expected|not found).*; get .*\.$"):
        datasets.load(name, root=tmp_path)
    with pytest.raises(DatasetError, match="there is no such folder; get "):
        datasets.load(name, root=tmp_path / "nowhere")


@names
def test_a_half_unpacked_archive_names_what_it_lacks(name: str, archive, tmp_path: Path) -> None:
    whole, half = archive(name), tmp_path / "half"
    half.mkdir()
    entries = sorted(whole.iterdir())
    for left_out in entries:
        for entry in entries:
            if entry != left_out:
                (half / entry.name).symlink_to(entry)
        if left_out.name not in ("ReadMe.txt", "my_ground_truth_new.npy", "gardens_gt.npy", "day_left", "night_right"):
            with pytest.raises(DatasetError, match=r"(expected|not found).*; get .*\.$"):
                datasets.load(name, root=half)
        for link in half.iterdir():
            link.unlink()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("17-places", "17places"),
        ("baidu-mall", "baidu_datasets"),
        ("gardens-point", "gardens"),
        ("hawkins", "hawkins_long_corridor"),
        ("laurel-caverns", "laurel_caverns"),
        ("mid-atlantic-ridge", "eiffel"),
        ("nardo-air", "test_40_midref_rot0"),
        ("nardo-air-r", "test_40_midref_rot90"),
        ("oxford-robotcar", "Oxford_Robotcar"),
        ("vp-air", "VPAir"),
    ],
)
def test_the_folder_above_is_as_good_a_root(name: str, folder: str, archive, tmp_path: Path) -> None:
    (tmp_path / folder).symlink_to(archive(name))
    assert datasets.load(name, root=tmp_path).queries[0].path.is_relative_to(tmp_path / folder)


def test_images_are_in_the_order_of_their_numbers(archive) -> None:
    for name in ("mid-atlantic-ridge", "nardo-air", "17-places", "vp-air", "hawkins"):
        dataset = datasets.load(name, root=archive(name))
        assert [int(record.path.stem.strip("image")) for record in dataset.database[:12]] == list(
            range(int(name == "vp-air"), 12 + int(name == "vp-air"))
        )


def test_caverns_are_placed_by_the_order_of_their_images_whatever_their_numbers(tmp_path: Path) -> None:
    hawkins(tmp_path)
    for number in range(127, 245):
        (tmp_path / "q_images" / f"{number}.png").rename(tmp_path / "q_images" / f"image{number - 127}.png")
    dataset = datasets.load("hawkins", root=tmp_path)
    assert [record.path.name for record in dataset.queries[9:11]] == ["image9.png", "image10.png"]
    assert [record.position for record in dataset.queries] == [LocalPoint(float(number), 3.0) for number in range(118)]
    (tmp_path / "q_images" / "image7.png").unlink()
    with pytest.raises(DatasetError, match="expected 118 images in q_images, found 117; get "):
        datasets.load("hawkins", root=tmp_path)


def test_a_missing_image_of_a_cavern_is_named_where_names_carry_the_rows(tmp_path: Path) -> None:
    laurel_caverns(tmp_path)
    (tmp_path / "q_images" / "300.png").unlink()
    with pytest.raises(DatasetError, match=r"expected 112 images in q_images, found 111 \(300 is missing\); get "):
        datasets.load("laurel-caverns", root=tmp_path)


@pytest.mark.parametrize(
    ("folder", "found"),
    [("queries", "59 and 60 .frame 8 is missing in queries"), ("reference_views", "60 and 59 .frame 8 is missing in reference")],
)
def test_a_frame_of_vp_air_is_missing_where_it_is_missing(folder: str, found: str, tmp_path: Path) -> None:
    vp_air(tmp_path)
    (tmp_path / folder / "00008.png").unlink()
    with pytest.raises(DatasetError, match=f"expected the same frames in queries and reference_views, found {found}"):
        datasets.load("vp-air", root=tmp_path)


def test_a_frame_of_stromovka_besides_is_named(tmp_path: Path) -> None:
    stromovka(tmp_path)
    (tmp_path / "season_01" / "000000030.bmp").touch()
    with pytest.raises(DatasetError, match="expected 30 images in season_01, 0 to 29, found an image 30 besides; get "):
        datasets.load("stromovka", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"), [("nardo-air", "gt_matches.csv"), ("nordland-patch-netvlad", "nordland_imageNames_query.txt")]
)
def test_damaged_text_is_told_in_one_sentence(name: str, file: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    (tmp_path / file).write_bytes(b"a\xff" + (tmp_path / file).read_bytes())
    with pytest.raises(DatasetError, match=f"expected text in {file}, found a byte that is none, number 1 .*; get "):
        datasets.load(name, root=tmp_path)


def test_a_damaged_table_is_told_in_one_sentence(tmp_path: Path) -> None:
    nardo_air(tmp_path)
    (tmp_path / "gt_matches.csv").write_text("query_ind\n" + "1" * 200_000)
    with pytest.raises(DatasetError, match=r"expected a table in gt_matches\.csv, found a damaged one .*; get "):
        datasets.load("nardo-air", root=tmp_path)


def test_caverns_are_placed_by_the_rows_of_their_places(archive) -> None:
    dataset = datasets.load("laurel-caverns", root=archive("laurel-caverns"))
    assert dataset.queries[0].path.name == "229.png"
    assert dataset.queries[5].position == LocalPoint(5.0, 3.0)


def test_the_other_hawkins_is_not_taken_for_it(tmp_path: Path) -> None:
    poses(tmp_path, range(76), range(76, 151), 314)
    with pytest.raises(DatasetError, match=r"expected 127 images in db_images, found 76"):
        datasets.load("hawkins", root=tmp_path)


def test_one_nardo_air_is_not_taken_for_the_other(archive, tmp_path: Path) -> None:
    root = tmp_path / "test_40_midref_rot90"
    root.mkdir()
    nardo_air(root)
    assert len(datasets.load("nardo-air-r", root=root).queries) == 71
    with pytest.raises(DatasetError, match="expected the folder test_40_midref_rot0, found test_40_midref_rot90"):
        datasets.load("nardo-air", root=root)


@pytest.mark.parametrize(
    ("line", "said"),
    [("query_ind,top_1_ref_ind", "top_2_ref_ind"), ("query_ind," + ",".join(f"top_{i}_ref_ind" for i in range(1, 6)), "one row")],
)
def test_a_list_of_matches_that_is_not_whole_is_refused(line: str, said: str, tmp_path: Path) -> None:
    nardo_air(tmp_path)
    (tmp_path / "gt_matches.csv").write_text(f"{line}\n0,1,2,3,4,5\n0,1,2,3,4,5\n")
    with pytest.raises(DatasetError, match=said):
        datasets.load("nardo-air", root=tmp_path)


def test_a_camera_centre_of_two_numbers_is_refused(tmp_path: Path) -> None:
    for side in ("training", "query"):
        images(tmp_path / f"{side}_images_undistort", ["a.jpg"])
        (tmp_path / f"{side}_gt").mkdir()
        (tmp_path / f"{side}_gt" / "a.camera").write_text("0 0 0\n" * 7 + "1 2\n0 0\n")
    with pytest.raises(DatasetError, match="three numbers in the eighth, found 9 lines and 2 numbers"):
        datasets.load("baidu-mall", root=tmp_path)


def test_a_radius_of_the_file_is_printed_where_it_is_another(archive) -> None:
    assert "oxdatapart.mat itself names 10 m" in datasets.load("oxford-robotcar", root=archive("oxford-robotcar")).protocol
    assert "itself names" not in datasets.load("berlin-kudamm", root=archive("berlin-kudamm")).protocol


def test_distractors_come_last_and_are_never_right(archive) -> None:
    dataset = datasets.load("vp-air", root=archive("vp-air"))
    assert [record.path.parent.name for record in dataset.database[59:61]] == ["reference_views", "distractors"]
    assert dataset.positives()[59].tolist() == [56, 57, 58, 59]


def reloaded(name: str, write: Callable[[Path], None], root: Path) -> Dataset:
    write(root)
    return datasets.load(name, root=root)


@pytest.mark.parametrize("reach", [2, 4, 6, 15])
def test_another_ground_truth_of_17_places_is_refused(reach: int, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=f"expected a ground truth within 5 frames, found one that reaches {reach}; get 17places"
    ):
        reloaded("17-places", lambda root: vpr_bench(root, 406, 406, within(406, reach)), tmp_path)


def test_other_protocols_of_nordland_and_sped_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="within 1 frames, found one that reaches 2"):
        reloaded("nordland-vpr-bench", lambda root: nordland_vpr_bench(root, reach=2), tmp_path / "a")
    with pytest.raises(DatasetError, match="within 10 frames, found one that reaches 9"):
        reloaded("nordland-patch-netvlad", lambda root: nordland_patch_netvlad(root, radius=9.5), tmp_path / "b")
    with pytest.raises(DatasetError, match="within 0 frames, found one that reaches 1"):
        reloaded("sped", lambda root: vpr_bench(root, 607, 607, within(607, 1)), tmp_path / "c")


def test_a_ground_truth_for_other_queries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected rows 0 to 110 in ground_truth_new\.npy, one for each query, found 112 rows"):
        reloaded("corridor", lambda root: vpr_bench(root, 111, 111, within(112, 2)), tmp_path)


def test_a_ground_truth_for_another_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"lists rows 110 to 111"):
        reloaded("corridor", lambda root: vpr_bench(root, 111, 111, [[110, 111]] * 111), tmp_path).positives()


def test_vpr_bench_is_also_read_from_lists_of_names(tmp_path: Path) -> None:
    for side, folder in (("db", "ref"), ("q", "query")):
        images(tmp_path / folder, [f"{number}.jpg" for number in range(607)])
        np.save(tmp_path / f"SPED_{side}Images.npy", np.array([f"{folder}/{number}.jpg" for number in reversed(range(607))]))
    np.save(tmp_path / "SPED_gt.npy", np.arange(607)[:, None])
    dataset = datasets.load("sped", root=tmp_path)
    assert dataset.queries[0].path == tmp_path / "query" / "606.jpg"
    assert dataset.positives()[9].tolist() == [9]
    (tmp_path / "query" / "33.jpg").unlink()
    with pytest.raises(DatasetError, match=r"found 606 \(query/33.jpg is missing\)"):
        datasets.load("sped", root=tmp_path)


def test_lists_of_patch_netvlad_may_lie_where_its_repository_has_them(tmp_path: Path) -> None:
    nordland_patch_netvlad(tmp_path)
    for folder, pattern in (("dataset_imagenames", "*.txt"), ("dataset_gt_files", "*.npz")):
        (tmp_path / folder).mkdir()
        for path in tmp_path.glob(pattern):
            path.rename(tmp_path / folder / path.name)
    assert len(datasets.load("nordland-patch-netvlad", root=tmp_path).queries) == 100


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"utmQ": np.zeros((100, 2)), "utmDb": np.zeros((100, 2))}, "expected posDistThr in nordland.npz"),
        ({"utmQ": np.zeros((100, 2)), "utmDb": np.zeros((99, 2)), "posDistThr": 10.0}, r"expected 100 points.*\(99, 2\)"),
    ],
)
def test_points_that_do_not_match_their_names_are_refused(arrays: dict, said: str, tmp_path: Path) -> None:
    nordland_patch_netvlad(tmp_path)
    np.savez(tmp_path / "nordland.npz", **arrays)
    with pytest.raises(DatasetError, match=said):
        datasets.load("nordland-patch-netvlad", root=tmp_path)


@pytest.mark.data
def test_the_real_gardens_point_is_whole_in_both_protocols(data_folder: Path) -> None:
    for name, queries in (("gardens-point", "night_right"), ("gardens-point-day", "day_left")):
        for root in (data_folder / "gardens_point", data_folder):
            dataset = datasets.load(name, root=root)
            assert {record.path.parent.name for record in dataset.queries} == {queries}
            assert (len(dataset.queries), len(dataset.database)) == (200, 200)
            assert sum(len(rows) for rows in dataset.positives()) == 200 * 5 - 6
