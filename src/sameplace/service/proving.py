"""Geometric proof: local features that a photo and a match have in common, within a stated time for each question."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

from anyio import to_thread

from sameplace.atlas.estimate import Estimate, Verification
from sameplace.atlas.verified import verified
from sameplace.errors import ImageError, ModelError
from sameplace.service.line import Line
from sameplace.service.pictures import GONE
from sameplace.service.problems import Refusal, busy
from sameplace.shapes import Array, Float64
from sameplace.threads import usable_cores
from sameplace.verification import Matched, Verifier, best_verifier
from sameplace.verification.bearing import Bearing, bearing, focal_length
from sameplace.verification.proof import ends

FEATURE_BYTES = 200_000_000
"""Memory for local features of photos of the atlas, which need not be found again."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Proof:
    """What a photo and a match have in common."""

    matched: Matched
    lines: Float64[Array, "lines 4"]
    bearing: Bearing | None
    """How the photo's camera stood to that of the match; None where that was not proved, or cannot be told."""


class Proving:
    """Compares photos with matches; `why_not` says in a sentence why it does not."""

    def __init__(self, *, most: int, seconds: float, waiting: int, verifier: Verifier | None = None) -> None:
        self.seconds = seconds
        self.why_not = _why_not(most)
        self.most = most
        self.line = Line(usable_cores(), waiting)
        self._given = verifier

    @cached_property
    def verifier(self) -> Verifier:
        """What compares, made when it is first asked for."""
        made = self._given or best_verifier()
        made.memory_bytes = min(made.memory_bytes, FEATURE_BYTES)
        return made

    def check(self) -> None:
        """Refuse where nothing is compared."""
        if self.why_not is not None:
            raise Refusal(HTTPStatus.CONFLICT, self.why_not)

    async def verified(self, answer: Estimate, photo: bytes, count: int, top: int) -> Estimate:
        """The answer with its best matches compared as far as the seconds reach, which begin now, not when its turn comes."""
        asked, wanted = time.perf_counter(), min(count, self.most, len(answer.matches))

        def told(done: Estimate, compared: int, *, stopped: bool) -> Estimate:
            verification = Verification(
                by=self.verifier.identity,
                least=self.verifier.least,
                wanted=wanted,
                compared=compared,
                stopped=stopped,
                seconds=time.perf_counter() - asked,
                budget=self.seconds,
            )
            return replace(done, matches=done.matches[:top], verification=verification)

        def work() -> Estimate:
            left = max(self.seconds - (time.perf_counter() - asked), 1e-6)
            with self._unnamed():
                done = verified(answer, photo, self.verifier, count=wanted, top=top, seconds=left)
            did = done.verification
            return done if did is None else told(done, did.compared, stopped=did.stopped)

        def untold() -> Estimate:
            with self._unnamed():
                return told(answer, 0, stopped=True)

        try:
            return await self.line.run(work, seconds=self.seconds)
        except TimeoutError:
            # In a thread: whoever asks first for what compares loads it, and the others wait for that.
            return await to_thread.run_sync(untold)

    async def proof(self, photo: bytes, match: Path) -> Proof:
        """What a photo and one of the atlas have in common; FileNotFoundError where that one has gone."""
        try:
            return await self.line.run(lambda: self._proof(photo, match), seconds=self.seconds)
        except TimeoutError:
            raise busy("Too many photos are compared at this moment; send this one again in a few seconds.") from None

    @contextmanager
    def _unnamed(self) -> Iterator[None]:
        """Let no error out that names a folder of this machine: that features cannot be found here is said once for all."""
        try:
            yield
        except ModelError as error:
            logging.getLogger(__name__).warning("Matches are not compared: %s", error)
            self.why_not = "Matches cannot be compared point by point on this machine."
            raise Refusal(HTTPStatus.CONFLICT, self.why_not) from None

    def _proof(self, photo: bytes, match: Path) -> Proof:
        with self._unnamed():
            return self._proved(photo, match)

    def _proved(self, photo: bytes, match: Path) -> Proof:
        query = self.verifier.features(photo)
        try:
            other = self.verifier.features(match)
        except ImageError:  # whose sentence names the file
            raise FileNotFoundError(GONE) from None
        matched = self.verifier.compare(query, other)
        seen = None
        if matched.count >= self.verifier.least:
            seen = bearing(query, other, matched, query_mm=focal_length(photo), match_mm=focal_length(match))
        return Proof(matched=matched, lines=ends(query, other, matched), bearing=seen)


def _why_not(most: int) -> str | None:
    if most < 1:
        return "Those who run this service have matches not compared point by point."
    if find_spec("cv2") is None:
        return "Matches are not compared point by point; those who run the service can pip install 'sameplace[verify]' for it."
    return None
