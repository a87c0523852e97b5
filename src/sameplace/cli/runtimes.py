"""Which runtime a verb computes with, said to whoever waits for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

from sameplace.cli.output import note, printable

if TYPE_CHECKING:
    from sameplace.describer import Describer

Runtime: TypeAlias = Literal["auto", "onnxruntime", "onnxruntime-cuda", "onnxruntime-coreml", "openvino", "torch"]
RuntimeName = Annotated[
    Runtime,
    Parameter(help="What computes the model; auto takes the quickest for the job that is installed, and says which."),
]


def quickest(model: str | Path, runtime: Runtime, photos: int) -> "Describer":
    """The model on the runtime that was asked for, or on the one that describes so many photos soonest."""
    from sameplace.models import choose, describer

    loaded = describer(model, runtime=runtime, photos=photos)
    why = choose(model, runtime=runtime, photos=photos).why
    note(f"{printable(loaded.name)} is computed by {loaded.runtime} in {loaded.precision}: {why}.")
    return loaded
