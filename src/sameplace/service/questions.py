"""Questions that come at the same time are answered together: one thread describes, in batches of whatever waits."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from sameplace.atlas import Estimate, Where
from sameplace.atlas.answering import LEVEL
from sameplace.atlas.calibration import FALSE_ACCEPT
from sameplace.errors import ImageError
from sameplace.images import Problem
from sameplace.service.edition import Edition
from sameplace.service.problems import busy

BATCH = 16


@dataclass(frozen=True, kw_only=True)
class Ways:
    """Questions of equal ways are answered together."""

    where: Where | None = None
    level: float = LEVEL
    false_accept: float = FALSE_ACCEPT


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """An estimate, and the edition that gave it."""

    estimate: Estimate
    edition: Edition


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """A photo whose place somebody waits for."""

    photo: bytes
    top: int
    ways: Ways
    answer: Future[Answer] = field(default_factory=Future)


class Questions:
    """The line of questions, and the thread that answers them."""

    def __init__(self, newest: Callable[[], Edition], *, waiting: int, told: Callable[[int], None] = lambda _: None) -> None:
        """`told` hears how many were answered together."""
        self._newest = newest
        self._told = told
        self._line: queue.Queue[Question | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="questions", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return self._line.qsize()

    async def ask(self, photo: bytes, top: int, ways: Ways) -> Answer:
        """The answer to a photo; ImageError where it cannot be read, AtlasError where no photo of the atlas may be asked."""
        question = Question(photo=photo, top=top, ways=ways)
        try:
            self._line.put_nowait(question)
        except queue.Full:
            raise busy("Too many photos wait to be located; send this one again in a few seconds.") from None
        return await asyncio.wrap_future(question.answer)

    def close(self) -> None:
        """Answer what waits, and stop."""
        self._line.put(None)
        self._thread.join()

    def _work(self) -> None:
        going = True
        while going:
            taken = [self._line.get()]
            while len(taken) < BATCH and taken[-1] is not None:
                try:
                    taken.append(self._line.get_nowait())
                except queue.Empty:
                    break
            going = taken[-1] is not None
            # Those whose clients have gone are not described.
            waiting = [question for question in taken if question is not None and question.answer.set_running_or_notify_cancel()]
            for ways in dict.fromkeys(question.ways for question in waiting):
                alike = [question for question in waiting if question.ways == ways]
                self._told(len(alike))
                self._answer(alike)

    def _answer(self, questions: list[Question]) -> None:
        try:
            edition = self._newest()
            ways, top = questions[0].ways, max(one.top for one in questions)
            asked = [one.photo for one in questions]
            found = list(edition.atlas.locate_all(asked, top, where=ways.where, level=ways.level, false_accept=ways.false_accept))
        except BaseException as error:
            if len(questions) == 1:
                questions[0].answer.set_exception(error)
            else:  # nobody suffers from the photo of somebody else
                for one in questions:
                    self._answer([one])
            return
        for one, estimate in zip(questions, found, strict=True):
            if isinstance(estimate, Problem):
                one.answer.set_exception(ImageError(estimate.reason))
            else:
                one.answer.set_result(Answer(estimate=replace(estimate, matches=estimate.matches[: one.top]), edition=edition))
