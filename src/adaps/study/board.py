"""What a user sees while a study goes: how much is done, and how far each run is. Stage: study."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from adaps.files.run_folder import METRICS
from adaps.study.plan import Job
from adaps.study.worker import Outcome

LOOK_SECONDS = 1.0


class Board:
    """Told by the lanes, from any thread, of every run that begins and ends."""

    def __init__(self, out: Path, total: int, done: int, console: Console) -> None:
        """Begin with ``done`` of ``total`` runs done before."""
        self.out, self.total, self.console = out, total, console
        self.done = done
        self.failures: dict[str, str] = {}
        self._running: dict[str, tuple[Job, TaskID]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._live.add_task("runs", total=total, completed=done, line=f"{done}/{total}")

    @contextmanager
    def showing(self) -> Iterator["Board"]:
        """Keep the live lines up for the duration."""
        looking = threading.Thread(target=self._keep_looking, daemon=True)
        with self._live:
            looking.start()
            try:
                yield self
            finally:
                self._over.set()
                looking.join()

    def started(self, job: Job) -> None:
        """A run has begun."""
        with self._lock:
            task = self._live.add_task(str(job), total=job.config.steps, line="")
            self._running[job.folder] = job, task

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A run is over, well or not."""
        with self._lock:
            if job.folder in self._running:
                self._live.remove_task(self._running.pop(job.folder)[1])
            if outcome.failure is not None:
                self.failures[job.folder] = outcome.failure
                text = f"failed: {outcome.failure}"
            else:
                self.done += 1
                text = f"return {outcome.value:,.2f}  {outcome.seconds:.0f} s"
            line = f"{self.done}/{self.total}"
            line += f", {len(self.failures)} failed" if self.failures else ""
            self._live.update(self._all, completed=self.done + len(self.failures), line=line)
        self.console.print(f"{line}  {job}: {text}", markup=False, soft_wrap=True)

    def _keep_looking(self) -> None:
        """Read off each run's own file how far it is."""
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                for job, task in self._running.values():
                    steps, value = _latest(self.out / job.folder / METRICS)
                    line = "" if value is None else f"return {value:,.1f}"
                    self._live.update(task, completed=steps, line=line)


def _latest(path: Path) -> tuple[int, float | None]:
    """Environment steps and greedy return of the last whole line."""
    try:
        line = json.loads(path.read_text().rstrip("\n").rsplit("\n", 1)[-1])
        return line["env_steps"], line["return_greedy"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, None
