"""`sameplace evaluate`: how well a model recognises the places of a dataset, and whether another one does better."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from sameplace.cli.names import Cached, ContenderName, DatasetName, Json, UsageError
from sameplace.cli.output import note, printable, progress, say, say_json

if TYPE_CHECKING:
    from sameplace.datasets import Dataset
    from sameplace.evaluation import Comparison, Outcome, Report


def _spaced(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def evaluate(
    model: Annotated[ContenderName, Parameter(help="A published model, a model file, or a baseline.")],
    dataset: Annotated[DatasetName, Parameter(help="A known dataset (see `sameplace show datasets`), or a folder of photos.")],
    /,
    *,
    root: Annotated[Path | None, Parameter(help="Where the known dataset lies.")] = None,
    recall_at: Annotated[
        tuple[PositiveInt, ...], Parameter(help="The N of recall@N.", negative="", consume_multiple=True, show_default=_spaced)
    ] = (1, 5, 10, 20),
    radius: Annotated[PositiveFloat, Parameter(help="Metres up to which a folder's photo counts as right.")] = 25.0,
    burst: Annotated[
        bool, Parameter(help="Leave out photos within 1 m or 60 s of the one that asks.", negative="", show_default=False)
    ] = False,
    against: Annotated[
        ContenderName | None, Parameter(help="Another model: tell whether the two differ by more than chance.")
    ] = None,
    save: Annotated[Path | None, Parameter(help="Also write everything to this JSON file, query by query.")] = None,
    gallery: Annotated[Path | None, Parameter(help="Also write an HTML page of what was found and what was missed.")] = None,
    plots: Annotated[Path | None, Parameter(help="Also draw recall and precision-recall curves into this folder.")] = None,
    cache: Cached = True,
    markdown: Annotated[bool, Parameter(help="Print a table in Markdown.", negative="", show_default=False)] = False,
    latex: Annotated[bool, Parameter(help="Print a table in LaTeX.", negative="", show_default=False)] = False,
    json: Json = False,
) -> None:
    """Tell recall@N of a model on a dataset, with its interval and the protocol it was measured by."""
    if markdown + latex + json > 1:
        raise UsageError("--markdown, --latex and --json each print the whole answer: give one of them.")
    from sameplace import datasets

    loaded = datasets.load(dataset, root=root, radius=radius, burst=burst)
    outcomes = [_outcome(name, loaded, recall_at, cache) for name in (model, against) if name is not None]
    reports = [outcome.report for outcome in outcomes]
    answer = _compared(reports)
    # Said before anything is written, so that a full disk costs no figure.
    if json:
        say_json(answer.to_json())
    elif markdown or latex:
        _say_table(answer, reports, markdown)
    else:
        say(str(answer))
    if save is not None:
        answer.save(save)
        note(f"Everything is in {save}.")
    _draw(outcomes, gallery, plots)


def _outcome(model: str, dataset: "Dataset", recall_at: tuple[int, ...], cache: bool) -> "Outcome":
    from sameplace.description import DescriptorCache
    from sameplace.evaluation import score
    from sameplace.evaluation.baselines import contender

    with progress("evaluate") as show:
        kept = DescriptorCache(notice=note) if cache else None
        describer = contender(model, dataset)
        note(f"{printable(describer.name)} is computed by {describer.runtime} in {describer.precision}.")
        outcome = score(describer, dataset, recall_at, progress=show, cache=kept)
    command = shlex.join(["sameplace", *sys.argv[1:]])
    return replace(outcome, report=replace(outcome.report, command=command))


def _draw(outcomes: "Sequence[Outcome]", gallery: Path | None, plots: Path | None) -> None:
    if gallery is not None:
        from sameplace.evaluation.gallery import write_gallery

        write_gallery(gallery, outcomes[0])
        note(f"The gallery is {gallery}.")
    if plots is not None:
        from sameplace.evaluation.plots import write_plots

        write_plots(plots, [outcome.report for outcome in outcomes])
        note(f"The plots are in {plots}.")


def _compared(reports: "Sequence[Report]") -> "Report | Comparison":
    """The only report, or the first against the second."""
    from sameplace.evaluation import compare

    return reports[0] if len(reports) == 1 else compare(reports[0], reports[1])


def _say_table(answer: "Report | Comparison", reports: "Sequence[Report]", markdown: bool) -> None:
    from sameplace.evaluation import Comparison, table

    say(table.markdown(reports) if markdown else table.latex(reports))
    if isinstance(answer, Comparison):
        say(f"\n{answer.verdict()}")
