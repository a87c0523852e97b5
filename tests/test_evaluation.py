"""evaluate(): against brute force, under its protocol, and where an image is broken."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sameplace import datasets, evaluate
from sameplace.errors import DatasetError
from test_datasets import folder, photo


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
    with pytest.raises(DatasetError, match=r"1 of 24 images .* cannot be read.*03\.png"):
        evaluate(tiny_describer, datasets.load(town))


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


def test_frames_have_no_median_error(tiny_describer, tmp_path: Path) -> None:
    from sameplace.datasets import Dataset, WithinFrames
    from sameplace.images import ImageRecord

    walk = tuple(ImageRecord(path=photo(tmp_path / f"{number}.png", seed=number)) for number in range(6))
    report = evaluate(tiny_describer, Dataset(name="walk", database=walk, queries=walk, truth=WithinFrames(0)), recall_at=(1,))
    assert report.median_error_m is None
    assert report.recall == {1: 1.0}


@pytest.mark.data
def test_gardens_point_by_night_is_recognised_off_the_shelf(data_folder: Path) -> None:
    """The least that untrained models must reach; docs/experiments.md has the figures."""
    from sameplace import models

    for model, least in (("efficientnet-lite0-vlad", 0.65), ("vgg16-vlad", 0.75)):
        dataset = datasets.load("gardens-point", root=data_folder / "gardens_point")
        assert evaluate(models.describer(model), dataset).recall[1] >= least
