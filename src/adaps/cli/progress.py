"""What a user sees during a run: a live line per phase, or plain lines. Stage: none."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from adaps.files.terminal import Terminal, visible
from adaps.training.progress import Watch

PLAIN_SECONDS = 5.0
"""Without a terminal, a phase prints a line at most this often."""


@dataclass
class Phase:
    """One part of the run, over all seeds."""

    name: str
    unit: str
    total: int
    timed: bool = False
    """Whether its speed is even, so that speed and time left can be shown."""
    done: int = 0
    before: int = 0
    """The part of that which an earlier process did."""
    text: str = ""
    started: float | None = None
    printed: float = 0.0

    def line(self) -> str:
        """Amount done, speed, what was reported last, and time left."""
        speed = left = ""
        seconds = max(time.monotonic() - (self.started or time.monotonic()), 1e-9)
        own = self.done - self.before
        if self.timed and own:
            speed = f"{own / seconds:,.0f} {self.unit}/s"
            left = f"{_clock(seconds * (self.total - self.done) / own)} left"
            left = left if self.done < self.total else f"took {_clock(seconds)}"
        amount = f"{self.done:,}/{self.total:,} {self.unit}"
        return "  ".join(filter(None, (amount, speed, self.text, left)))


class ConsoleWatch(Watch):
    """Shows phases on the console, while ``showing()`` is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Terminal(errors=True)
        self.phases: dict[str, Phase] = {}
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._live = Progress(
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    @contextmanager
    def showing(self) -> Iterator["ConsoleWatch"]:
        """Keep the live lines up for the duration."""
        with self._live:
            yield self

    def plan(self, name: str, unit: str, total: int, timed: bool = False) -> None:
        self.phases[name] = Phase(name, unit, total, timed)

    def begin(self, name: str) -> None:
        with self._lock:
            phase = self.phases[name]
            if phase.started is None:
                phase.started = phase.printed = time.monotonic()
                self._show(phase)

    def advance(self, name: str, amount: int, text: str = "") -> None:
        with self._lock:
            phase = self.phases[name]
            phase.done += amount
            phase.text = text or phase.text
            self._show(phase)

    def skip(self, name: str, amount: int) -> None:
        with self._lock:
            self.phases[name].done += amount
            self.phases[name].before += amount

    def tell(self, text: str) -> None:
        with self._lock:
            self.console.print(f"warning   {text}", soft_wrap=True)

    def _show(self, phase: Phase) -> None:
        if self.console.is_terminal:
            name = phase.name
            if name not in self._tasks:
                self._tasks[name] = self._live.add_task(name, total=phase.total, line="")
            self._live.update(self._tasks[name], completed=phase.done, line=visible(phase.line()))
            return
        now = time.monotonic()
        finished = phase.done >= phase.total
        if phase.done and (finished or now - phase.printed >= PLAIN_SECONDS):
            phase.printed = now
            self.console.print(f"{phase.name:<9} {phase.line()}", soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
