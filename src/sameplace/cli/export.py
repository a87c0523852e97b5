"""`sameplace export`: one file of a model for other programs, or for a quicker runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from sameplace.cli.names import Json, ModelName, UsageError
from sameplace.cli.output import note, printable, progress, say, say_json

if TYPE_CHECKING:
    from sameplace.describer import Describer
    from sameplace.evaluation import Comparison


def export(
    model: Annotated[ModelName, Parameter(help="A published model or a model file.")],
    /,
    *,
    to: Annotated[Literal["onnx", "openvino"], Parameter(help="The format: one .onnx file, or an .xml file with its .bin.")],
    int8: Annotated[bool, Parameter(help="Compute the trunk in int8 (OpenVINO only).", negative="", show_default=False)] = False,
    calibration: Annotated[
        Path | None,
        Parameter(help="A folder of real photos like those to be described; int8 needs it, and bfloat16 is measured on it."),
    ] = None,
    validation: Annotated[
        Path | None,
        Parameter(
            help="A folder of photos with positions: int8 is refused where it finds significantly fewer of the places (McNemar)."
        ),
    ] = None,
    at: Annotated[Path | None, Parameter(help="The file; if not given, one named after the model, in this folder.")] = None,
    json: Json = False,
) -> None:
    """Write a model as one file that is checked against torch, and that sameplace takes wherever it takes a model."""
    from sameplace.models.exporting import export as write

    if validation is not None and not int8:
        raise UsageError("--validation is for an int8 export: add --int8, or leave it out.")
    if validation is not None and not validation.is_dir():
        raise UsageError(f"There is no folder {str(validation)!r} to validate on: name one of photos with positions.")
    passed: list[Comparison] = []
    check = None if validation is None else _recall(validation, passed)
    exported = write(model, to=to, int8=int8, calibration=calibration, at=at, validate=check)
    agreement = {name: {"cosine": one.cosine, "images": one.images} for name, one in exported.agreement.items()}
    if json:
        told = {"path": str(exported.path), "precision": exported.precision, "bytes": exported.bytes}
        validated = _told(passed[0]) if passed else None
        say_json({**told, "difference": exported.difference, "agreement": agreement, "validation": validated})
        return
    say(f"{printable(str(exported.path))}: {exported.bytes / 1e6:.1f} MB, {exported.precision}")
    if exported.difference is not None:
        note(f"Its descriptors differ from torch's by {exported.difference:.1g} of their length at most.")
    for name, measured in exported.agreement.items():
        verdict = "" if measured.passed else ", too little to be used"
        note(f"In {name} they agree by a cosine of {measured.cosine:.4f} for 95 % of {measured.images} photos{verdict}.")
    for comparison in passed:
        low, high = comparison.interval["recall@1"]
        note(
            f"Its recall@1 differs by {100 * comparison.difference['recall@1']:+.1f} percentage points from that in float32 on "
            f"{comparison.report.queries:,} queries (95 % interval {100 * low:+.1f} to {100 * high:+.1f})."
        )


def _recall(folder: Path, passed: "list[Comparison]") -> "Callable[[Describer, Describer], None]":
    """The test on a folder that int8 must pass, which keeps what it found; the folder is read before anything is computed."""
    from sameplace import datasets
    from sameplace.evaluation.precision import without_loss

    dataset = datasets.load(folder)

    def check(lower: "Describer", precise: "Describer") -> None:
        with progress("validate") as show:
            passed.append(without_loss(lower, precise, dataset, progress=show))

    return check


def _told(comparison: "Comparison") -> dict[str, Any]:
    return {
        "dataset": comparison.report.dataset,
        "protocol": comparison.report.protocol,
        "queries": comparison.report.queries,
        "recall_at_1": comparison.report.recall[1],
        "recall_at_1_float32": comparison.against.recall[1],
        "difference_interval_95": list(comparison.interval["recall@1"]),
        "p_value": comparison.p_value,
    }
