"""A line: work that is done so many at a time, and that not too many may wait for."""

from collections.abc import Callable
from math import inf
from typing import TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

from sameplace.service.problems import busy

Result = TypeVar("Result")


class Line:
    """Where those who ask for the same kind of work stand; what waits here takes no thread."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._limiter = CapacityLimiter(at_once)
        self._waiting = waiting

    def __len__(self) -> int:
        return self._limiter.statistics().tasks_waiting

    async def run(self, work: Callable[[], Result], *, seconds: float = inf) -> Result:
        """What the work gives; a refusal where too many wait, TimeoutError where its turn does not come within the seconds.

        What was begun is finished, however long it takes.
        """
        if len(self) >= self._waiting:
            raise busy("Too many photos wait to be looked at in this way; send this one again in a few seconds.")
        with fail_after(seconds):
            return await to_thread.run_sync(work, limiter=self._limiter)
