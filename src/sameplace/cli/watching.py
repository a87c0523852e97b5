"""How a training is watched: a bar or a line for what it is doing, a line for each epoch, and its curves as text."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sameplace.cli.output import Progress, counted, note, painted, printable, progress

if TYPE_CHECKING:
    from sameplace.training import Moment

BARS = "▁▂▃▄▅▆▇█"
COLUMNS = 40
UNITS = {"training": "steps", "mining": "photos", "maps": "photos", "validation": "photos", "whitening": "photos"}


class Watching:
    """Shows a training's moments on stderr."""

    def __init__(self) -> None:
        self._bars = ExitStack()
        self._doing = ""
        self._show: Progress | None = None
        self._figures: Mapping[str, float] = {}

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.close()

    def __call__(self, moment: "Moment") -> None:
        """Show one."""
        if moment.text:
            note(moment.text)
        if moment.stage == "training":
            self._figures = moment.figures
        if moment.stage == "validation" and moment.figures:
            self._bars.close()
            self._doing, self._show = "", None
            note(epoch_line(moment.epoch, moment.epochs, {**self._figures, **moment.figures}))
            return
        doing = f"epoch {moment.epoch}" if moment.stage == "training" else moment.stage
        if doing != self._doing:
            self._bars.close()
            self._doing = doing
            self._show = self._bars.enter_context(progress(doing, UNITS.get(moment.stage, "photos")))
        if self._show is not None and moment.total:
            self._show(moment.done, moment.total)


def epoch_line(epoch: int, epochs: int, figures: Mapping[str, float]) -> str:
    """One epoch in one line.

    >>> epoch_line(2, 10, {"loss": 0.25, "recall@1": 0.5})
    'epoch 2 of 10: loss 0.2500, recall@1 50.0 %'
    """
    opening = f"epoch {epoch} of {epochs}" if epoch else "before training"
    told = [f"loss {figures['loss']:.4f}"] if epoch and "loss" in figures else []
    told += [f"{name} {100 * value:.1f} %" for name, value in figures.items() if name.startswith("recall@")]
    return f"{opening}: {', '.join(told)}"


def run_lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """What `Run.summary` tells, for people."""
    learnt, best, verdict = shown["learns_from"], shown["best_epoch"], shown["verdict"]
    title = painted(f"{printable(shown['run'])}: {shown['state']}", "bold")
    yield f"{title}, epoch {shown['epochs_done']} of {shown['epochs']}, {shown['steps']:,} steps, {shown['seconds']:.0f} s"
    yield f"learns from {printable(learnt['name'])}: {counted(learnt['images'], 'photo')}, {learnt['queries']:,} of which ask"
    for problem in learnt.get("left_out", ()):
        yield f"  left out: {printable(problem['path'])}: {printable(problem['reason'])}"
    for name in ("recall@1", "recall@5", "recall@10"):
        values = [100 * float(line[name]) for line in shown["validations"]]
        if values:
            yield f"{name:10} {curve(values)} {values[0]:.1f} -> {values[-1]:.1f} %"
    losses = [float(line["loss"]) for line in shown["losses"]]
    if losses:
        yield f"{'loss':10} {curve(losses)} {losses[0]:.4g} -> {losses[-1]:.4g}"
    if best is not None:
        yield f"kept: the network of epoch {best['epoch']}, recall@5 {100 * best['recall@5']:.1f} % on the validation set"
    if shown["model"]:
        yield f"model: {printable(shown['model'])}"
    else:
        yield "The same `sameplace train` goes on with it."
    if verdict is not None:
        yield painted(str(verdict["said"]), {True: "green", False: "red", None: "yellow"}[verdict["helped"]])


def curve(values: Sequence[float]) -> str:
    """Values as a row of bars, the lowest as the lowest bar; long rows are thinned out.

    >>> curve([0.0, 0.5, 1.0])
    '▁▅█'
    """
    step = max(1, -(-len(values) // COLUMNS))
    some = [*values[::-1][::step]][::-1]
    least, range_ = min(some), max(some) - min(some)
    return "".join(BARS[round((len(BARS) - 1) * (value - least) / range_)] if range_ else BARS[0] for value in some)
