"""Copies of somebody's environment in the process that steps them. Stage: environment.

It needs no JAX, and nothing here imports it: there may be many such processes.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from jaxtyping import Int

from adaps.envs.host.making import MakeEnv
from adaps.envs.host.team import Roster, Team
from adaps.errors import HostEnvironmentError, RunError, UserError
from adaps.extensions import process_started, theirs

FAILED = "failed"
"""Key of the info that says what went wrong."""


class Side(gymnasium.Env[np.ndarray, np.ndarray]):
    """The copies of one process, one after the other.

    To Gymnasium they are a single environment, whose observation is a row of numbers for each copy:
    :attr:`Roster.record_type`.
    """

    def __init__(self, make_env: MakeEnv, roster: Roster, num_copies: int) -> None:
        self._make, self._name = partial(Team, make_env, roster), roster.env
        self._teams: list[Team] = []
        self._rows = np.zeros((num_copies, roster.record_type.itemsize // 4), np.float32)
        self._records = [roster.record_of(row) for row in self._rows]
        self.observation_space = Box(-np.inf, np.inf, self._rows.shape, np.float32)
        actions = np.full((num_copies, len(roster.names)), roster.num_actions)
        self.action_space = MultiDiscrete(actions)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begin anew: ``seed`` is the number of the first copy here, ``options`` has all seeds."""
        assert seed is not None
        assert options is not None
        if not self._teams:
            _exit_with_parent()
        seeds = options["seeds"][seed : seed + len(self._rows)]
        with self._failure_told() as info:
            self._teams = self._teams or self._made()
            for team, own, record in zip(self._teams, seeds, self._records, strict=True):
                team.reset(int(own), record)
        return self._rows, info

    def step(self, action: Int[np.ndarray, "copy agent"]):
        """A step of every copy; what went wrong stands in the info."""
        # That a number is too great is said in a better way where it matters.
        with self._failure_told() as info, np.errstate(over="ignore"):
            for team, own, record in zip(self._teams, action, self._records, strict=True):
                team.step(own, record)
        return self._rows, 0.0, False, False, info

    def picture(self) -> Any:
        """What the first copy draws."""
        return self._teams[0].render()

    def close(self) -> None:
        for team in self._teams:
            team.close()

    def _made(self) -> list[Team]:
        teams = [self._make() for _ in self._rows]
        if len({id(team.innermost) for team in teams}) < len(teams):
            raise HostEnvironmentError(
                f"{self._name}: what makes it returned the same environment twice; it must make a "
                "new one each time"
            )
        return teams

    @contextmanager
    def _failure_told(self) -> Iterator[dict[str, Any]]:
        """An info that says what went wrong, which need not be what was looked for."""
        info: dict[str, Any] = {}
        try:
            with theirs(self._name, HostEnvironmentError):
                yield info
        except (UserError, RunError) as error:
            info[FAILED] = (str(error), getattr(error, "trace", ""))


def _exit_with_parent() -> None:
    """Leave Ctrl-C to the parent process, and end with it, even where a step hangs."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    process_started()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def exit_after_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_after_it, daemon=True).start()
