"""evaluate(): against brute force, under its protocol, and where an image is broken."""

import json
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from sameplace import datasets, describe, evaluate, models
from sameplace.cli.app import run
from sameplace.datasets import Dataset, LeaveOut, Relevant, WithinFrames, WithinMetres, WithinMetresOf
from sameplace.datasets.printed import PRINTED
from sameplace.errors import DatasetError
from sameplace.evaluation import Report, compare, retrieval, score, scoring, table
from sameplace.evaluation.provenance import fingerprint as fingerprint_of
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord, View
from sameplace.measures import average_precision, bootstrap
from test_datasets import folder

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "schema" / "evaluate.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of a fifth of the resamples will do here: `test_measures` has the others."""
    monkeypatch.setattr(scoring, "bootstrap", partial(bootstrap, resamples=200))


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Twelve places 20 m apart; each query is its database photo with noise, some of them more than the descriptor can bear."""
    rng = np.random.default_rng(0)
    columns = "file,x_m,y_m"
    rows = {"database": [], "queries": []}
    for number in range(12):
        pixels = rng.integers(0, 255, (8, 8, 3))
        for part, noise in (("database", 0), ("queries", 5 + 60 * number)):
            path = tmp_path / part / f"{number:02d}.png"
            path.parent.mkdir(exist_ok=True)
            noisy = (pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).resize((32, 32), Image.Resampling.NEAREST).save(path)
            rows[part].append(f"{number:02d}.png,{20 * number},0")
    for part, lines in rows.items():
        (tmp_path / part / "positions.csv").write_text("\n".join([columns, *lines]))
    return tmp_path


def test_recall_is_what_brute_force_counts(town: Path, tiny_describer) -> None:
    dataset = datasets.load(town, radius=15.0)
    report = evaluate(tiny_describer, dataset, recall_at=(1, 3))
    from sameplace.images import read_image

    def described(images):
        return tiny_describer.describe(np.stack([read_image(image.path, tiny_describer.size) for image in images]))

    order = np.argsort(-(described(dataset.queries) @ described(dataset.database).T), axis=1)
    for top in (1, 3):
        hits = [abs(20 * number - 20 * row) <= 15 for number, rows in enumerate(order) for row in rows[:top]]
        assert report.recall[top] == pytest.approx(np.mean(np.reshape(hits, (12, top)).any(axis=1)))
    assert 0 < report.recall[1] < 1
    assert report.median_error_m == pytest.approx(np.median([abs(20 * n - 20 * rows[0]) for n, rows in enumerate(order)]), abs=1e-6)


def test_what_a_query_must_do_without_is_never_counted(tmp_path: Path, tiny_describer) -> None:
    """Alone, every photo would find itself; left out, the two that stand together find each other, and the third nothing."""
    folder(tmp_path, ["a.jpg,0,0", "b.jpg,3,0", "c.jpg,500,0"])
    report = evaluate(tiny_describer, datasets.load(tmp_path), recall_at=(1, 2))
    assert report.answerable == 2
    assert report.recall[2] == pytest.approx(2 / 3)
    assert report.recall_answerable == {1: pytest.approx(report.recall[1] * 3 / 2), 2: 1.0}


def test_recall_deeper_than_the_database_counts_all_of_it(town: Path, tiny_describer) -> None:
    assert evaluate(tiny_describer, datasets.load(town), recall_at=(100,)).recall == {100: 1.0}


def test_an_unreadable_image_is_an_error_and_not_another_figure(town: Path, tiny_describer) -> None:
    (town / "queries" / "03.png").write_bytes((town / "queries" / "03.png").read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"1 of 24 images of .* cannot be read, get them again: .*03\.png"):
        evaluate(tiny_describer, datasets.load(town))


def test_an_unreadable_image_of_a_benchmark_says_where_to_get_it(town: Path, tiny_describer) -> None:
    (town / "queries" / "03.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"1 of 24 images of gardens-point cannot be read; get day_left.*03\.png"):
        evaluate(tiny_describer, replace(datasets.load(town), name="gardens-point"))


def test_an_evaluation_of_nothing_is_refused(walk: Dataset, tiny_describer) -> None:
    with pytest.raises(DatasetError, match="0 queries and 40 database images"):
        evaluate(tiny_describer, replace(walk, queries=()))
    with pytest.raises(ValueError, match="1 or more"):
        evaluate(tiny_describer, walk, recall_at=())


def test_the_report_is_the_contract(town: Path, tiny_describer, tmp_path: Path) -> None:
    report = evaluate(tiny_describer, datasets.load(town))
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert {"model", "dataset", "protocol", "database", "queries", "answerable", "recall", "descriptor", "seconds"} <= saved.keys()
    assert list(saved["recall"]) == ["1", "5", "10", "20"]
    assert (saved["database"], saved["queries"], saved["descriptor"], saved["model"]) == (12, 12, 192, "tiny")
    low, high = saved["recall_interval_95"]["1"]
    assert low <= saved["recall"]["1"] <= high


def test_a_printed_figure_carries_its_protocol_and_denominator(town: Path, tiny_describer) -> None:
    printed = str(evaluate(tiny_describer, datasets.load(town, radius=15.0)))
    for part in ("right within 15 m", "12 queries", "95 % interval", "all queries", "tiny (192 numbers)"):
        assert part in printed


def pictures(folder: Path, count: int, noise: float, first: int = 0) -> tuple[ImageRecord, ...]:
    """Pictures of places, the same for the same number but for the noise."""
    records = []
    folder.mkdir()
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3))
        noisy = pixels + np.random.default_rng((number, 1)).normal(0, noise, pixels.shape)
        path = folder / f"{number:03d}.png"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).resize((32, 32), Image.Resampling.NEAREST).save(path)
        records.append(ImageRecord(path=path))
    return tuple(records)


@pytest.fixture
def walk(tmp_path: Path) -> Dataset:
    """Forty frames, found again through so much noise that some are not."""
    database, queries = pictures(tmp_path / "day", 40, 0.0), pictures(tmp_path / "night", 40, 300.0)
    return Dataset(name="walk", database=database, queries=queries, truth=WithinFrames(1))


def similarities(dataset: Dataset, describer) -> np.ndarray:
    """Of every query to every database image, by another way than the search."""
    queries, database = (
        np.concatenate([batch.descriptors for batch in describe(list(sources), describer)])
        for sources in (dataset.query_sources, dataset.database_sources)
    )
    return queries @ database.T


def test_frames_have_no_median_error(walk: Dataset, tiny_describer) -> None:
    report = evaluate(tiny_describer, walk, recall_at=(1,))
    assert report.median_error_m is report.located is report.mean_average_precision is None
    assert 0.2 < report.recall[1] < 0.9


def test_everything_about_first_matches_is_what_brute_force_finds(walk: Dataset, tiny_describer) -> None:
    outcome = score(tiny_describer, walk, recall_at=(1, 2))
    similar = similarities(walk, tiny_describer)
    best = similar.argmax(axis=1)
    right = np.abs(best - np.arange(40)) <= 1
    answers = outcome.report.answers
    assert [rows[0] for rows in outcome.retrieved] == best.tolist()
    assert (outcome.first == 0).tolist() == right.tolist()
    assert answers.confidence == pytest.approx(similar.max(axis=1), abs=1e-6)
    order = np.argsort(-similar.max(axis=1))
    found = np.cumsum(right[order])
    assert outcome.report.precision_recall_area == pytest.approx((found / np.arange(1, 41))[right[order]].sum() / 40)
    errors = np.flatnonzero(~right[order])
    assert outcome.report.recall_at_full_precision == pytest.approx(errors[0] / 40)
    assert outcome.report.curve().recall[-1] == pytest.approx(outcome.report.recall_answerable[1])


def test_the_recall_curve_goes_on_beyond_what_was_asked(walk: Dataset, tiny_describer) -> None:
    report = evaluate(tiny_describer, walk, recall_at=(1, 5))
    curve = report.recall_curve()
    assert {top: curve[top] for top in (1, 5)} == report.recall
    assert curve[100] == 1.0


def test_mean_average_precision_is_that_of_the_whole_ranking_without_junk(walk: Dataset, tiny_describer) -> None:
    good = (*(np.array([query, (query + 7) % 40]) for query in range(39)), np.array([], np.int64))
    junk = tuple(np.array([(query + 3) % 40]) for query in range(40))
    dataset = replace(walk, truth=Relevant(good, junk, "as listed"))
    outcome = score(tiny_describer, dataset, recall_at=(1,))
    rankings = np.argsort(-similarities(dataset, tiny_describer), axis=1, kind="stable")
    expected = [average_precision(rankings[query], good[query], junk[query]) for query in range(39)]
    assert outcome.report.mean_average_precision == pytest.approx(np.mean(expected))
    assert outcome.report.answerable == 39
    assert all(not np.isin(rows, out).any() for rows, out in zip(outcome.retrieved, junk, strict=True))
    low, high = outcome.report.bootstrap["mean_average_precision"]
    assert low < outcome.report.mean_average_precision < high
    assert "Mean average precision" in str(outcome.report)


def test_a_query_that_is_in_the_database_is_no_help(tmp_path: Path, tiny_describer) -> None:
    """As in Holidays: the query is its own best match, and its ranking is scored without it."""
    images = pictures(tmp_path / "jpg", 5, 0.0)
    everything = tuple(np.array([row]) for row in range(5))
    others = tuple(np.array([(row + 1) % 5]) for row in range(5))
    dataset = Dataset(name="holiday", database=images, queries=images, truth=Relevant(others, everything, "as listed"))
    outcome = score(tiny_describer, dataset, recall_at=(1,))
    assert all(row not in rows for row, rows in enumerate(outcome.retrieved))
    similar = similarities(dataset, tiny_describer)
    np.fill_diagonal(similar, -2)
    ranks = [int((similar[row] > similar[row, (row + 1) % 5]).sum()) for row in range(5)]
    by_hand = [((0 if rank else 1) + 1 / (rank + 1)) / 2 for rank in ranks]
    assert outcome.report.mean_average_precision == pytest.approx(np.mean(by_hand))


def test_only_the_best_image_of_each_panorama_counts(tmp_path: Path, tiny_describer) -> None:
    database = tuple(
        replace(image, panorama=f"panorama {number // 4}" if number < 36 else None)
        for number, image in enumerate(pictures(tmp_path / "tiles", 40, 0.0))
    )
    queries = pictures(tmp_path / "queries", 40, 300.0)
    truth = WithinFrames(0)
    plain = Dataset(name="tiles", database=database, queries=queries, truth=truth)
    outcome = score(tiny_describer, replace(plain, one_per_panorama=True), recall_at=(1, 3))
    rankings = np.argsort(-similarities(plain, tiny_describer), axis=1, kind="stable")
    for query, ranking in enumerate(rankings):
        seen, kept = set(), []
        for row in ranking.tolist():
            panorama = row // 4 if row < 36 else -row
            if panorama not in seen:
                seen.add(panorama)
                kept.append(row)
        assert outcome.retrieved[query].tolist() == kept
        assert len(kept) == 13
    assert "the best image of each panorama counts" in outcome.report.protocol


def test_a_view_is_described_and_not_its_photo(walk: Dataset, tiny_describer) -> None:
    """Queries that are turned are recognised once the views turn them back."""
    turned = []
    for query in walk.queries:
        path = query.path.with_name(f"turned-{query.path.name}")
        Image.fromarray(np.rot90(np.array(Image.open(query.path)), -1)).save(path)
        turned.append(replace(query, path=path))
    lost = replace(walk, queries=tuple(turned))
    found = replace(lost, query_views=tuple(View(path=query.path, turns=1) for query in turned))
    assert evaluate(tiny_describer, found, (1,)).recall == evaluate(tiny_describer, walk, (1,)).recall
    assert evaluate(tiny_describer, lost, (1,)).recall[1] < 0.2


def test_errors_are_metres_to_the_first_match(town: Path, tiny_describer) -> None:
    outcome = score(tiny_describer, datasets.load(town, radius=15.0))
    errors = [abs(20 * query - 20 * rows[0]) for query, rows in enumerate(outcome.retrieved)]
    assert outcome.report.answers.error_m == pytest.approx(errors)
    assert outcome.report.located == {m: pytest.approx(np.mean(np.array(errors) <= m)) for m in (5.0, 10.0, 25.0)}
    space = WithinMetresOf(15.0, *(np.array([(20.0 * n, 0.0, 0.0) for n in range(12)]) for _ in range(2)))
    dataset = datasets.load(town)
    without = [tuple(replace(image, position=None) for image in part) for part in (dataset.database, dataset.queries)]
    bare = Dataset(name="town", database=without[0], queries=without[1], truth=space)
    assert evaluate(tiny_describer, bare).median_error_m == outcome.report.median_error_m


def test_a_query_that_may_find_nothing_is_a_miss_without_a_distance(tmp_path: Path, tiny_describer) -> None:
    images = [replace(image, position=LocalPoint(0.0, 0.0)) for image in pictures(tmp_path / "set", 3, 0.0)]
    database = tuple(replace(image, panorama="one") for image in images[:2])
    queries = (replace(images[2], panorama="one"),)
    dataset = Dataset(name="one", database=database, queries=queries, truth=WithinMetres(25.0), left_out=LeaveOut(panorama=True))
    report = evaluate(tiny_describer, dataset, (1,))
    assert (report.recall, report.recall_answerable, report.answerable) == ({1: 0.0}, None, 0)
    assert report.median_error_m is report.precision_recall_area is report.recall_at_full_precision is None
    jsonschema.validate(report.to_json(), SCHEMA)
    assert "recall@1" in str(report)


def test_a_search_in_pieces_finds_the_same(walk: Dataset, tiny_describer, monkeypatch) -> None:
    dataset = replace(walk, truth=Relevant(*(tuple(np.array([row]) for row in range(40)),) * 2, "as listed"))
    other = replace(walk, truth=Relevant(walk.positives(), walk.junk(), "as listed"))
    for one in (dataset, other):
        whole = score(tiny_describer, one)
        with monkeypatch.context() as patch:
            patch.setattr(retrieval, "QUERIES_AT_ONCE", 7)
            patch.setattr(retrieval, "SIMILARITIES_AT_ONCE", 90)
            pieces = score(tiny_describer, one)
        assert [rows.tolist() for rows in pieces.retrieved] == [rows.tolist() for rows in whole.retrieved]
        assert pieces.first.tolist() == whole.first.tolist()
        assert pieces.report.answers.confidence == pytest.approx(whole.report.answers.confidence, abs=1e-6)
        assert pieces.report.answers.average_precision == pytest.approx(whole.report.answers.average_precision, nan_ok=True)


def test_what_a_cache_remembers_is_not_described_again(walk: Dataset, tiny_describer) -> None:
    asked = []

    class Remembering:
        def describe(self, sources, describer, *, workers=None, progress=None):
            asked.append(list(sources))
            return describe(sources, describer, workers=workers, progress=progress)

    report = evaluate(tiny_describer, walk, cache=Remembering())
    assert asked == [[*walk.database_sources, *walk.query_sources]]
    assert report.recall == evaluate(tiny_describer, walk).recall


def test_intervals_repeat_themselves_and_hold_the_figure(walk: Dataset, tiny_describer) -> None:
    report, again = (evaluate(tiny_describer, walk) for _ in range(2))
    assert report.bootstrap == again.bootstrap
    assert report.bootstrap != evaluate(tiny_describer, walk, rng=np.random.default_rng(1)).bootstrap
    assert set(report.bootstrap) == {*(f"recall@{n}" for n in (1, 5, 10, 20)), "precision_recall_area", "recall_at_full_precision"}
    low, high = report.bootstrap["recall@1"]
    assert low < report.recall[1] < high
    assert (low, high) == pytest.approx(report.interval[1], abs=0.06)


def test_a_fingerprint_is_of_names_sizes_and_truth_but_not_of_the_place(town: Path, tmp_path_factory) -> None:
    def fingerprint(where: Path, radius: float = 25.0) -> str:
        dataset = datasets.load(where, radius=radius)
        return fingerprint_of(dataset, retrieval.Rules.of(dataset))

    before = fingerprint(town)
    town = town.rename(tmp_path_factory.mktemp("elsewhere") / "town")
    assert fingerprint(town) == before
    assert fingerprint(town, radius=15.0) != before
    first = town / "queries" / "00.png"
    first.write_bytes(first.read_bytes() + b"\0")
    grown = fingerprint(town)
    assert grown != before
    (town / "queries" / "11.png").rename(town / "queries" / "12.png")
    positions = town / "queries" / "positions.csv"
    positions.write_text(positions.read_text().replace("11.png", "12.png"))
    assert fingerprint(town) not in (before, grown)


def test_a_fingerprint_takes_relative_and_absolute_paths_for_the_same(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(town.parent)
    absolute = datasets.load(town)
    nearby = [replace(query, path=query.path.relative_to(town.parent)) for query in absolute.queries]
    mixed = replace(absolute, queries=tuple(nearby))
    assert not mixed.queries[0].path.is_absolute()
    rules = retrieval.Rules.of(absolute)
    assert fingerprint_of(mixed, rules) == fingerprint_of(absolute, rules)


def test_a_saved_report_is_read_back_and_valid(town: Path, tiny_describer, tmp_path: Path) -> None:
    report = replace(evaluate(tiny_describer, datasets.load(town)), command="sameplace evaluate tiny town")
    report.save(tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    jsonschema.validate(json.loads(text), SCHEMA)
    again = Report.open(tmp_path / "report.json")
    assert again == report
    assert again.to_json() == report.to_json()
    assert again.answers.to_json() == report.answers.to_json()
    assert compare(again, report).p_value == 1.0
    assert max(map(len, text.splitlines())) > 60  # a list is one line


@pytest.mark.parametrize("name", PRINTED)
def test_a_printed_figure_is_a_whole_number_of_the_protocols_queries(name: str) -> None:
    """What fails here is a count, or a figure, of another protocol."""
    (queries,) = (entry.queries for entry in datasets.known() if entry.name == name)
    hits = round(PRINTED[name].recall_at_1 * queries)
    assert round(hits / queries, 4) == PRINTED[name].recall_at_1


def test_a_benchmarks_figure_stands_beside_what_is_printed_for_it(walk: Dataset, tiny_describer) -> None:
    report = evaluate(tiny_describer, walk, (1,))
    assert report.to_json()["printed"] is None
    benchmark = replace(report, dataset="gardens-point", database=200, queries=200)
    assert "tables print a recall@1 of 58.5 % here for NetVLAD on ResNet-18" in str(benchmark)
    assert replace(benchmark, queries=199).printed is None


def test_a_file_that_is_no_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"is no saved report .*write one with `sameplace evaluate --save`"):
        Report.open(tmp_path / "no.json")


def test_a_report_tells_where_it_comes_from(town: Path, tiny_describer) -> None:
    told = evaluate(tiny_describer, datasets.load(town)).to_json()
    assert told["libraries"]["numpy"] == np.__version__
    assert told["hardware"]["cores"] >= 1
    assert (told["size"], told["identity"], told["runtime"], told["precision"]) == ([32, 32], "tiny-1", "numpy", "float32")
    assert told["version"]


def test_tables_carry_the_protocol_in_every_row(walk: Dataset, town: Path, tiny_describer) -> None:
    frames, metres = evaluate(tiny_describer, walk, (1, 5)), evaluate(tiny_describer, datasets.load(town), (1,))
    head, rule, *rows = table.markdown([frames, metres]).splitlines()
    assert all(line.count("|") == head.count("|") for line in (rule, *rows))
    assert [("right within 1 frames" in row, "right within 25 m" in row) for row in rows] == [(True, False), (False, True)]
    low, high = frames.interval[1]
    assert f"| {100 * frames.recall[1]:.1f} ({100 * low:.1f} - {100 * high:.1f}) |" in rows[0]
    assert "| 12 (12) / 12 |" in rows[1]
    assert "| - |" in rows[1]
    assert frames.to_markdown().splitlines()[2] == table.markdown([frames]).splitlines()[2]
    with pytest.raises(ValueError, match="at least one"):
        table.markdown([])


def test_latex_and_markdown_are_escaped(walk: Dataset, tiny_describer) -> None:
    report = evaluate(tiny_describer, replace(walk, name="a_b|c & 5 %"), (1,))
    assert r"a\_b|c \& 5 \% &" in report.to_latex()
    assert r"\begin{tabular}{llrrrrl}" in report.to_latex()
    assert r"| a_b\|c & 5 % |" in report.to_markdown()


class Dim:
    """The tiny describer with its eyes half closed: it sees the upper half of a photo."""

    name, identity, dim, size, runtime, precision = "dim", "dim-1", 192, (32, 32), "numpy", "float32"

    def __init__(self, describer) -> None:
        self.describer = describer

    def describe(self, images):
        return self.describer.describe(np.concatenate([images[:, :16], images[:, :16]], axis=1))


def test_two_models_are_compared_query_by_query(walk: Dataset, tiny_describer) -> None:
    tiny, dim = (evaluate(describer, walk) for describer in (tiny_describer, Dim(tiny_describer)))
    comparison = compare(tiny, dim)
    hits = [np.abs(similarities(walk, one).argmax(axis=1) - np.arange(40)) <= 1 for one in (tiny_describer, Dim(tiny_describer))]
    counted = [sum(one == a and other == b for one, other in zip(*hits, strict=True)) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert [comparison.both, comparison.only_first, comparison.only_second, comparison.neither] == counted
    assert comparison.p_value == pytest.approx(binomtest(counted[1], counted[1] + counted[2]).pvalue)
    assert comparison.difference == {"recall@1": pytest.approx(tiny.recall[1] - dim.recall[1])}
    low, high = comparison.interval["recall@1"]
    assert low < comparison.difference["recall@1"] < high
    deviation = np.std(hits[0].astype(float) - hits[1]) / np.sqrt(40)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    swapped = compare(dim, tiny)
    assert (swapped.p_value, swapped.difference["recall@1"]) == (comparison.p_value, -comparison.difference["recall@1"])
    for part in ("tiny against dim on walk", "percentage points", "p = ", "right within 1 frames"):
        assert part in str(comparison)


def test_retrieval_is_compared_by_mean_average_precision_too(walk: Dataset, tiny_describer) -> None:
    some = tuple(np.array([query] if query % 4 else [], np.int64) for query in range(40))
    dataset = replace(walk, truth=Relevant(some, walk.junk(), "as listed"))
    one, other = (evaluate(describer, dataset) for describer in (tiny_describer, Dim(tiny_describer)))
    difference = compare(one, other).difference["mean_average_precision"]
    assert difference == pytest.approx(one.mean_average_precision - other.mean_average_precision)


def test_models_on_different_data_are_not_compared(walk: Dataset, tiny_describer) -> None:
    report = evaluate(tiny_describer, walk)
    other = evaluate(tiny_describer, replace(walk, truth=WithinFrames(2)))
    with pytest.raises(DatasetError, match="evaluate both models on the same files"):
        compare(report, other)


@pytest.fixture
def typed(town: Path, tiny_describer, monkeypatch) -> list[str]:
    """A command line that evaluates one model; the other one is dim."""
    baseline = sorted(models.published(), key=lambda model: model.name)[0].name
    chosen = {baseline: tiny_describer, "thumbnails": Dim(tiny_describer)}
    monkeypatch.setattr("sameplace.evaluation.baselines.contender", lambda name, dataset: chosen[name])
    return ["evaluate", baseline, str(town), "--radius", "15"]


def test_the_command_line_compares_and_saves(typed: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    saved = tmp_path / "saved.json"
    command = [*typed, "--against", "thumbnails", "--save", str(saved), "--json"]
    monkeypatch.setattr("sys.argv", ["sameplace", *command])
    assert run(command) == 0
    printed = json.loads(capsys.readouterr().out)
    for told in (printed, json.loads(saved.read_text())):
        jsonschema.validate(told, SCHEMA)
        assert (told["model"], told["against"]["model"]) == ("tiny", "dim")
        assert told["comparison"]["p_value"] <= 1
    assert Report.open(saved).recall[1] == printed["recall"]["1"]
    assert shlex.split(printed["command"]) == ["sameplace", *command]


@pytest.mark.parametrize(("flag", "sign"), [("--markdown", "| dataset | model |"), ("--latex", r"\toprule")])
def test_the_command_line_prints_tables_with_both_models(typed: list[str], flag: str, sign: str, capsys) -> None:
    assert run([*typed, flag, "--against", "thumbnails", "--no-cache"]) == 0
    printed = capsys.readouterr().out
    assert sign in printed
    assert printed.count("right within 15 m") == 2
    assert "tiny against dim" in printed


def test_the_command_line_answers_in_one_form(typed: list[str], capsys) -> None:
    assert run([*typed, "--markdown", "--json"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_the_command_line_describes_no_photo_twice(typed: list[str], tiny_describer, monkeypatch, capsys) -> None:
    assert run([*typed, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(type(tiny_describer), "describe", lambda self, images: pytest.fail("described again"))
    assert run([*typed, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recall"] == first["recall"]


@pytest.mark.data
def test_gardens_point_by_night_is_recognised_off_the_shelf(data_folder: Path) -> None:
    """The least that untrained models must reach; docs/experiments.md has the figures."""
    from sameplace import models

    for model, least in (("efficientnet-lite0-vlad", 0.65), ("vgg16-vlad", 0.75)):
        dataset = datasets.load("gardens-point", root=data_folder / "gardens_point")
        assert evaluate(models.describer(model), dataset).recall[1] >= least
