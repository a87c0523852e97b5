"""Plots of reports: recall over N, and precision over recall, of one or several models on one benchmark."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sameplace.evaluation.curves import Line, Plot
from sameplace.evaluation.report import Report


def recall_plot(reports: Sequence[Report]) -> Plot:
    """recall@N of one or several models on one benchmark, over N, with 95 % intervals at the N that were asked for."""
    dataset, protocol = _shared(reports)
    lines = []
    for report in reports:
        deep = {top: share for top, share in report.recall_curve().items() if top <= report.database}
        lines.append(
            Line(
                name=report.model,
                across=np.array(list(deep), np.float64),
                up=np.array(list(deep.values()), np.float64),
                intervals={float(top): interval for top, interval in report.interval.items() if top in deep},
            )
        )
    return Plot(
        title=f"recall@N on {dataset}",
        protocol=protocol,
        across="N, the number of images retrieved",
        up="recall@N over all queries",
        lines=tuple(lines),
        least=1.0,
        most=max(float(line.across[-1]) for line in lines),
        percent=False,
    )


def precision_recall_plot(reports: Sequence[Report]) -> Plot:
    """Precision over recall of the first matches by their similarity, of one or several models on one benchmark."""
    dataset, protocol = _shared(reports)
    curves = [(report.model, curve) for report in reports if (curve := report.curve()) is not None]
    lines = tuple(Line(name=f"{model} (area {curve.area:.3f})", across=curve.recall, up=curve.precision) for model, curve in curves)
    return Plot(
        title=f"Precision over recall on {dataset}",
        protocol=f"First matches, believed from some similarity on; {protocol}",
        across="recall over answerable queries",
        up="precision",
        lines=lines,
    )


def write_plots(folder: str | Path, reports: Sequence[Report]) -> None:
    """Draw both plots into a folder, as SVG and as PNG; precision over recall only where a query is answerable."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plots = {"recall": recall_plot(reports)}
    if any(report.answerable for report in reports):
        plots["precision-recall"] = precision_recall_plot(reports)
    for name, plot in plots.items():
        for ending in ("svg", "png"):
            plot.save(folder / f"{name}.{ending}")


def _shared(reports: Sequence[Report]) -> tuple[str, str]:
    """The benchmark and the protocol of reports that may stand in one plot, the protocol with its counts."""
    told = {
        (report.dataset, f"{report.queries:,} queries, {report.database:,} database images; {report.protocol}")
        for report in reports
    }
    if len(told) != 1:
        raise ValueError(
            f"Reports of one benchmark under one protocol can stand in one plot, got {len(told)} different ones; plot them apart."
        )
    return told.pop()
