"""One run of a study: what to run, how it ended, and who carries it out. Stage: study."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from adaps.config.training import TrainConfig
from adaps.errors import UserError

ATTEMPTS = 3
"""Times that a run is started whose process or node dies."""
GIB = 1024**3
MAX_MEMORY_GIB = 1024**2


class Job(NamedTuple):
    """One variant in one environment with one seed."""

    env: str
    variant: str
    config: TrainConfig
    """Resolved: nothing is left to choose."""
    folder: str
    """The run's folder, from the study's."""

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def setting(self) -> str:
        """The same for runs that differ in their seed alone."""
        return str(Path(self.folder).parent)

    def __str__(self) -> str:
        return f"{self.env}, {self.variant}, seed {self.seed}"


class Outcome(NamedTuple):
    """How a run ended."""

    seconds: float
    memory_mb: float
    """Memory of the process afterwards, in 2²⁰ bytes."""
    value: float | None
    """Greedy return at the end; None where the run failed."""
    failure: str | None = None
    """In one line."""
    warnings: tuple[str, ...] = ()
    """Short forms of what the return should not be read without."""


Worker = Callable[[Job, Path], Outcome]
"""Carries out one run in the study's folder, in any process; a failure is returned, not raised."""


@runtime_checkable
class Listener(Protocol):
    """Told of every run that starts and ends, from any thread."""

    def started(self, job: Job) -> None: ...

    def ended(self, job: Job, outcome: Outcome) -> None: ...


@runtime_checkable
class Backend(Protocol):
    """Where runs are carried out."""

    def run(self, work: Worker, jobs: Sequence[Job], out: Path, listener: Listener) -> None:
        """Carry out ``jobs`` with ``work``, leave their folders in ``out`` and tell ``listener``.

        Raises:
            KeyboardInterrupt: after what was running has been ended.
        """
        ...


def check_memory(memory_gib: float) -> None:
    """Refuse what no run can hold.

    Raises:
        UserError: out of range.
    """
    if not 0 < memory_gib <= MAX_MEMORY_GIB:
        raise UserError(
            f"--memory-gib must be above 0 and at most {MAX_MEMORY_GIB}, not {memory_gib}"
        )
