"""What an evaluation found, never without the protocol it was found by."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sameplace.datasets import known
from sameplace.datasets.printed import PRINTED, Printed
from sameplace.errors import DatasetError
from sameplace.evaluation.answers import Answers
from sameplace.measures import PrecisionRecall, recall


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures of one model on one dataset, shares in 0..1; `recall` counts all queries, those without an answer as misses."""

    model: str
    dataset: str
    protocol: str
    database: int
    queries: int
    answerable: int
    """Queries that have a right answer in the database at all."""
    recall: Mapping[int, float]
    recall_answerable: Mapping[int, float] | None
    """The same over answerable queries only; None where there are none."""
    interval: Mapping[int, tuple[float, float]]
    """The 95 % interval (Wilson) of `recall`, as if queries were independent."""
    mean_average_precision: float | None
    """Over answerable queries; None where the protocol asks for recall alone."""
    precision_recall_area: float | None
    """Under precision over recall of the first matches by their similarity; None where no query is answerable."""
    recall_at_full_precision: float | None
    """The share of answerable queries that is answered before the first error, from the most similar match on."""
    median_error_m: float | None
    """Metres from query to first match, in the median; None where the dataset has no positions."""
    located: Mapping[float, float] | None
    """The share of queries whose first match is within so many metres, by metres; None where the dataset has no positions."""
    bootstrap: Mapping[str, tuple[float, float]]
    """The 95 % interval (bootstrap over queries) of every figure for which it is finite, by its name."""
    descriptor: int
    size: tuple[int, int]
    """Height and width that every image was brought to."""
    identity: str
    """A hash of the model's weights."""
    runtime: str
    precision: str
    fingerprint: str
    """A hash of the dataset's file names, sizes and truth."""
    provenance: Mapping[str, Any]
    """Version, commit, libraries and hardware."""
    command: str = ""
    """What was typed, where it was."""
    seconds: float
    answers: Answers = field(repr=False, compare=False)
    """What became of each query."""

    @property
    def printed(self) -> Printed | None:
        """What the field's tables print for NetVLAD on this benchmark; None where they are silent."""
        counts = {entry.name: (entry.database, entry.queries) for entry in known()}
        return PRINTED.get(self.dataset) if counts.get(self.dataset) == (self.database, self.queries) else None

    def curve(self) -> PrecisionRecall | None:
        """Precision over recall of the first matches by their similarity; None where no query is answerable."""
        return self.answers.curve()

    def recall_curve(self) -> dict[int, float]:
        """recall@N over all queries, for every N up to the depth of the search."""
        return recall(self.answers.first, range(1, self.answers.depth + 1))

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those of single queries; the N of recall@N are strings, as JSON wants its names."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "protocol": self.protocol,
            "database": self.database,
            "queries": self.queries,
            "answerable": self.answerable,
            "recall": _named(self.recall),
            "recall_answerable": None if self.recall_answerable is None else _named(self.recall_answerable),
            "printed": None if self.printed is None else asdict(self.printed),
            "recall_interval_95": {str(top): list(interval) for top, interval in self.interval.items()},
            "mean_average_precision": self.mean_average_precision,
            "precision_recall_area": self.precision_recall_area,
            "recall_at_full_precision": self.recall_at_full_precision,
            "median_error_m": self.median_error_m,
            "located_within_m": None if self.located is None else {f"{metres:g}": share for metres, share in self.located.items()},
            "bootstrap_interval_95": {name: list(interval) for name, interval in self.bootstrap.items()},
            "descriptor": self.descriptor,
            "size": list(self.size),
            "identity": self.identity,
            "runtime": self.runtime,
            "precision": self.precision,
            "fingerprint": self.fingerprint,
            **self.provenance,
            "command": self.command,
            "seconds": self.seconds,
        }

    def save(self, path: str | Path) -> None:
        """Write it as JSON, with what became of each query."""
        write_json(path, {**self.to_json(), "answers": self.answers.to_json()})

    @classmethod
    def open(cls, path: str | Path) -> "Report":
        """Read what `save` wrote."""
        try:
            return _from_json(json.loads(Path(path).read_text("utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"{path} is no saved report ({error!r}); write one with `sameplace evaluate --save`.") from error

    def to_markdown(self) -> str:
        """A table of one row, the protocol in it."""
        from sameplace.evaluation.table import markdown

        return markdown([self])

    def to_latex(self) -> str:
        """A table of one row, the protocol in it."""
        from sameplace.evaluation.table import latex

        return latex([self])

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        from sameplace.evaluation.showing import report_card
        from sameplace.pages import shown

        return shown(lambda: report_card(self))

    def __str__(self) -> str:
        """A table for people."""
        from sameplace.evaluation.table import plain

        return plain(self)


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write plain values, one a line, a list of numbers on one line."""
    text = json.dumps(value, indent=2, allow_nan=False)
    flat = re.sub(r"\[\n\s*([^\[\]{}]*?)\n\s*\]", lambda found: "[" + re.sub(r",\n\s*", ", ", found[1]) + "]", text)
    Path(path).write_text(flat + "\n", encoding="utf-8")


def _named(shares: Mapping[int, float]) -> dict[str, float]:
    return {str(top): share for top, share in shares.items()}


def _numbered(shares: Mapping[str, float]) -> dict[int, float]:
    return {int(top): share for top, share in shares.items()}


def _from_json(value: Mapping[str, Any]) -> Report:
    plain = (
        *("model", "dataset", "protocol", "database", "queries", "answerable", "mean_average_precision", "precision_recall_area"),
        *("recall_at_full_precision", "median_error_m", "descriptor", "identity", "runtime", "precision", "fingerprint", "command"),
        "seconds",
    )
    located = value["located_within_m"]
    return Report(
        **{name: value[name] for name in plain},
        recall=_numbered(value["recall"]),
        recall_answerable=None if value["recall_answerable"] is None else _numbered(value["recall_answerable"]),
        interval={int(top): (low, high) for top, (low, high) in value["recall_interval_95"].items()},
        located=None if located is None else {float(metres): share for metres, share in located.items()},
        bootstrap={name: (low, high) for name, (low, high) in value["bootstrap_interval_95"].items()},
        size=(value["size"][0], value["size"][1]),
        provenance={name: value[name] for name in ("version", "commit", "libraries", "hardware")},
        answers=Answers.from_json(value["answers"]),
    )
