"""`sameplace evaluate`: how well a model recognises the places of a dataset."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from sameplace.cli.names import DatasetName, Json, ModelName
from sameplace.cli.output import progress, say, say_json


def _spaced(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def evaluate(
    model: Annotated[ModelName, Parameter(help="A published model or a model file.")],
    dataset: Annotated[DatasetName, Parameter(help="A known dataset (see `sameplace show datasets`), or a folder of photos.")],
    /,
    *,
    root: Annotated[Path | None, Parameter(help="Where the known datasets lie.")] = None,
    recall_at: Annotated[
        tuple[PositiveInt, ...], Parameter(help="The N of recall@N.", negative="", consume_multiple=True, show_default=_spaced)
    ] = (1, 5, 10, 20),
    radius: Annotated[PositiveFloat, Parameter(help="Metres up to which a folder's photo counts as right.")] = 25.0,
    burst: Annotated[
        bool, Parameter(help="Leave out photos within 1 m or 60 s of the one that asks.", negative="", show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """Tell recall@N of a model on a dataset, with the protocol it was measured by."""
    from sameplace import datasets, models
    from sameplace.evaluation import evaluate as measure

    with progress("evaluate") as show:
        loaded = datasets.load(dataset, root=root, radius=radius, burst=burst)
        report = measure(models.describer(model), loaded, recall_at=recall_at, progress=show)
    if json:
        say_json(report.to_json())
    else:
        say(str(report))
