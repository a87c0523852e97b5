"""Passes: when images were taken, as far as is known, and which of them one device took on one drive."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import nan

import numpy as np

from sameplace.images import ImageRecord
from sameplace.shapes import Array, Bool, Float64, Int64

SEQUENCES = ("sequence", "sequence_id", "sequence_key")
STAMPS = ("time_stamp", "time", "date")
"""Columns with a time that is no more than a name of a pass: Tokyo Time Machine's, or a month."""
ZONES_APART_S = 14 * 3600.0
"""What a clock shows lies within so many seconds of Greenwich."""
UNKNOWN = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """When each image was taken."""

    earliest: Float64[Array, " images"]
    """Seconds since 1970, by its own clock where that names no zone; NaN where nothing is known."""
    latest: Float64[Array, " images"]
    """The same as the earliest, or the last second of the month or year that is all that is known."""
    zoned: Bool[Array, " images"]
    stamps: Int64[Array, " images"]
    """Equal for equal words, where a time was said in words that are no time; -1 elsewhere."""

    def differ(self, first: Int64[Array, " pairs"], second: Int64[Array, " pairs"], same_pass: float) -> Bool[Array, " pairs"]:
        """Which pairs are surely of another time: more than `same_pass` seconds apart, or of different months or stamps."""
        apart = np.maximum(self.earliest[first], self.earliest[second]) - np.minimum(self.latest[first], self.latest[second])
        slack = np.where(self.zoned[first] == self.zoned[second], 0.0, ZONES_APART_S)
        whole_months = (self.earliest != self.latest)[first] | (self.earliest != self.latest)[second]
        # NaN is neither more nor less than anything: who says no time is of no other time.
        by_clock = apart > np.where(whole_months, slack, same_pass + slack)
        by_word = (self.stamps[first] != self.stamps[second]) & (self.stamps[first] >= 0) & (self.stamps[second] >= 0)
        different: Bool[Array, " pairs"] = by_clock | by_word
        return different


def moments(images: Sequence[ImageRecord]) -> Moments:
    """When each image was taken, be it to the second, to the month, or by a stamp that is only known to differ from others."""
    spans = [_span(image) for image in images]
    words: dict[str, int] = {}
    stamps = [
        words.setdefault(word, len(words)) if span is None and (word := _word(image)) else UNKNOWN
        for image, span in zip(images, spans, strict=True)
    ]
    return Moments(
        earliest=np.array([nan if span is None else span[0] for span in spans], np.float64),
        latest=np.array([nan if span is None else span[1] for span in spans], np.float64),
        zoned=np.array([image.time is not None and image.time.tzinfo is not None for image in images], bool),
        stamps=np.array(stamps, np.int64),
    )


def passes(images: Sequence[ImageRecord], known: Moments, same_pass: float) -> Int64[Array, " images"]:
    """The number of the pass that each image was taken on, -1 where that cannot be told.

    A pass is what one device took without a break longer than `same_pass` seconds, or on one day, month or stamp where no more is
    known; a sequence and a panorama are never torn.

    >>> from pathlib import Path
    >>> taken = [ImageRecord(path=Path(f"{second}.jpg"), time=datetime.fromtimestamp(second, UTC)) for second in (0, 9, 900, 905)]
    >>> passes(taken, moments(taken), 600.0).tolist()
    [0, 0, 1, 1]
    """
    groups = Groups(len(images))
    last: dict[Hashable, int] = {}
    told = np.zeros(len(images), bool)
    for row in np.argsort(known.earliest, kind="stable").tolist():
        image = images[row]
        exact = bool(known.earliest[row] == known.latest[row])
        when = "by the clock" if exact else _word(image)
        device = (image.camera, image.extra.get("creator", ""), bool(known.zoned[row]), when)
        sequence = _sequence(image)
        told[row] = bool(when) or sequence is not None
        before = last.get(device)
        if when and before is not None and (not exact or known.earliest[row] - known.earliest[before] <= same_pass):
            groups.join(row, before)
        last[device] = row
        for kind, name in (("sequence", sequence), ("panorama", image.panorama)):
            if name is not None:
                groups.join(row, last.setdefault((kind, name), row))
    numbers = np.full(len(images), UNKNOWN, np.int64)
    numbers[told] = np.unique(groups.roots()[told], return_inverse=True)[1]
    return numbers


class Groups:
    """Things that are joined to ever larger groups (union-find)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def join(self, first: int, second: int) -> None:
        """Let two things and all that they are joined to be of one group, which bears the lowest number among them."""
        low, high = sorted((self._root(first), self._root(second)))
        self._above[high] = low

    def roots(self) -> Int64[Array, " count"]:
        """The lowest number in each thing's group."""
        return np.array([self._root(one) for one in range(len(self._above))], np.int64)

    def _root(self, one: int) -> int:
        while self._above[one] != one:
            self._above[one] = self._above[self._above[one]]
            one = self._above[one]
        return one


def _span(image: ImageRecord) -> tuple[float, float] | None:
    """Earliest and latest second, or None where no time is said, or in words that are none."""
    if image.time is not None:
        second = (image.time if image.time.tzinfo is not None else image.time.replace(tzinfo=UTC)).timestamp()
        return second, second
    found = re.fullmatch(r"(\d{4})(?:[-/.]?(\d{2}))?", _word(image))
    year, month = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    if not (1900 <= year < 2200 and month <= 12):
        return None
    after = (year, month + 1) if 0 < month < 12 else (year + 1, 1)
    return datetime(year, month or 1, 1, tzinfo=UTC).timestamp(), datetime(*after, 1, tzinfo=UTC).timestamp() - 1


def _word(image: ImageRecord) -> str:
    return next((image.extra[name].strip() for name in STAMPS if image.extra.get(name, "").strip()), "")


def _sequence(image: ImageRecord) -> str | None:
    return next((image.extra[name] for name in SEQUENCES if image.extra.get(name)), None)
