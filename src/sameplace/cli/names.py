"""The names that users type, for models and datasets: a wrong one is a misuse, told before any work starts."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sameplace.errors import SameplaceError


class UsageError(SameplaceError):
    """The command line asks for something that does not exist."""


def _known_model(_type: Any, name: str | None) -> None:
    if name is None:
        return
    from sameplace import models
    from sameplace.errors import ModelError

    published = {model.name for model in models.published()}
    try:
        models.find(name)
    except ModelError as error:
        if name in published:  # it exists, and is not installed
            raise
        raise UsageError(str(error)) from error


def _known_contender(_type: Any, name: str | None) -> None:
    from sameplace.evaluation.baselines import NAMES
    from sameplace.models.loading import baselines

    if name not in {*NAMES, *baselines()}:
        _known_model(_type, name)


def _workers(_type: Any, workers: int | str | None) -> None:
    from sameplace.description import is_cluster

    if workers is not None and not is_cluster(workers) and not (isinstance(workers, int) and workers > 0):
        raise UsageError(f"--workers wants a number of threads, 1 or more, or a Ray cluster like ray://HOST:PORT, got {workers!r}.")


def _known_dataset(_type: Any, name: str) -> None:
    from sameplace import datasets
    from sameplace.errors import DatasetError

    if name in {dataset.name for dataset in datasets.known()} or Path(name).is_dir():
        return
    try:
        datasets.load(name)
    except DatasetError as error:
        raise UsageError(str(error)) from error


ModelName = Annotated[str, Parameter(validator=_known_model)]
ContenderName = Annotated[str, Parameter(validator=_known_contender)]
DatasetName = Annotated[str, Parameter(validator=_known_dataset)]
Workers = Annotated[int | str, Parameter(validator=_workers)]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for scripts.", negative="", show_default=False)]
Cached = Annotated[bool, Parameter(help="Keep descriptors, so that no photo is described twice by a model.", negative="--no-cache")]
