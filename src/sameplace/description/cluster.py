"""Description on a Ray cluster: batches go to actors on many machines, and come back once each, whoever dies meanwhile."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sameplace.describer import Describer
from sameplace.description.actor import Actor, Introduction, Parcel, Work, check
from sameplace.description.batches import Described, called
from sameplace.errors import MissingExtra, SameplaceError
from sameplace.images import Problem, View

SCHEME = "ray://"
BATCH = 32
AT_A_TIME = 2
"""Batches that an actor has: one at work and one waiting, so that it never waits for us."""
AHEAD = 4
"""Batches for each actor between the oldest that is not done and the youngest that is begun: what is in memory here."""
TRIES = 3
"""Deaths after which a batch is taken apart, and then a photo left out: it may be what kills."""
START_SECONDS = 300.0
MOST_CORES_FOR_A_GPU = 8


def is_cluster(workers: object) -> bool:
    """Whether this means a Ray cluster, and no number of threads.

    >>> is_cluster("ray://head.example:10001"), is_cluster(4)
    (True, False)
    """
    return isinstance(workers, str) and workers.startswith(SCHEME)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Sources that are described together, known by the rows from first up to but without last."""

    first: int
    last: int
    suspected: bool = False
    """Whether an actor has died with it, perhaps by the batch beside it; from then on it gets an actor for itself."""
    deaths: int = 0
    """Actors that died with it alone."""


@dataclass(kw_only=True, eq=False)
class Worker:
    """An actor as seen from here."""

    handle: Any
    alive: bool = True
    batches: int = 0
    alone: bool = False
    """Whether the batch that it has is suspected."""

    def has_room_for(self, batch: Batch) -> bool:
        """Whether it may get another batch."""
        return self.batches == 0 or (self.batches < AT_A_TIME and not self.alone and not batch.suspected)


@dataclass(kw_only=True, eq=False)
class Run:
    """One call of `Cluster.describe`: what waits, what is under way, and what is done but not yet handed on."""

    sources: Sequence[str | Path | bytes | View]
    waiting: deque[Batch]
    under_way: dict[Any, tuple[Batch, Worker]] = field(default_factory=dict)
    done: dict[int, Described] = field(default_factory=dict)
    next_row: int = 0


