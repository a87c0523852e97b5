"""How long a polite client waits: for a server that is busy, that says when to come again, or that does not answer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import TypeVar

from sameplace.errors import DatasetError

Answer = TypeVar("Answer")


class Faulty(Exception):  # noqa: N818  (a fault that passes is no error yet)
    """An answer that may be better next time."""

    def __init__(self, reason: str, *, busy: bool = False, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.busy = busy
        """Whether the server wants fewer requests, from all of us."""
        self.seconds = seconds
        """When it wants to be asked again, where it says so."""


class UnreachableError(DatasetError):
    """Every attempt failed."""


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """The work was called off while waiting."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often is asked, and how long is waited in between, in seconds."""

    attempts: int = 6
    first: float = 1.0
    """Before the second attempt; doubled before each further one."""
    busy: float = 15.0
    """Before the second attempt where a busy server does not say how long; doubled likewise."""
    longest: float = 120.0
    """The longest wait of our own choice."""
    asked: float = 900.0
    """The longest wait that a server may ask for; for more, the work is put off."""
    timeout: float = 60.0
    """For each answer, and for each part of one."""


class Gate:
    """Lets requests to one server pass, or holds all of them back for a while, whichever thread was told so."""

    def __init__(self, name: str, patience: Patience) -> None:
        self.name = name
        self.patience = patience
        self._closed_until = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Call off whatever waits here, now and later."""
        self._stopped.set()

    def check(self) -> None:
        """Stopped where the work was called off."""
        if self._stopped.is_set():
            raise Stopped

    def patiently(self, ask: Callable[[], Answer], attempts: int | None = None) -> Answer:
        """Ask until there is an answer: UnreachableError after so many faults, DatasetError where the server stays busy."""
        faults = busy = 0
        while True:
            self._wait()
            try:
                return ask()
            except Faulty as fault:
                faults, busy = faults + (not fault.busy), busy + fault.busy
                if faults >= (attempts or self.patience.attempts):
                    reason = f"{self.name} gave no usable answer in {faults} attempts ({fault})"
                    raise UnreachableError(f"{reason}; run the same command again later.") from None
                if busy >= self.patience.attempts:
                    raise DatasetError(f"{self.name} stays too busy ({fault}); run the same command again later.") from None
                self._hold(fault, (busy if fault.busy else faults) - 1)

    def _wait(self) -> None:
        while (left := self._closed_until - monotonic()) > 0:
            if self._stopped.wait(left):
                break
        self.check()

    def _hold(self, fault: Faulty, attempt: int) -> None:
        if fault.seconds is not None and fault.seconds > self.patience.asked:
            raise DatasetError(
                f"{self.name} asks to be left alone for {fault.seconds / 60:.0f} minutes ({fault}); "
                f"run the same command again after that."
            ) from fault
        own = (self.patience.busy if fault.busy else self.patience.first) * 2**attempt
        seconds = fault.seconds if fault.seconds is not None else min(own, self.patience.longest)
        if fault.busy:
            with self._lock:
                self._closed_until = max(self._closed_until, monotonic() + seconds)
        elif self._stopped.wait(seconds):
            raise Stopped


def retry_after(header: str | None) -> float | None:
    """Seconds that a header Retry-After asks for, as a number or as a date; None for one that cannot be understood, or none.

    >>> retry_after("120")
    120.0
    """
    text = (header or "").strip()
    if text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
