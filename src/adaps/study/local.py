"""Runs in processes of this machine, one per core. Stage: study.

Every process is a lane of its own: one that dies takes only its own run with it, which is begun
anew. A process that has come to hold much memory is replaced between two runs.
"""

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import jax
import psutil

from adaps.errors import UserError
from adaps.study.board import Board
from adaps.study.plan import Job
from adaps.study.worker import Outcome, work

ATTEMPTS = 3
"""Times that a run is begun whose process dies."""
PATIENCE_SECONDS = 0.5
"""Between two looks at the memory that is free."""
GIB = 1024**3
MOST_GIB = 1024**2
PROGRAMS = ".programs"
"""Folder of what has been compiled, in the study's while it goes on."""


def check_memory(memory_gib: float) -> None:
    """Refuse what no run can hold.

    Raises:
        UserError: a number that cannot be.
    """
    if not 0 < memory_gib <= MOST_GIB:
        raise UserError(f"--memory-gib must be above 0 and at most {MOST_GIB}, not {memory_gib}")


class Local:
    """Carries out runs on this machine."""

    def __init__(self, workers: int | None, memory_gib: float) -> None:
        """Choose how many runs go on at a time.

        Args:
            workers: how many; None: one per core as far as memory allows, and one on an
                accelerator.
            memory_gib: what a run may hold, in 2³⁰ bytes.

        Raises:
            UserError: a number that cannot be.
        """
        if workers is not None and workers < 1:
            raise UserError(f"--workers must be at least 1, not {workers}")
        check_memory(memory_gib)
        # On an accelerator, this process and its workers would each take all of its memory.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        self.memory = int(memory_gib * GIB)
        self.workers = workers or _fitting(self.memory)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._busy = 0

    def run(self, jobs: Sequence[Job], out: Path, board: Board) -> None:
        """Carry out ``jobs`` and tell ``board``; returns when all have ended.

        Raises:
            KeyboardInterrupt: after its processes have been ended.
        """
        waiting = Waiting(jobs)
        lanes = [Lane(number, out, self.memory) for number in range(min(self.workers, len(jobs)))]
        with (
            _emptied(out / PROGRAMS),
            ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as threads,
        ):
            each = [threads.submit(self._work_through, waiting, lane, board) for lane in lanes]
            try:
                wait(each)
            except BaseException:
                self._stopping.set()
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
        for ended in each:
            ended.result()

    def _work_through(self, waiting: "Waiting", lane: "Lane", board: Board) -> None:
        """One run after another."""
        job = None
        with lane:
            while (job := waiting.after(job)) is not None and self._enough_memory():
                board.started(job)
                outcome = lane.carry_out(job, self._stopping)
                with self._lock:
                    self._busy -= 1
                if outcome is not None:
                    board.ended(job, outcome)

    def _enough_memory(self) -> bool:
        """Wait for memory for one more run, unless no run is left that could free any.

        False where everything is to stop.
        """
        while not self._stopping.is_set():
            with self._lock:
                if self._busy == 0 or psutil.virtual_memory().available >= self.memory:
                    self._busy += 1
                    return True
            time.sleep(PATIENCE_SECONDS)
        return False


class Waiting:
    """Runs that are still to begin, by setting: a lane stays with one as long as it can.

    Seeds of a setting run what its first has compiled, and no two lanes compile the same.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._settings: dict[str, deque[Job]] = defaultdict(deque)
        for job in jobs:
            self._settings[_setting(job)].append(job)
        self._begun: set[str] = set()
        self._lock = threading.Lock()

    def after(self, job: Job | None) -> Job | None:
        """The next for a lane that has done ``job``; None when there is none left.

        One of the same setting, of one that no lane has begun, or where most are left.
        """
        with self._lock:
            left = [setting for setting, jobs in self._settings.items() if jobs]
            if not left:
                return None
            fresh = [setting for setting in left if setting not in self._begun]
            most = max(left, key=lambda setting: len(self._settings[setting]))
            own = None if job is None else _setting(job)
            chosen = own if own in left else (*fresh, most)[0]
            self._begun.add(chosen)
            return self._settings[chosen].popleft()


class Lane:
    """A process that carries out one run at a time, replaced when it dies or holds too much."""

    def __init__(self, number: int, out: Path, most_memory: int) -> None:
        self.number, self.out, self.most_memory = number, out, most_memory
        self._process = self._new()

    def __enter__(self) -> "Lane":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown(cancel_futures=True)

    def carry_out(self, job: Job, stopping: threading.Event) -> Outcome | None:
        """How a run ended; None where it was stopped."""
        for _ in range(ATTEMPTS):
            try:
                outcome = self._process.submit(work, job, self.out).result()
            except BrokenProcessPool:
                self._process = self._new()
                if stopping.is_set():
                    return None
                continue
            if outcome.memory_mb * 1024**2 > self.most_memory:
                self._process.shutdown()
                self._process = self._new()
            return outcome
        return Outcome(0.0, 0.0, None, f"its process died, {ATTEMPTS} times")

    def _new(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        initial = (self.number, self.out / PROGRAMS)
        return ProcessPoolExecutor(1, spawn, _prepare, initial)


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """A folder that is empty at first and gone in the end.

    Compiled programs fit one machine and one version, so none is kept from one time to the next.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _setting(job: Job) -> str:
    return str(Path(job.folder).parent)


def _fitting(memory: int) -> int:
    """One run per core, as far as the memory that is free allows."""
    if jax.default_backend() != "cpu":
        return 1
    return min(len(_cores()), max(1, psutil.virtual_memory().available // memory))


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _prepare(number: int, programs: Path) -> None:
    """A new process: on a core of its own, and gone as soon as the study's own process is.

    What one process has compiled, the others load.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(programs.resolve()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "sched_setaffinity"):
        cores = _cores()
        os.sched_setaffinity(0, [cores[number % len(cores)]])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