class Cluster:
    """Actors on a Ray cluster that describe with one model; use it in a `with` block.

    ray://HOST:PORT is a cluster from outside (Ray Client), ray://auto the one that this machine belongs to, and ray://local starts
    one on this machine alone. Each GPU gets an actor; where there is none, each core does; ?actors=N behind the address asks for
    fewer, so that others have room. All machines read the photos by the same paths. MissingExtra without ray, SameplaceError where
    the cluster is not there or its machines differ.
    """

    def __init__(self, address: str, describer: Describer, source: str = "", *, actors: int | None = None) -> None:
        """`source` is the published name or the file that the model came from."""
        self.address, _, asked = address.partition("?")
        self.describer = describer
        self._actors = _actors(asked) if actors is None else actors
        self._parcel: Any = None
        self._source = source or describer.name
        self.runtimes: set[str] = set()
        """What the machines compute with."""
        self._workers: list[Worker] = []
        self._starting: dict[Any, Worker] = {}
        self._deaths_in_a_row = 0
        self._began = False
        self._on_gpu, self._cores, self._wanted = False, 1, 1

    def __enter__(self) -> "Cluster":
        try:
            ray: Any = import_module("ray")
        except ImportError as missing:
            raise MissingExtra(f"Describing on {self.address}", "ray") from missing
        self._ray: Any = ray
        self._join()
        self._parcel = ray.put(Parcel.of(self.describer, self._source))
        resources = ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        self._on_gpu = gpus > 0
        self._cores = max(1, min(MOST_CORES_FOR_A_GPU, cores // gpus)) if gpus else 1
        self._wanted = self._actors or max(1, gpus or cores)
        for _ in range(self._wanted):
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in (*self._workers, *self._starting.values()):
            self._ray.kill(worker.handle)
        if self._began:
            self._ray.shutdown()

    def describe(self, sources: Sequence[str | Path | bytes | View], *, batch: int = BATCH) -> Iterator[Described]:
        """Describe photos in order, as `sameplace.describe` does."""
        run = Run(
            sources=sources,
            waiting=deque(Batch(first=first, last=min(first + batch, len(sources))) for first in range(0, len(sources), batch)),
        )
        idle_since = time.monotonic()
        try:
            while run.next_row < len(sources):
                self._give(run, batch)
                if self._step(run):
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > START_SECONDS and not self._workers:
                    raise SameplaceError(
                        f"No worker could start on {self.address} within {START_SECONDS:.0f} s; is the cluster busy with other "
                        f"work, or has it no machine with {self._cores} free cores?"
                    )
                while (described := run.done.pop(run.next_row, None)) is not None:
                    run.next_row += len(described.rows) + len(described.failures)
                    yield described
        finally:
            for reference in run.under_way:
                self._ray.cancel(reference)
            for worker in self._workers:
                worker.batches = 0

    def _join(self) -> None:
        if self._ray.is_initialized():
            return
        where = self.address.removeprefix(SCHEME)
        local = where in ("", "local")
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if local:
                self._ray.init(address="local", include_dashboard=False, **quiet)
            elif where == "auto":
                self._ray.init(address="auto", **quiet)
            else:
                self._ray.init(address=self.address)
        except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SameplaceError(
                f"There is no Ray cluster at {self.address} ({why}); start one with `ray start --head`, check the address, or use "
                f"ray://local."
            ) from error
        self._began = True

    def _start(self) -> None:
        actor = self._ray.remote(num_cpus=self._cores, num_gpus=1 if self._on_gpu else 0)(Actor)
        worker = Worker(handle=actor.remote(self._parcel, self._cores, self._on_gpu))
        self._starting[worker.handle.introduce.remote()] = worker

    def _give(self, run: Run, batch: int) -> None:
        """Hand batches to actors that have room, not farther ahead than memory allows."""
        ahead = AHEAD * self._wanted * batch
        for worker in sorted(self._workers, key=lambda worker: worker.batches):
            while run.waiting and run.waiting[0].first < run.next_row + ahead and worker.has_room_for(run.waiting[0]):
                one = run.waiting.popleft()
                worker.alone = one.suspected
                given = [str(source) if isinstance(source, Path) else source for source in run.sources[one.first : one.last]]
                run.under_way[worker.handle.describe.remote(given)] = (one, worker)
                worker.batches += 1

    def _step(self, run: Run) -> bool:
        """Wait for one thing to happen, and take it in; False where nothing did."""
        expected = [*self._starting, *run.under_way]
        ready, _ = self._ray.wait(expected, num_returns=1, timeout=1.0)
        for reference in ready:
            if reference in self._starting:
                self._introduced(reference)
            else:
                self._taken(run, reference)
        return bool(ready)

    def _introduced(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        introduction = self._answer(reference, worker)
        if isinstance(introduction, Introduction):
            check(introduction, self.describer)
            self.runtimes.add(introduction.runtime)
            self._workers.append(worker)

    def _taken(self, run: Run, reference: Any) -> None:
        """Take in the answer of an actor, or give its batch to another one."""
        one, worker = run.under_way.pop(reference)
        worker.batches -= 1
        work = self._answer(reference, worker)
        if isinstance(work, Work):
            if lost := [path for path in work.not_here if os.path.lexists(path)]:
                raise SameplaceError(
                    f"A Ray worker does not see {lost[0]}, which is here; mount its folder under the same path on all machines."
                )
            run.done[one.first] = _numbered(work.described, run, one)
            return
        died = replace(one, suspected=True, deaths=one.deaths + one.suspected)
        if died.deaths < TRIES:
            run.waiting.appendleft(died)
        elif died.last - died.first > 1:
            run.waiting.extendleft(Batch(first=row, last=row + 1) for row in reversed(range(died.first, died.last)))
        else:
            run.done[died.first] = self._given_up(run.sources[died.first], died.first)

    def _answer(self, reference: Any, worker: Worker) -> Any:
        """What an actor answers; None where it has died, in whose place another one starts."""
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, SameplaceError) else error) from None
        except errors.RayError as error:
            if worker.alive:
                self._bury(worker, error)
            return None
        self._deaths_in_a_row = 0
        return answer

    def _bury(self, worker: Worker, error: Exception) -> None:
        worker.alive = False
        self._ray.kill(worker.handle)  # whatever is left of it
        self._deaths_in_a_row += 1
        if worker in self._workers:
            self._workers.remove(worker)
            most = 10 * TRIES * self._wanted
        else:
            most = TRIES
        if self._deaths_in_a_row > most:
            why = next(iter(str(error).strip().splitlines()[::-1]), type(error).__name__).strip()
            raise SameplaceError(
                f"The workers on {self.address} died {self._deaths_in_a_row} times in a row ({why}); is sameplace installed on all "
                f"machines, and is there memory enough?"
            )
        self._start()

    def _given_up(self, source: str | Path | bytes | View, row: int) -> Described:
        reason = f"the worker that describes it dies, {TRIES} times by itself; leave it out, or look at it on one machine"
        return Described(
            rows=np.empty(0, np.int64),
            descriptors=np.empty((0, self.describer.dim), np.float32),
            failures=(Problem(path=called(source, row), reason=reason),),
        )


def _actors(asked: str) -> int | None:
    """How many actors an address asks for behind its question mark."""
    name, _, count = asked.partition("=")
    if asked and not (name == "actors" and count.isdecimal() and int(count) > 0):
        raise SameplaceError(f"Behind a cluster's address goes ?actors= and a number of actors, 1 or more, got ?{asked}.")
    return int(count) if asked else None


def _numbered(described: Described, run: Run, batch: Batch) -> Described:
    """What an actor says of the rows of its batch, said of those of the run."""
    rows = described.rows + batch.first
    failed = sorted(set(range(batch.first, batch.last)) - set(rows.tolist()))
    failures = zip(failed, described.failures, strict=True)
    return Described(
        rows=rows,
        descriptors=described.descriptors,
        failures=tuple(Problem(path=called(run.sources[row], row), reason=problem.reason) for row, problem in failures),
    )
