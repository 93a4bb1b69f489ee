"""Carries out the long parts of a run: shows progress, saves, and stops when asked. Stage: train.

Gathering, learning codes, training and evaluating all go through :meth:`Driver.carry_out` or
:meth:`Driver.play`, so that ``train.py`` says what is done and nothing else.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import jax
from jaxtyping import Array, Int

from adaps.collect.evaluate import in_batches
from adaps.errors import HostEnvironmentError, RunError, Stopped
from adaps.training.journal import Journal
from adaps.training.stages import NonFiniteUpdate

S = TypeVar("S")
T = TypeVar("T")

CALL_SECONDS = 0.4
"""Aimed-at time between two checks for a stop request."""
MANY = 2**31
"""More pieces than there are."""
GROWTH = 8.0
"""No call is more than so many times as long as the one before."""


def nothing(state: Any, done: int) -> None:
    """Nothing to keep besides the checkpoint."""
    del state, done


class Task(NamedTuple):
    """A part of a run that is done in small pieces."""

    part: str
    """Its name in checkpoints."""
    phase: str
    """What is shown meanwhile."""
    unit: int
    """What a piece of one counts in the phase, for each seed."""
    env_steps: Callable[[int], int] | None = None
    """Environment steps of a seed after so many pieces, where they change."""
    keep: Callable[[Any, int], None] = nothing
    """``keep(state, done)`` is called at the end, and where it ends early."""


@runtime_checkable
class Reports(Protocol):
    """Whom a driver tells of its work: :class:`adaps.training.recorder.Recorder`."""

    @property
    def stopping(self) -> bool: ...
    def begin(self, phase: str) -> None: ...
    def resumed_at(self, phase: str, amount: int) -> None: ...
    def advance(self, phase: str, amount: int, text: str = "") -> None: ...
    def advanced(
        self, phase: str, seeds: list[int], amount: int, seconds: float, text: str
    ) -> None: ...
    def fail(self, failure: RunError) -> None: ...
    def broken(self, seeds: list[int], update: NonFiniteUpdate) -> RunError: ...


class Driver:
    """Of one group of seeds.

    Raises:
        Stopped: from every method, when the run is to stop; what it has come to is saved.
    """

    def __init__(self, recorder: Reports, journal: Journal, seeds: list[int]) -> None:
        self._recorder, self.journal, self._seeds = recorder, journal, seeds

    def restore_or(self, task: Task, begun: S) -> tuple[S, int]:
        """Where an earlier process left a part, or ``begun``; and how many pieces were done."""
        state, done = self.journal.restore_or(task.part, begun)
        self._recorder.resumed_at(task.phase, done * task.unit * len(self._seeds))
        return state, done

    def carry_out(
        self, task: Task, state: S, done: int, until: int, step: Callable[[S, int], tuple[S, str]]
    ) -> S:
        """Do a part up to piece number ``until``.

        Args:
            task: which part.
            state: where it stands.
            done: pieces that are done.
            until: pieces to have done at the end.
            step: ``step(state, pieces) → state, what to show``.

        Raises:
            NotFiniteError: what cannot be learned from.
        """
        self._recorder.begin(task.phase)
        size = 1
        while done < until:
            self._stop_if_asked(task, state, done)
            size = min(size, until - done, self._pieces_to_checkpoint(task, done))
            started = time.perf_counter()
            state, finished, text = self._attempt(step, state, size)
            done += finished
            if finished < size:
                continue
            seconds = time.perf_counter() - started
            amount = size * task.unit * len(self._seeds)
            self._recorder.advanced(task.phase, self._seeds, amount, seconds, text)
            self.journal.update(task.part, state, done, task.env_steps and task.env_steps(done))
            size = max(1, round(size * min(GROWTH, CALL_SECONDS / seconds)))
        task.keep(state, done)
        self.stop_if_asked()
        return state

    def _attempt(
        self, step: Callable[[S, int], tuple[S, str]], state: S, size: int
    ) -> tuple[S, int, str]:
        """The state after so many pieces, or where it failed; and how many were finished."""
        try:
            new, text = step(state, size)
            jax.block_until_ready([x for x in jax.tree.leaves(new) if isinstance(x, jax.Array)])
        except HostEnvironmentError as failure:
            self._recorder.fail(failure)
            return state, 0, ""
        except NonFiniteUpdate as update:
            self._recorder.fail(self._recorder.broken(self._seeds, update))
            return cast(S, update.before), update.number, ""
        return new, size, text

    def play(self, play: Callable[[Int[Array, " episode"]], T], num_episodes: int, most: int) -> T:
        """So many episodes, at most ``most`` side by side; seeds are on the first axis."""
        self._recorder.begin("evaluate")
        episodes = in_batches(play, num_episodes, 1, most, lambda: self._recorder.stopping)
        self.stop_if_asked()
        self._recorder.advance("evaluate", len(self._seeds))
        return episodes

    def stop_if_asked(self) -> None:
        """End the seeds where they are, if they are to stop."""
        if self._recorder.stopping:
            raise Stopped

    def _stop_if_asked(self, task: Task, state: Any, done: int) -> None:
        if self._recorder.stopping:
            task.keep(state, done)
            raise Stopped

    def _pieces_to_checkpoint(self, task: Task, done: int) -> int:
        """As many as there can be where time decides."""
        if task.env_steps is None:
            return MANY
        left = self.journal.steps_left(task.env_steps(done))
        per_piece = task.env_steps(1) - task.env_steps(0)
        return MANY if left is None else math.ceil(left / per_piece)
