"""What a run reports to, and how it is told to stop. Stage: train."""

import logging
import threading
from typing import NamedTuple

from adaps.files.terminal import visible


class Times(NamedTuple):
    """Where the time went, in seconds."""

    compiling: float
    wall: float
    steps_per_second: float
    """Environment steps of training per second, summed over programs that ran side by side."""
    saving: float = 0.0
    """Spent on checkpoints, summed over programs that ran side by side."""


class Watch:
    """Receives what the seeds report, from any thread, and carries a stop request to them."""

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

    def tell(self, text: str) -> None:
        """Say in one line what the user may want to change."""


class LoggingWatch(Watch):
    """Leaves what it is told to Python's logging, which shows it unless it is told otherwise."""

    def tell(self, text: str) -> None:
        logging.getLogger("adaps").warning("%s", visible(text))
