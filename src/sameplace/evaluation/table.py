"""Reports as tables: for a terminal, for Markdown and for LaTeX, each row with its protocol."""

from collections.abc import Sequence

from sameplace.evaluation.report import Report

LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def markdown(reports: Sequence[Report]) -> str:
    """One table of all reports; recall in percent over all queries, with its 95 % interval.

    Columns: dataset, model, numbers in a descriptor, image size, each recall@N, mean average precision where a protocol asks for
    it, queries and database images, protocol.
    """
    head, *rows = _cells(reports)
    lines = [_row(head), _row(["---" if number < 2 or number == len(head) - 1 else "---:" for number in range(len(head))])]
    return "\n".join([*lines, *(_row([cell.replace("|", "\\|") for cell in row]) for row in rows)])


def latex(reports: Sequence[Report]) -> str:
    """The table of `markdown` as a tabular; it needs the package booktabs."""
    head, *rows = _cells(reports)
    columns = "ll" + "r" * (len(head) - 3) + "l"
    lines = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in (head, *rows)]
    return "\n".join(
        [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"]
    )


def plain(report: Report) -> str:
    """The table of one report for people at a terminal."""
    height, width = report.size
    counts = f"{report.queries:,} queries, {report.answerable:,} of them answerable, {report.database:,} database images"
    lines = [
        f"{report.model} ({report.descriptor} numbers) on {report.dataset}, images brought to {height} x {width}",
        f"{counts}; {report.protocol}",
        "",
        "            all queries   95 % interval    answerable",
    ]
    for top, share in report.recall.items():
        low, high = report.interval[top]
        answerable = f"{100 * report.recall_answerable[top]:.1f} %" if report.recall_answerable else "-"
        lines.append(f"recall@{top:<4} {f'{100 * share:.1f} %':>11}   {100 * low:5.1f} - {100 * high:5.1f} %  {answerable:>11}")
    return "\n".join([*lines, "", *_further(report)])


def _further(report: Report) -> list[str]:
    """The figures beside recall, a line each, as far as the dataset lets them be told."""
    lines = []
    if (printed := report.printed) is not None:
        lines.append(f"The field's tables print a recall@1 of {100 * printed.recall_at_1:.1f} % here for {printed.model}.")
    if report.mean_average_precision is not None:
        lines.append(f"Mean average precision {_percent(report, 'mean_average_precision', report.mean_average_precision)}.")
    if report.precision_recall_area is not None and report.recall_at_full_precision is not None:
        lines.append(
            "First matches by similarity, recall over answerable queries: area under precision-recall "
            f"{_percent(report, 'precision_recall_area', report.precision_recall_area)}, "
            f"recall at 100 % precision {_percent(report, 'recall_at_full_precision', report.recall_at_full_precision)}."
        )
    if report.median_error_m is not None:
        interval = report.bootstrap.get("median_error_m")
        told = "no finite interval" if interval is None else f"{interval[0]:.1f} - {interval[1]:.1f}"
        lines.append(f"First match in the median {report.median_error_m:.1f} m ({told}) from the query.")
    if report.located is not None:
        shares = [
            f"{metres:g} m {_percent(report, f'located_within_{metres:g}_m', share)}" for metres, share in report.located.items()
        ]
        lines.append(f"First match within {', '.join(shares)}.")
    return [*lines, "Intervals of 95 % as if queries were independent: Wilson's in the table, bootstrap in brackets."]


def _percent(report: Report, name: str, share: float) -> str:
    interval = report.bootstrap.get(name)
    told = "no finite interval" if interval is None else f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f}"
    return f"{100 * share:.1f} % ({told})"


def _cells(reports: Sequence[Report]) -> list[list[str]]:
    """The head and a row for each report."""
    if not reports:
        raise ValueError("A table of at least one report was wanted, got none.")
    depths = sorted({top for report in reports for top in report.recall})
    ranked = any(report.mean_average_precision is not None for report in reports)
    head = ["dataset", "model", "numbers", "image size", *(f"recall@{top} in %, all queries" for top in depths)]
    head += ["mAP in %"] if ranked else []
    rows = [[*head, "queries (answerable) / database", "protocol"]]
    for report in reports:
        row = [report.dataset, report.model, f"{report.descriptor:,}", f"{report.size[0]} x {report.size[1]}"]
        for top in depths:
            share, interval = report.recall.get(top), report.interval.get(top)
            row.append(_share(share, interval))
        row += [_share(report.mean_average_precision, report.bootstrap.get("mean_average_precision"))] if ranked else []
        rows.append([*row, f"{report.queries:,} ({report.answerable:,}) / {report.database:,}", report.protocol])
    return rows


def _share(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None or interval is None:
        return "-"
    return f"{100 * share:.1f} ({100 * interval[0]:.1f} - {100 * interval[1]:.1f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)
