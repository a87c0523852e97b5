"""Evaluate models and baselines, write results/*.json, and from these files the tables of README.md and docs/results.md.

    SAMEPLACE_DATA=PHOTOS python scripts/results.py
    SAMEPLACE_DATA=PHOTOS python scripts/results.py --models vgg16-vlad thumbnails --datasets gardens-point
    python scripts/results.py --tables

PHOTOS is the folder that holds the datasets. Nothing is taken from the cache of descriptors: every figure is of one commit.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sameplace import datasets, models
from sameplace.errors import DatasetError, SameplaceError
from sameplace.evaluation import Report, evaluate, table
from sameplace.evaluation.baselines import NAMES, ROOTSIFT, contender
from sameplace.evaluation.provenance import provenance
from sameplace.images import ImageSet
from sameplace.models.loading import baselines

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"
DATASETS = {
    "gardens-point": "Gardens Point, by night",
    "gardens-point-day": "Gardens Point, by day",
    "toytown": "toytown, drawn",
}
MODELS = (
    *NAMES,
    *(
        name
        for model in models.published()
        for name in (*(one for one, trunk in baselines().items() if trunk == model.name), model.name)
    ),
)
PRINTED = {"gardens-point": 58.5}
PRINTED_MODEL = "a trained NetVLAD in the field's tables"
PRINTED_SOURCE = "ResNet-18, trained on Pittsburgh 30k; not measured here"
FIGURES = re.compile(r"(<!-- figures.*?-->\n).*?(<!-- /figures -->)", re.DOTALL)
OPENING = """\
# Results

