"""How a report shows itself in a notebook: the figures with their intervals, and recall over N."""

from sameplace.evaluation.plots import recall_plot
from sameplace.evaluation.report import Report
from sameplace.pages import metres, notebook, text


def report_card(report: Report) -> str:
    """recall@N with its intervals, the other figures, and the plot, which names the protocol."""
    figures = "".join(
        f"<li>recall@{top}<b>{100 * share:.1f} %</b><small>{100 * report.interval[top][0]:.1f} to "
        f"{100 * report.interval[top][1]:.1f} %</small></li>"
        for top, share in report.recall.items()
    )
    return notebook(
        f'<h2>{text(report.model)} on {text(report.dataset)}</h2><ul class="figures">{figures}</ul>'
        f'<figure class="plot">{recall_plot([report]).svg()}</figure><p class="note">{text(_facts(report))}</p>'
    )


def _facts(report: Report) -> str:
    """The figures beside recall, as far as there are any, and how they were come by."""
    height, width = report.size
    facts = [f"{report.answerable:,} of {report.queries:,} queries have a right answer."]
    if report.mean_average_precision is not None:
        facts.append(f"Mean average precision {report.mean_average_precision:.3f}.")
    if report.median_error_m is not None:
        facts.append(f"The first match is {metres(report.median_error_m)} off in the median.")
    facts.append(
        f"Intervals hold in 95 of 100 cases (Wilson). {report.descriptor:,} numbers an image, brought to {height} x {width}; "
        f"{report.runtime}, {report.precision}, {report.seconds:.1f} s."
    )
    return " ".join(facts)
