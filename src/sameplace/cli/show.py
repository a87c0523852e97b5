"""`sameplace show`: what models and datasets there are, what an atlas, a model or a training holds, what a dataset lacks."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveFloat

from sameplace.cli.names import Json, UsageError
from sameplace.cli.output import counted, note, painted, place, printable, progress, say, say_json, shortened
from sameplace.cli.watching import run_lines

if TYPE_CHECKING:
    from sameplace.datasets import KnownDataset
    from sameplace.evaluation.doctor import Findings
    from sameplace.models import PublishedModel
    from sameplace.training import Run

LISTS = ("models", "datasets")


def show(
    what: Annotated[
        str,
        Parameter(help="models, datasets, an atlas, a model or an export, a training, a dataset by name, or a folder of photos."),
    ] = "models",
    /,
    *,
    root: Annotated[Path | None, Parameter(help="Where a known dataset lies, which is then examined.")] = None,
    radius: Annotated[PositiveFloat, Parameter(help="Metres up to which a folder's photo counts as right.")] = 25.0,
    burst: Annotated[
        bool, Parameter(help="Leave out photos within 1 m or 60 s of the one that asks.", negative="", show_default=False)
    ] = False,
    thorough: Annotated[
        bool, Parameter(help="Read every pixel of a dataset, and not the headers alone.", negative="", show_default=False)
    ] = False,
    map: Annotated[
        Path | None, Parameter(help="Also write what was found as one HTML page with a map, which works offline.")
    ] = None,
    coverage: Annotated[
        bool, Parameter(help="List the weak parts of an atlas: where to take more photos.", negative="", show_default=False)
    ] = False,
    plots: Annotated[Path | None, Parameter(help="Also draw the recall and the loss of a training into this folder.")] = None,
    json: Json = False,
) -> None:
    """Show models, datasets, what an atlas or a model holds, how a training goes, or examine a dataset: what is wrong with it."""
    from sameplace import datasets, training

    if coverage:
        if root is not None or burst or thorough or plots is not None or radius != 25.0:
            raise UsageError(
                "--coverage looks at an atlas, and --root, --radius, --burst, --thorough and --plots do not: leave them out."
            )
        _show_coverage(what, map, json)
        return
    known = {dataset.name: dataset for dataset in datasets.known()}
    if (what in known and root is not None) or (what not in (*LISTS, *known) and _is_photos(what)):
        findings = _examined(what, root, radius=radius, burst=burst, thorough=thorough)
        if map is not None:
            from sameplace.evaluation.doctor import write_page

            write_page(map, findings)
            note(f"The page is {map}.")
        say_json(findings.to_json()) if json else _say_findings(findings)
        return
    is_run = what not in (*LISTS, *known) and training.is_run(what)
    if plots is not None and not is_run:
        raise UsageError("--plots draws a training: name the folder that `sameplace train --to` was given, or leave it out.")
    if root is not None or burst or thorough or map is not None or radius != 25.0:
        hint = "name the --root where it lies" if what in known else "name one, or leave these flags out"
        raise UsageError(f"--root, --radius, --burst, --thorough and --map are for examining a dataset or a folder: {hint}.")
    if is_run:
        _show_run(training.Run.open(what), plots, json)
        return
    shown = _shown(what, known)
    if json:
        say_json(shown)
    else:
        for line in _lines(shown):
            say(line)


def _shown(what: str, known: "Mapping[str, KnownDataset]") -> dict[str, Any]:
    """A list, or what is known of the one thing that is meant."""
    from sameplace import models
    from sameplace.runtime.graph import SELF_CONTAINED
    from sameplace.search.milvus import is_address

    published = [model.name for model in models.published()]
    if what == "models":
        return {"models": [_model_line(model) for model in models.published()]}
    if what == "datasets":
        return {"datasets": [dataset.facts() for dataset in known.values()]}
    if what in known:
        return {"dataset": what, **{name: fact for name, fact in known[what].facts().items() if name != "name"}}
    if Path(what).is_dir() or is_address(what):
        return _atlas(what)
    if what in published or what.endswith(".safetensors"):
        return _model(what)
    if Path(what).suffix in SELF_CONTAINED:
        return _graph(what)
    near = get_close_matches(what, [*LISTS, *published, *known], n=1)
    hint = f"did you mean {near[0]}?" if near else "`sameplace show models` and `sameplace show datasets` list the names."
    raise UsageError(f"There is no atlas, model, dataset, folder or list called {what!r}: {hint}")


def _is_photos(what: str) -> bool:
    """A folder that neither is an atlas nor was one, and no training."""
    from sameplace.atlas.manifest import MANIFEST
    from sameplace.atlas.snapshot import SEGMENTS
    from sameplace.training import is_run

    folder = Path(what)
    return folder.is_dir() and not is_run(folder) and not (folder / MANIFEST).exists() and not (folder / SEGMENTS).is_dir()


def _show_run(run: "Run", plots: Path | None, json: bool) -> None:
    """How a training goes: its state, its curves as text, what was kept, and whether it helped."""
    if plots is not None:
        from sameplace.training.picture import write_run_picture

        note(f"The plots are {' and '.join(map(str, write_run_picture(plots, run)))}.")
    shown = run.summary()
    if json:
        say_json(shown)
        return
    for line in run_lines(shown):
        say(line)


def _show_coverage(folder: str, map: Path | None, json: bool) -> None:
    """The parts of an atlas that are weak, one line each: where, why, how many photos, and one of them."""
    from sameplace.atlas import Atlas
    from sameplace.atlas.coverage import REASONS
    from sameplace.errors import AtlasError

    atlas = Atlas.open(folder)
    if not len(atlas):
        raise AtlasError(f"The atlas {atlas.path} holds no photos yet; add some with `sameplace index PHOTOS --to {atlas.path}`.")
    parts = atlas.coverage()
    if map is not None:
        from sameplace.atlas.page import write_page

        write_page(map, [], atlas.positions(), coverage=parts)
        note(f"The map is in {map}.")
    if json:
        say_json({"atlas": str(Path(folder).absolute()), "parts": [part.to_json() for part in parts]})
        return
    weak = [part for part in parts if part.weakness is not None]
    for part in weak:
        example = shortened(part.example) + (f", taken for {shortened(part.taken_for)}" if part.taken_for else "")
        say(f"{painted(place(part.position), 'bold')}  {REASONS[str(part.weakness)]} ({counted(part.photos, 'photo')}: {example})")
    note(f"{counted(len(weak), 'part')} of {len(parts)} are weak; more photos would help there." if weak else "No part is weak.")


def _examined(what: str, root: Path | None, *, radius: float, burst: bool, thorough: bool) -> "Findings":
    from sameplace import datasets
    from sameplace.errors import DatasetError
    from sameplace.evaluation.doctor import examine, examine_folder

    with progress("examine") as show:
        if root is not None:
            return examine(datasets.load(what, root=root, radius=radius, burst=burst), thorough=thorough, progress=show)
        try:
            return examine_folder(what, radius=radius, burst=burst, thorough=thorough, progress=show)
        except DatasetError as error:
            raise DatasetError(f"{what} is no atlas, and cannot be examined as a folder of photos: {error}") from error


def _say_findings(findings: "Findings") -> None:
    """The table, with what is wrong in colour."""
    colours = {"wrong": "red", "doubtful": "yellow", "note": "bold"}
    for line in str(findings).splitlines():
        severity, colon, rest = line.partition(":")
        found = severity in colours and bool(colon)
        say(f"{painted(severity, colours[severity])}:{printable(rest)}" if found else printable(line))


def _model_line(model: "PublishedModel") -> dict[str, Any]:
    from sameplace import models

    return {**asdict(model), "installed": models.installed(model.name) is not None}


def _model(name_or_file: str) -> dict[str, Any]:
    from sameplace import models
    from sameplace.modelfile import read_header
    from sameplace.runtime.ranges import Ranges

    path = models.find(name_or_file)
    header, ranges = read_header(path), Ranges.beside(path)
    return {
        "model": header["card"]["name"],
        "file": str(path),
        "identity": header["identity"],
        **header["architecture"],
        **({} if ranges is None else {"agreement": {"int8": asdict(ranges.agreement)}}),
        **header["card"],
    }


def _graph(file: str) -> dict[str, Any]:
    """What an export says of itself, and in which precision this machine computes it."""
    from sameplace import models
    from sameplace.runtime.onnx import OnnxDescriber
    from sameplace.runtime.openvino import OpenVINODescriber

    path = models.find(file)
    graph = OnnxDescriber(path, threads=1) if path.suffix == ".onnx" else OpenVINODescriber(path, threads=1)
    return {
        "model": graph.name,
        "file": str(path),
        "identity": graph.identity,
        "size": list(graph.size),
        "dim": graph.dim,
        "runtime": graph.runtime,
        "precision": graph.precision,
        "agreement": {name: asdict(measured) for name, measured in graph.about.agreement.items()},
        **{fact: told for fact, told in graph.about.card.items() if fact != "name"},
    }


def _atlas(folder: str) -> dict[str, Any]:
    from sameplace.atlas import Atlas

    return Atlas.open(folder).summary()


def _lines(shown: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Any plain values as indented lines: the same facts as the JSON, for people."""
    for name, value in shown.items():
        title = painted(name.replace("_", " "), "bold")
        if isinstance(value, Mapping):
            yield f"{indent}{title}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for entry in value:
                first, *rest = entry.items()
                yield f"{indent}{painted(printable(str(first[1])), 'bold')}"
                yield from _lines(dict(rest), indent + "  ")
        else:
            yield f"{indent}{title}: {printable(_told(value))}"


def _told(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
