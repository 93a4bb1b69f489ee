"""Runs in processes of this machine, one per core. Stage: study.

Each process carries out one run at a time. One that dies costs its own run alone, which is started
again. One that has come to hold too much memory is replaced between two runs.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import psutil

from adaps.collect.cores import cores
from adaps.errors import UserError
from adaps.extensions import process_started, starting_processes
from adaps.study.job import ATTEMPTS, GIB, Job, Listener, Outcome, Worker, check_memory

MEMORY_CHECK_SECONDS = 0.5
"""Between two checks of the memory that is free."""


class Local:
    """Carries out runs on this machine."""

    def __init__(self, workers: int | None, memory_gib: float) -> None:
        """Choose how many runs are under way at a time.

        Args:
            workers: how many; None: one per core as far as memory allows, and one on an
                accelerator.
            memory_gib: what a run may hold, in 2³⁰ bytes.

        Raises:
            UserError: out of range.
        """
        if workers is not None and workers < 1:
            raise UserError(f"--workers must be at least 1, not {workers}")
        check_memory(memory_gib)
        # On an accelerator, this process and its workers would each take all of its memory.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.memory = int(memory_gib * GIB)
        self.workers = workers or _default_workers(self.memory)

    def run(self, work: Worker, jobs: Sequence[Job], out: Path, listener: Listener) -> None:
        """Carry out ``jobs`` with ``work`` and tell ``listener``; returns when all have ended.

        Raises:
            KeyboardInterrupt: after its processes have been ended.
        """
        queue = JobQueue(jobs)
        num_lanes = min(self.workers, len(jobs))
        with contextlib.ExitStack() as stack:
            lanes = [stack.enter_context(Lane(core, work, out)) for core in range(num_lanes)]
            running: dict[Future[Outcome], Attempt] = {}
            try:
                while queue or running:
                    busy = [attempt.lane for attempt in running.values()]
                    for lane in lanes:
                        if lane not in busy and queue and self._fits_one_more(running):
                            job = queue.next_after(lane.setting)
                            listener.started(job)
                            running[lane.start(job)] = Attempt(lane, job, 1)
                    for ended in wait(running, MEMORY_CHECK_SECONDS, FIRST_COMPLETED).done:
                        self._end(ended, running, listener)
            except BaseException:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise

    def _fits_one_more(self, running: "Running") -> bool:
        """Whether there is memory for one more run, or no run that could free any."""
        return not running or psutil.virtual_memory().available >= self.memory

    def _end(self, ended: Future[Outcome], running: "Running", listener: Listener) -> None:
        """Tell how a run ended; start it again where its process died."""
        lane, job, number = running.pop(ended)
        try:
            outcome = ended.result()
        except BrokenProcessPool:
            if number < ATTEMPTS:
                running[lane.start(job)] = Attempt(lane, job, number + 1)
                return
            outcome = Outcome(0.0, 0.0, None, f"its process died, {ATTEMPTS} times")
        listener.ended(job, outcome)
        if outcome.memory_mb * 1024**2 > self.memory:
            lane.replace_process()


class JobQueue:
    """Runs that are still to start, by setting: a lane stays with one as long as it can.

    Seeds of a setting run what its first has compiled, and no two lanes compile the same.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._settings: dict[str, deque[Job]] = {job.setting: deque() for job in jobs}
        for job in jobs:
            self._settings[job.setting].append(job)
        self._begun: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._settings.values()))

    def next_after(self, last: str | None) -> Job:
        """The next for a lane whose last run was of setting ``last``; there must be one left.

        One of the same setting, of one that no lane has begun, or where most are left.
        """

        def preference(setting: str) -> tuple[bool, bool, int]:
            num_left = len(self._settings[setting])
            return setting == last, setting not in self._begun, num_left

        chosen = max((s for s, jobs in self._settings.items() if jobs), key=preference)
        self._begun.add(chosen)
        return self._settings[chosen].popleft()


class Lane:
    """A process that carries out one run at a time, and is replaced when it dies."""

    def __init__(self, core: int, work: Worker, out: Path) -> None:
        self.core, self.work, self.out = core, work, out
        self.setting: str | None = None
        """Of its last run, whose compiled programs it still holds."""
        self._process = self._new_process()

    def __enter__(self) -> "Lane":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def start(self, job: Job) -> Future[Outcome]:
        """Start a run; the process may have died since the last one."""
        self.setting = job.setting
        try:
            return self._submitted(job)
        except BrokenProcessPool:
            self.replace_process()
            return self._submitted(job)

    def _submitted(self, job: Job) -> Future[Outcome]:
        with starting_processes():
            return self._process.submit(self.work, job, self.out)

    def replace_process(self) -> None:
        """Start a fresh process, which holds no memory."""
        self._process.shutdown()
        self._process = self._new_process()

    def _new_process(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        with starting_processes():
            return ProcessPoolExecutor(1, spawn, _prepare, (self.core,))


class Attempt(NamedTuple):
    """A run in a lane, and how often it has been started."""

    lane: Lane
    job: Job
    number: int


Running = dict[Future[Outcome], Attempt]


def _default_workers(memory: int) -> int:
    """One run per core, as far as the memory that is free allows."""
    import jax  # noqa: PLC0415

    if jax.default_backend() != "cpu":
        return 1
    return min(cores(), max(1, psutil.virtual_memory().available // memory))


def _prepare(core: int) -> None:
    """Set up a new process: on a core of its own, and ended as soon as the study's own process is.

    What one process has compiled, the others load: see :mod:`adaps.files.compile_cache`.
    """
    process_started()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [allowed[core % len(allowed)]])
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
