"""`sameplace show`: what models and datasets there are, and what an atlas or a model holds."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sameplace.cli.names import Json, UsageError
from sameplace.cli.output import painted, printable, say, say_json

if TYPE_CHECKING:
    from sameplace.models import PublishedModel


def show(
    what: Annotated[str, Parameter(help="models, datasets, an atlas, or a model by name or file.")] = "models",
    /,
    *,
    json: Json = False,
) -> None:
    """Show the published models, the known datasets, what an atlas holds, or a model's card."""
    from sameplace import datasets, models

    published = [model.name for model in models.published()]
    if what == "models":
        shown = {"models": [_model_line(model) for model in models.published()]}
    elif what == "datasets":
        shown = {"datasets": [asdict(dataset) for dataset in datasets.known()]}
    elif Path(what).is_dir():
        shown = _atlas(what)
    elif what in published or what.endswith(".safetensors"):
        shown = _model(what)
    else:
        near = get_close_matches(what, ["models", "datasets", *published], n=1)
        hint = f"did you mean {near[0]}?" if near else "`sameplace show models` lists the models."
        raise UsageError(f"There is no atlas, model or list called {what!r}: {hint}")
    if json:
        say_json(shown)
    else:
        for line in _lines(shown):
            say(line)


def _model_line(model: "PublishedModel") -> dict[str, Any]:
    from sameplace import models

    return {**asdict(model), "installed": models.installed(model.name) is not None}


def _model(name_or_file: str) -> dict[str, Any]:
    from sameplace import models
    from sameplace.modelfile import read_header

    path = models.find(name_or_file)
    header = read_header(path)
    return {
        "model": header["card"]["name"],
        "file": str(path),
        "identity": header["identity"],
        **header["architecture"],
        **header["card"],
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
