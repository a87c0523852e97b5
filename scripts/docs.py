"""Write docs/cli.md from the command line's own help and the JSON schemas, docs/benchmarks.md from the catalogue of datasets."""

import inspect
import json
import re
from functools import partial
from io import StringIO
from pathlib import Path

from rich.console import Console

from sameplace import datasets
from sameplace.cli.app import VERBS, app
from sameplace.datasets import KnownDataset

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = {
    "index": [
        "sameplace index holiday/ --to holiday.atlas",
        "sameplace index holiday/ --to holiday.atlas --positions survey.csv --prune",
        "sameplace index town/ --to milvus://localhost/town --workers ray://auto",
    ],
    "locate": [
        "sameplace locate mystery.jpg --atlas holiday.atlas",
        "sameplace locate new/ --atlas holiday.atlas --top 5 --map new.html",
        "sameplace locate mystery.jpg --atlas holiday.atlas --verify 10 --why pictures/",
        "sameplace locate mystery.jpg --atlas holiday.atlas --near 52.5163,13.3777 --within 300 --heading 90 --since 2019-05-01",
        "sameplace locate walk.mp4 --atlas holiday.atlas --walk --every 2",
        "sameplace locate walk/ --atlas holiday.atlas --walk --gpx walk.gpx --camera-ahead 2:00",
    ],
    "serve": [
        "sameplace serve holiday.atlas",
        "sameplace serve holiday.atlas --host 0.0.0.0 --token-file token --private --blur",
    ],
    "evaluate": [
        "sameplace evaluate efficientnet-lite0-vlad toytown",
        "sameplace evaluate efficientnet-lite0-vlad my-photos/ --burst --recall-at 1 5",
    ],
    "train": [
        "sameplace train toytown --to toytown-run",
        "sameplace train my-photos/ --to my-run --positive 5 --epochs 20",
        "sameplace train pitts30k-train --root datasets/ --to pitts-run --model vgg16-vlad --device cuda",
    ],
    "export": [
        "sameplace export efficientnet-lite0-vlad --to onnx --calibration my-photos/",
        "sameplace export my-run/model.safetensors --to openvino --int8 --calibration my-photos/ --validation my-streets/",
    ],
    "fetch": ["sameplace fetch mapillary --around 52.5163,13.3777 --radius 300 --to berlin/"],
    "cut": ["sameplace cut panoramas/ --to tiles/ --like tokyo"],
    "show": [
        "sameplace show models",
        "sameplace show holiday.atlas --json",
        "sameplace show my-photos/ --map my-photos.html",
        "sameplace show holiday.atlas --coverage --map weak.html",
        "sameplace show gardens-point --root gardens/ --thorough",
        "sameplace show my-run --plots my-run-plots",
    ],
    "remove": ["sameplace remove holiday/private/ --atlas holiday.atlas"],
    "toytown": ["sameplace toytown toytown/"],
}
OPENING = """\
# The command line

This page is written by `make docs` from what `sameplace --help` says.

Data goes to stdout, progress and notes to stderr. With `--json` a verb prints JSON for scripts: one object, or
with `locate` one line a photo. Keys and meanings are kept stable; each verb's schema is linked below.

| exit code | meaning |
|---|---|
| 0 | done; `index` may have left photos out, and lists them |
| 1 | failed, and one sentence says why; `locate`: a photo could not be read, the others are answered; `index`: nothing usable |
| 2 | misused: an unknown verb, flag, model or dataset |
| 130 | interrupted; what was committed stays |
"""

BENCHMARKS = """\
# Benchmarks

This page is written by `make docs` from the catalogue and from what the loaders say of themselves.

```sh
sameplace show datasets
sameplace show gardens-point --root gardens/
sameplace evaluate efficientnet-lite0-vlad gardens-point --root gardens/
```

A benchmark is loaded by its name, from the folder where you have put it: `--root`. Its counts are checked as it is
loaded, and what is missing is told with where to get it. `sameplace show NAME --root DIR` looks for everything else that
may be the matter with it. No figure is printed without the protocol it was measured by. A folder of your own photos is a
dataset, too: see [the command line](cli.md#evaluate).

Recall is over all queries, those without a right image as misses; recall over answerable queries is printed beside it.
"""


def page() -> str:
    """The page as it should be."""
    sections = [OPENING, f"```\n{help_of([])}\n```\n"]
    for verb in VERBS:
        schema = json.loads((DOCS / "schema" / f"{verb}.json").read_text("utf-8"))
        examples = "\n".join(EXAMPLES[verb])
        sections.append(
            f"## {verb}\n\n```\n{help_of([verb])}\n```\n\n```sh\n{examples}\n```\n\n"
            f"`--json` ([schema](schema/{verb}.json)): {schema['description']}\n\n{table(schema)}"
        )
    return "\n".join(sections)


def help_of(verb: list[str]) -> str:
    """What --help prints on a terminal of 100 columns, without colours."""
    printed = StringIO()
    app.help_print(verb, console=Console(file=printed, width=100, color_system=None, force_terminal=False, legacy_windows=False))
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def table(schema: dict[str, object]) -> str:
    """The keys of a schema, or of each of its forms."""
    forms = [schema["$defs"][form["$ref"].rsplit("/", 1)[1]] for form in schema["oneOf"]] if "oneOf" in schema else [schema]
    rows = []
    for form in forms:
        for key, value in form["properties"].items():
            while "$ref" in value:
                value = schema["$defs"][value["$ref"].rsplit("/", 1)[1]]
            kind = value.get("type", "any")
            rows.append(f"| `{key}` | {kind if isinstance(kind, str) else ' or '.join(kind)} | {value.get('description', '')} |")
    return "\n".join(["| key | type | meaning |", "|---|---|---|", *dict.fromkeys(rows), ""])


def benchmarks() -> str:
    """The page of benchmarks as it should be: a table of all, and a section for each loader."""
    rows = ["| name | database | queries | what counts as right |", "|---|---:|---:|---|"]
    loaders: dict[object, list[KnownDataset]] = {}
    for known in datasets.known():
        vary = " (others are accepted)" if known.counts_vary else ""
        rows.append(f"| `{known.name}` | {known.database:,} | {known.queries:,}{vary} | {_cell(known.protocol)} |")
        loaders.setdefault(_loader(known), []).append(known)
    sections = ["\n## Where they come from, and how they lie on disk\n"]
    for loader, some in loaders.items():
        sections.append(f"### {', '.join(known.name for known in some)}\n")
        sources: dict[str, list[str]] = {}
        for known in some:
            sources.setdefault(_source(known), []).append(known.name)
        sections += [f"- {', '.join(names)}: {source}" for source, names in sources.items()]
        sections.append(f"\n{_literal(inspect.getdoc(loader) or '')}\n")
    return "\n".join([BENCHMARKS, *rows, *sections])


def _loader(known: KnownDataset) -> object:
    """The function that reads it, which says in its docstring what it reads."""
    loader: object = known.load
    while isinstance(loader, partial):
        loader = loader.func
    return loader


def _source(known: KnownDataset) -> str:
    """The publication, and how the data are obtained."""
    return f"{_literal(known.reference)}. Get {_literal(known.obtain)}."


def _cell(text: str) -> str:
    return _literal(text).replace("|", "\\|")


def _literal(text: str) -> str:
    """Text that says the same in Markdown: signs that mean something there are escaped, outside of code and within words."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"(?<!\w)_|_(?!\w)|[*<>[\]]", r"\\\g<0>", part) for part in parts)


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(page(), encoding="utf-8")
    (DOCS / "benchmarks.md").write_text(benchmarks(), encoding="utf-8")
