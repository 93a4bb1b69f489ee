"""What seeds of one program have come to, kept so that another process can resume. Stage: train.

A checkpoint has a part for each thing under way, such as ``train``: a tree of arrays, and a
count of how far it is. Kinds and masks are a part of their own: they are never found out again.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from adaps.collect.host import from_checkpoint, to_checkpoint
from adaps.errors import StorageError, UserError
from adaps.files.checkpoint import Series, from_arrays, save, to_arrays
from adaps.training.checkpoint_metadata import (
    SHARINGS,
    Arrays,
    Progress,
    RunCheckpoint,
    SeedAssignments,
    arrays_of,
    saved,
)

PAUSE = 60.0
"""Seconds between two checkpoints, unless environment steps are said."""
SAVING_SHARE = 0.005
"""Share of the time that saving may take; where it would take more, it is done less often."""


class Part(NamedTuple):
    """One thing under way, such as training."""

    done: int
    """How far it is, in its own unit."""
    arrays: Callable[[], Arrays]
    """Asked for when they are saved, so that they may stay on their device until then."""


class Journal:
    """Takes down how far the seeds of a program are, and saves that now and then.

    Args:
        series: where checkpoints belong; None saves nothing.
        every: environment steps between two; None goes by time.
        metadata: makes a checkpoint's metadata of the progress, whenever one is saved.
        found: what to resume from; None begins.
        tell: is told once if the state cannot be saved.
    """

    def __init__(
        self,
        series: Series | None,
        every: int | None,
        metadata: Callable[[Progress], Any],
        found: RunCheckpoint | None,
        tell: Callable[[str], None],
    ) -> None:
        self._series, self._every, self._metadata, self._tell = series, every, metadata, tell
        progress = found.metadata.progress if found else Progress({}, 0, 0, [], [])
        each = found.parts.items() if found else ()
        self._parts = {n: Part(progress.counts[n], lambda x=x: x) for n, x in each}
        self.evaluated = progress.evaluated
        """Updates that had been made at the last point of the learning curve."""
        self.num_identifications = progress.looks
        """How often agents were identified."""
        self.assignments = found.assignments if found else None
        self.seconds = 0.0
        """Time that saving has taken."""
        self._saved_at, self._saved_when, self._last_cost = 0, time.monotonic(), 0.0
        self._is_new = False

    @property
    def known(self) -> SeedAssignments:
        """Identities and sharings, once they are known."""
        assert self.assignments is not None
        return self.assignments

    def restore_or(self, name: str, begun: Any) -> tuple[Any, int]:
        """Where something stood, and its count; what was begun and 0 where there is nothing.

        Raises:
            UserError: another tree was saved than this run has.
        """
        if name not in self._parts:
            return begun, 0
        found = self._parts[name]
        tree = from_arrays(to_checkpoint(begun), found.arrays())
        return from_checkpoint(begun, tree), found.done

    def update(self, name: str, tree: Any, count: int, env_steps: int | None = None) -> None:
        """Where something stands; it is saved if it is time to.

        Args:
            name: of the part.
            tree: arrays, which may stay on their device until they are saved.
            count: how far it is, in its own unit.
            env_steps: how far the seeds are; None where that does not change meanwhile.
        """
        if self._series is None:
            return
        self._parts[name] = Part(count, partial(to_arrays, to_checkpoint(tree)))
        self._is_new = True
        if self._is_time(env_steps):
            self.save()
            self._saved_at = env_steps if env_steps is not None else self._saved_at

    def assign(self, assignments: SeedAssignments) -> None:
        """It was found out who is alike: how that was done need not be kept any longer."""
        self.assignments = assignments
        self.num_identifications += 1
        self._parts = {name: part for name, part in self._parts.items() if name == "train"}
        self.save()

    def steps_left(self, env_steps: int) -> int | None:
        """Environment steps to the next checkpoint; None where time decides."""
        if self._series is None or self._every is None:
            return None
        return max(1, self._saved_at + self._every - env_steps)

    def save(self) -> None:
        """Save all that was taken down.

        Raises:
            StorageError: it could not be written; earlier checkpoints are whole.
        """
        if self._series is None:
            return
        started = time.monotonic()
        try:
            parts = {name: part.arrays() for name, part in self._parts.items()}
        except UserError as error:
            self._tell(f"this run cannot be resumed later: {error}")
            self._series = None
            return
        if self.assignments is not None:
            parts[SHARINGS] = arrays_of(self.assignments.sharings)
        save(self._series, parts, self._metadata(self._progress()))
        self._saved_when, self._is_new = time.monotonic(), False
        self._last_cost = self._saved_when - started
        self.seconds += self._last_cost

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Save what is new since the last time, however it ended but for a failure to save."""
        if self._is_new and not (kind and issubclass(kind, StorageError)):
            self.save()

    def _is_time(self, env_steps: int | None) -> bool:
        if self._every is not None and env_steps is not None:
            return env_steps - self._saved_at >= self._every
        pause = max(PAUSE, self._last_cost / SAVING_SHARE)
        return time.monotonic() - self._saved_when >= pause

    def _progress(self) -> Progress:
        identities, _, thresholds = self.assignments or ([], [], [])
        counts = {name: part.done for name, part in self._parts.items()}
        own = list(map(saved, identities))
        return Progress(counts, self.evaluated, self.num_identifications, own, thresholds)
