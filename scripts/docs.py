"""Write docs/cli.md from the command line's own help and the JSON schemas."""

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from sameplace.cli.app import VERBS, app

DOCS = Path(__file__).parent.parent / "docs"
EXAMPLES = {
    "index": [
        "sameplace index holiday/ --to holiday.atlas",
        "sameplace index holiday/ --to holiday.atlas --positions survey.csv --prune",
    ],
    "locate": [
        "sameplace locate mystery.jpg --atlas holiday.atlas",
        "sameplace locate new/ --atlas holiday.atlas --top 5 --map new.html",
    ],
    "evaluate": [
        "sameplace evaluate efficientnet-lite0-vlad toytown",
        "sameplace evaluate efficientnet-lite0-vlad my-photos/ --burst --recall-at 1 5",
    ],
    "show": ["sameplace show models", "sameplace show holiday.atlas --json"],
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


if __name__ == "__main__":
    (DOCS / "cli.md").write_text(page(), encoding="utf-8")
