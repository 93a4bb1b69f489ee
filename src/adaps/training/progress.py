"""What a user sees while a run goes: a live line per phase, plain lines without a terminal."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

PLAIN_SECONDS = 5.0
"""Without a terminal, a phase says how far it is at most this often."""


@dataclass
class Phase:
    """One part of the run, over all seeds."""

    name: str
    unit: str
    total: int
    timed: bool = False
    """Whether it goes on evenly, so that its speed and the time left can be told."""
    done: int = 0
    before: int = 0
    """How much of that an earlier process did."""
    text: str = ""
    started: float | None = None
    printed: float = 0.0

    def line(self) -> str:
        """Amount done, speed, time left, and the phase's own word."""
        parts = [f"{self.done:,}/{self.total:,} {self.unit}"]
        seconds = max(time.monotonic() - (self.started or time.monotonic()), 1e-9)
        own = self.done - self.before
        if self.timed and own:
            parts.append(f"{own / seconds:,.0f} {self.unit}/s")
        if self.text:
            parts.append(self.text)
        if self.timed and own and self.done < self.total:
            parts.append(f"{_clock(seconds * (self.total - self.done) / own)} left")
        elif self.timed and own:
            parts.append(f"took {_clock(seconds)}")
        return "  ".join(parts)


class Watch:
    """Receives what the seeds report, from any thread, and carries the wish to stop to them."""

    def __init__(self) -> None:
        self.stop = threading.Event()

    def plan(self, name: str, unit: str, total: int, timed: bool = False) -> None:
        """Announce a phase and how much there is to do in it, over all seeds."""

    def begin(self, name: str) -> None:
        """Say that a seed has come to a phase."""

    def advance(self, name: str, amount: int, text: str = "") -> None:
        """Say that ``amount`` more of a phase is done."""

    def skip(self, name: str, amount: int) -> None:
        """Say that ``amount`` of a phase was done before this process began."""

    def warn(self, text: str) -> None:
        """Say what the user may want to change, in one line."""


class ConsoleWatch(Watch):
    """Shows phases on a console; use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self.console = console or Console(file=sys.stderr, highlight=False)
        self.phases: dict[str, Phase] = {}
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._live = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}"),
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

    def warn(self, text: str) -> None:
        with self._lock:
            self.console.print(f"warning   {text}", soft_wrap=True, markup=False)

    def _show(self, phase: Phase) -> None:
        if self.console.is_terminal:
            if phase.name not in self._tasks:
                self._tasks[phase.name] = self._live.add_task(
                    phase.name, total=phase.total, line=""
                )
            self._live.update(
                self._tasks[phase.name], completed=phase.done, line=phase.line(), refresh=False
            )
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
