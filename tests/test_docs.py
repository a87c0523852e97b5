"""The docs keep their word: commands exist, pages are there, and what is generated is up to date."""

import json
import re
import runpy
from pathlib import Path

import jsonschema
import pytest

from sameplace.cli.app import VERBS, app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands(page):
    """The command lines in a page's code blocks, without comments."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```|((?:^ {4}\S.*\n)+)", page, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in "".join(block).splitlines()]
    return [line for line in lines if re.match(r"(make|sameplace|pip) ", line)]


def test_the_command_line_page_says_what_help_says():
    generated = runpy.run_path(str(ROOT / "scripts" / "docs.py"))["page"]()
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == generated, "run `make docs`"


def test_the_page_of_benchmarks_says_what_the_catalogue_says():
    generated = runpy.run_path(str(ROOT / "scripts" / "docs.py"))["benchmarks"]()
    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == generated, "run `make docs`"


def test_every_benchmark_is_on_its_page_with_its_counts_and_what_its_loader_reads():
    from sameplace import datasets

    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    headings = {name for heading in re.findall(r"^### (.+)$", text, re.MULTILINE) for name in heading.split(", ")}
    assert headings == {known.name for known in datasets.known()}
    for known in datasets.known():
        assert f"| `{known.name}` | {known.database:,} | {known.queries:,}" in text
    sections = re.split(r"^### .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(section.split()) > 12 for section in sections)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_a_section_a_schema_and_an_example(verb):
    assert VERBS[verb].__doc__.strip().endswith(".")
    cli = (ROOT / "docs" / "cli.md").read_text("utf-8")
    section = re.search(rf"^## {verb}\n(.*?)(?=^## |\Z)", cli, re.MULTILINE | re.DOTALL)[1]
    assert f"sameplace {verb} " in "\n".join(commands(section))
    jsonschema.Draft202012Validator.check_schema(json.loads((ROOT / "docs" / "schema" / f"{verb}.json").read_text("utf-8")))


@pytest.mark.parametrize("verb", VERBS)
def test_every_parameter_of_every_verb_is_explained(verb):
    arguments = app[verb].assemble_argument_collection()
    assert all(argument.parameter.help for argument in arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_in_the_docs_can_be_typed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in commands(page.read_text("utf-8")):
        program, *words = command.split()
        if program == "make":
            assert set(words) <= TARGETS, command
        elif program == "sameplace" and words[0] in VERBS:
            for folder in (word for word in words if word.endswith("/")):
                Path(folder).mkdir(parents=True, exist_ok=True)
            for model in (Path(word) for word in words if word.endswith(".safetensors")):
                model.parent.mkdir(parents=True, exist_ok=True)
                model.touch()
            app.parse_args(words, print_error=False, exit_on_error=False)
        elif program == "sameplace":
            assert words[0] in ("--help", "--version"), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            place = (page.parent / path) if path else page
            assert place.exists(), f"{page.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", place.read_text("utf-8"), re.MULTILINE)
                assert anchor in [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_readme_shows_exactly_two_commands_first():
    first = README.split("## Your own photos")[0]
    assert [command.split()[:2] for command in commands(first)] == [["make", "demo"], ["make", "check"]]
    assert len(README.splitlines()) <= 120


def test_the_readmes_python_uses_public_names():
    import sameplace

    for names in re.findall(r"^from sameplace import (.+)$", README, re.MULTILINE):
        assert set(names.split(", ")) <= set(sameplace.__all__)
    assert set(re.findall(r"\bsameplace\.([A-Za-z_]+)\b(?=[.(])", README)) <= set(sameplace.__all__)


def test_every_python_block_of_the_readme_is_python():
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


def test_each_decision_says_what_was_decided_and_its_price():
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:2]) for page in decisions] == list(range(1, len(decisions) + 1))
    for number, page in enumerate(decisions, start=1):
        text = page.read_text("utf-8")
        assert text.startswith(f"# {number}. ")
        assert "**Decision.**" in text
        assert "**Price.**" in text


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()) < 60


def test_the_package_asks_for_ranges_and_the_constraints_pin_exactly():
    pins = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.!]+", pin) for pin in pins)
    pinned = {re.split("==", pin)[0].lower().replace("_", "-") for pin in pins}
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(need for extra in ("train", "export", "dev") for need in project["optional-dependencies"][extra]),
    ]
    assert {re.split("[<>=]", need)[0].lower().replace("_", "-") for need in wanted} <= pinned
