"""What a user sees while a study runs: what is done, and how far each run is. Stage: study."""

import threading
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from adaps.files.plain_files import parsed, read_text
from adaps.files.run_folder import METRICS
from adaps.files.terminal import visible
from adaps.study.job import Job, Outcome

REFRESHES_PER_SECOND = 1


class Board:
    """Prints a line for each run that ends; on a terminal, ``live`` shows a bar for each."""

    def __init__(self, out: Path, total: int, done: int, console: Console) -> None:
        """Begin with ``done`` of ``total`` runs done before."""
        self.total, self.done, self.console = total, done, console
        self.failures: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self.live = _Bars(out, console)
        self._all = self.live.add_task("runs", total=total, completed=done, line=f"{done}/{total}")

    def started(self, job: Job) -> None:
        """A run has started."""
        with self._lock:
            total, folder = job.config.steps, job.folder
            self._tasks[folder] = self.live.add_task(
                visible(job), total=total, line="", folder=folder
            )

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A run is over, well or not."""
        with self._lock:
            if job.folder in self._tasks:
                self.live.remove_task(self._tasks.pop(job.folder))
            if outcome.failure is not None:
                self.failures[job.folder] = outcome.failure
                text = f"failed: {outcome.failure}"
            else:
                self.done += 1
                text = f"return {outcome.value:,.2f}  {outcome.seconds:.0f} s"
                text += f"  warns of {', '.join(outcome.warnings)}" if outcome.warnings else ""
            line = f"{self.done}/{self.total}"
            line += f", {len(self.failures)} failed" if self.failures else ""
            self.live.update(self._all, completed=self.done + len(self.failures), line=line)
        self.console.print(
            visible(f"{line}  {job}: {text}"), markup=False, emoji=False, soft_wrap=True
        )


class _Bars(Progress):
    """A bar for the study and one for each run, which is read off the run's own file."""

    def __init__(self, out: Path, console: Console) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}", markup=False),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._out = out
        shown = console.is_terminal
        super().__init__(
            *columns, console=console, disable=not shown, refresh_per_second=REFRESHES_PER_SECOND
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            if "folder" in task.fields:
                steps, value = latest(self._out / task.fields["folder"] / METRICS)
                line = "" if value is None else f"return {value:,.1f}"
                self.update(task.id, completed=steps, line=line)
        yield from super().get_renderables()


def latest(path: Path) -> tuple[int, float | None]:
    """Environment steps and greedy return of the last complete line."""
    try:
        line = parsed(read_text(path).rstrip("\n").rsplit("\n", 1)[-1])
        value = line["return_greedy"]
        return int(line["env_steps"]), None if value is None else float(value)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0, None