Written by `make results` from [results/](../results/), one file for each row; these hold what became of each query, too. Recall is
over all queries, in %, with Wilson's 95 % interval; mean average precision has a bootstrap interval. The protocol stands last.
"""


def measured(model: str, dataset: str, data: Path | None, learn_from: Sequence[str], commit: str | None) -> Report:
    """Evaluate one model on one dataset."""
    if data is None and (learn_from or not drawn(dataset)):
        raise DatasetError(f"{dataset} needs the photos; let SAMEPLACE_DATA name the folder that holds the datasets.")
    loaded = datasets.load(dataset, root=None if drawn(dataset) else data)
    describer = contender(model, loaded, learn_from=photos_in(data, learn_from) if data and learn_from else None)
    report = evaluate(describer, loaded, progress=lambda done, total: note(f"\r{model} on {dataset}: {done} of {total}"))
    note("\n")
    learnt_on = getattr(describer, "learnt_on", None)
    told = {"commit": commit} | ({} if learnt_on is None else {"learnt_on": learnt_on})
    return replace(report, command=command(model, dataset, learn_from), provenance={**report.provenance, **told})


def command(model: str, dataset: str, learn_from: Sequence[str]) -> str:
    """What gives this figure again, where SAMEPLACE_DATA names the folder of the photos."""
    if learn_from and model == ROOTSIFT:
        return f"python scripts/results.py --models {model} --datasets {dataset} --learn-from {' '.join(learn_from)}"
    return f"sameplace evaluate {model} {dataset}" + ("" if drawn(dataset) else " --root $SAMEPLACE_DATA")


def drawn(dataset: str) -> bool:
    """Whether a dataset needs no photos."""
    return any(entry.name == dataset and entry.drawn for entry in datasets.known())


def photos_in(data: Path, folders: Sequence[str]) -> list[Path]:
    """All photos below some folders of the data."""
    return [Path(file.path) for folder in folders for file in ImageSet.open(data / folder).files]


def saved(results: Path) -> list[Report]:
    """The reports that were saved, dataset by dataset, models in the order of the table."""
    reports = [Report.open(path) for path in sorted(results.glob("*.json"))]
    for name in {report.dataset for report in reports}:
        if len({(report.protocol, report.fingerprint) for report in reports if report.dataset == name}) > 1:
            raise DatasetError(f"The figures of {name} are not of one protocol and one set of files; measure all of them again.")
    return sorted(reports, key=lambda report: (place(report.dataset, tuple(DATASETS)), place(report.model, MODELS)))


def place(name: str, order: tuple[str, ...]) -> tuple[int, str]:
    """Where a name stands; unknown names stand last."""
    return (order.index(name) if name in order else len(order), name)


def readme_table(results: Path) -> str:
    """Recall@1, 5 and 10 of every model on every dataset, then the protocol of each column."""
    reports = saved(results)
    if not reports:
        return ""
    columns = list(dict.fromkeys(report.dataset for report in reports))
    rows: dict[str, dict[str, Report]] = {}
    for report in sorted(reports, key=lambda report: place(report.model, MODELS)):
        rows.setdefault(report.model, {})[report.dataset] = report
    lines = [
        row(["recall@1 / 5 / 10 in %", *(DATASETS.get(name, name) for name in columns)]),
        row(["---", *("---:" for _ in columns)]),
    ]
    lines += [row([f"`{model}`", *(cell(found.get(name)) for name in columns)]) for model, found in rows.items()]
    printed = [f"{PRINTED[name]:.1f}" if name in PRINTED else "" for name in columns]
    if any(printed):
        lines.append(row([PRINTED_MODEL, *printed]))
    lines += ["", "All queries count; in brackets Wilson's 95 % interval of recall@1. The protocols:", ""]
    for name in columns:
        first = next(report for report in reports if report.dataset == name)
        counts = f"{first.queries:,} queries, {first.database:,} database images"
        lines.append(f"- {DATASETS.get(name, name)} (`{name}`): {counts}; {first.protocol}.")
    if any(printed):
        lines.append(f"- {PRINTED_MODEL}: {PRINTED_SOURCE}.")
    lines += ["", "Every figure with its command and commit: [docs/results.md](docs/results.md)."]
    return "\n".join(lines) + "\n"


def cell(report: Report | None) -> str:
    """Recall@1 with its interval, and recall@5 and 10."""
    if report is None:
        return ""
    low, high = report.interval[1]
    first, *others = (f"{100 * report.recall[top]:.1f}" for top in (1, 5, 10))
    return " / ".join([f"{first} ({100 * low:.1f} - {100 * high:.1f})", *others])


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def page(results: Path) -> str:
    """docs/results.md as it should be."""
    reports = saved(results)
    sections = [OPENING]
    for name in dict.fromkeys(report.dataset for report in reports):
        here = [report for report in reports if report.dataset == name]
        lines = [f"## {DATASETS.get(name, name)}", "", table.markdown(here), ""]
        if name in PRINTED:
            lines += [f"Recall@1 of {PRINTED_MODEL}: {PRINTED[name]:.1f} ({PRINTED_SOURCE}).", ""]
        lines += [made(report, file_of(results, report)) for report in here]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def made(report: Report, path: Path) -> str:
    """How one figure came about."""
    learnt_on = json.loads(path.read_text("utf-8")).get("learnt_on")
    learnt = f"; vocabulary and whitening learnt on {learnt_on}" if learnt_on else ""
    return (
        f"- `{report.model}` ([file](../results/{path.name})): `{report.command}` at {report.provenance['commit']}, "
        f"{report.runtime} in {report.precision}{learnt}"
    )


def file_of(results: Path, report: Report) -> Path:
    """The file that holds a report."""
    return results / f"{report.dataset}.{report.model}.json"


def with_figures(readme: str, results: Path) -> str:
    """The README with the figures of today between its marks."""
    return FIGURES.sub(lambda marks: marks[1] + readme_table(results) + marks[2], readme)


def note(text: str) -> None:
    """Say something that is not data."""
    print(text, end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measure what is asked for, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="MODEL", help="published models, files, baselines")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), metavar="DATASET", help="known datasets")
    parser.add_argument("--learn-from", nargs="+", default=[], metavar="FOLDER", help=f"folders of the data for {ROOTSIFT}")
    parser.add_argument("--tables", action="store_true", help="measure nothing, only write the tables")
    arguments = parser.parse_args()
    named = os.environ.get("SAMEPLACE_DATA")
    commit = provenance()["commit"]  # now, for the files written below are changes themselves
    RESULTS.mkdir(exist_ok=True)
    try:
        for dataset in () if arguments.tables else arguments.datasets:
            for model in arguments.models:
                report = measured(model, dataset, Path(named) if named else None, arguments.learn_from, commit)
                report.save(file_of(RESULTS, report))
    except SameplaceError as error:
        note(f"{error}\n")
        return 1
    README.write_text(with_figures(README.read_text("utf-8"), RESULTS), encoding="utf-8")
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
