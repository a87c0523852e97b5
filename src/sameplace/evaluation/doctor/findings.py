"""What an examination of a dataset found, as plain values and as a table for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sameplace.geo import Position, Positions

Severity = Literal["wrong", "doubtful", "note"]
SEVERITIES: Mapping[Severity, str] = {
    "wrong": "figures on this dataset are wrong or cannot be had",
    "doubtful": "figures may mean something else than they seem to",
    "note": "worth knowing",
}
SHOWN = 3
BAR = 30


@dataclass(frozen=True, kw_only=True)
class Example:
    """A file, or a line of a table, that a finding is about."""

    path: str
    said: str = ""
    """What is the matter with it, where that differs from one example to the next."""
    position: Position | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is the matter, with its cure."""

    kind: str
    """A name that scripts can rely on."""
    severity: Severity
    said: str
    """What was found, in a sentence without its full stop."""
    cure: str
    """What to do, in a sentence without its full stop."""
    examples: tuple[Example, ...]
    of: int
    """How many there are of what the examples are part of."""

    @property
    def rank(self) -> tuple[int, float]:
        """Worse findings come first, and of equally bad ones those that touch more."""
        return list(SEVERITIES).index(self.severity), -len(self.examples) / max(self.of, 1)

    def to_json(self) -> dict[str, Any]:
        """Plain values; all examples."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "said": self.said,
            "cure": self.cure,
            "count": len(self.examples),
            "examples": [{"path": example.path, "said": example.said} for example in self.examples],
        }


@dataclass(frozen=True, kw_only=True)
class Part:
    """The facts about the database, about the queries, or about photos that are both."""

    name: str
    images: int
    placed: int
    """Images whose position is known."""
    dated: int
    """Images whose time is known."""
    first: datetime | None
    last: datetime | None
    panoramas: int
    sizes: Mapping[tuple[int, int], int]
    """How many images there are of each height and width, the most frequent first."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images,
            "placed": self.placed,
            "dated": self.dated,
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "panoramas": self.panoramas,
            "sizes": [{"width": width, "height": height, "images": count} for (height, width), count in self.sizes.items()],
        }

    @property
    def taken(self) -> str:
        """From when to when, in words."""
        if self.first is None or self.last is None:
            return "-"
        first, last = (f"{time:%Y-%m-%d}" for time in (self.first, self.last))
        return first if first == last else f"{first} to {last}"

    @property
    def shapes(self) -> str:
        """The image sizes, in words."""
        told = [f"{width} x {height}" for height, width in self.sizes]
        return ", ".join(told[:2]) + (f" and {len(told) - 2} more" if len(told) > 2 else "") or "-"


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What is known about a dataset, and what is the matter with it."""

    dataset: str
    protocol: str
    """Empty where nothing can be evaluated."""
    parts: tuple[Part, ...]
    problems: tuple[Finding, ...]
    """Worst first."""
    positives: tuple[int, ...] | None
    """How many right images there are for each query, less those that it must do without; None where that is not known."""
    chance: float | None
    """The recall@1 of blind guessing."""
    utm_zones: tuple[int, ...]
    thorough: bool
    """Whether every pixel was read, and not the headers alone."""
    places: tuple[tuple[str, Positions], ...] = field(default=(), repr=False)
    """Where the images of each part were taken, as far as known; in frames that can be compared."""

    @property
    def sound(self) -> bool:
        """Nothing is wrong, and nothing doubtful."""
        return all(problem.severity == "note" for problem in self.problems)

    def histogram(self) -> dict[str, int]:
        """Queries by their number of right images, in classes that double."""
        counts: dict[str, int] = {}
        for number in sorted(self.positives or ()):
            low = 1 << (number.bit_length() - 1) if number else 0
            high = 2 * low - 1 if number else 0
            name = str(low) if low == high else f"{low}-{high}"
            counts[name] = counts.get(name, 0) + 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol,
            "sound": self.sound,
            "thorough": self.thorough,
            "parts": {part.name: part.to_json() for part in self.parts},
            "positives_per_query": None if self.positives is None else self.histogram(),
            "chance_recall": self.chance,
            "utm_zones": list(self.utm_zones),
            "problems": [problem.to_json() for problem in self.problems],
        }

    def __str__(self) -> str:
        """A table for people."""
        lines = [f"{self.dataset}: {self.protocol}" if self.protocol else self.dataset, ""]
        lines += self._table()
        if self.positives:
            lines += ["", "right images per query"]
            most = max(self.histogram().values())
            for name, count in self.histogram().items():
                lines.append(f"{name:>11}  {'#' * max(round(BAR * count / most), 1):<{BAR}}  {count:,}")
        if self.chance is not None:
            lines += ["", f"Blind guessing reaches recall@1 = {100 * self.chance:.1f} %."]
        for problem in self.problems:
            lines += ["", f"{problem.severity}: {problem.said}.", *_shown(problem), f"  {problem.cure}."]
        read = "every pixel was read" if self.thorough else "headers were read, no pixels (--thorough reads them)"
        return "\n".join([*lines, "", f"{'Nothing is the matter' if not self.problems else self._counted()}; {read}."])

    def facts(self) -> dict[str, list[str]]:
        """What is known about each part, in words, line by line."""
        return {
            "images": [f"{part.images:,}" for part in self.parts],
            "with position": [f"{part.placed:,}" for part in self.parts],
            "with time": [f"{part.dated:,}" for part in self.parts],
            "taken": [part.taken for part in self.parts],
            "panoramas": [f"{part.panoramas:,}" for part in self.parts],
            "pixels": [part.shapes for part in self.parts],
        }

    def _table(self) -> list[str]:
        rows = {"": [part.name for part in self.parts], **self.facts()}
        wide = [max(len(cells[at]) for cells in rows.values()) for at in range(len(self.parts))]
        return [
            f"{name:<13}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, wide, strict=True))
            for name, cells in rows.items()
        ]

    def _counted(self) -> str:
        severities = [problem.severity for problem in self.problems]
        return ", ".join(f"{severities.count(severity)} {severity}" for severity in SEVERITIES if severity in severities)


def _shown(problem: Finding) -> list[str]:
    """The first examples, each with what is the matter with it, and how many more there are."""
    lines = []
    for example in problem.examples[:SHOWN]:
        # What is the matter may begin with the file's name already.
        already = example.said.startswith(Path(example.path).name)
        lines.append(f"  {example.said if already else ': '.join(filter(None, (example.path, example.said)))}")
    more = len(problem.examples) - SHOWN
    return lines + ([f"  ... and {more:,} more; --json lists them all"] if more > 0 else [])
