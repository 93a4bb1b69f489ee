"""Many copies of somebody's environment, stepped at once in processes of their own. Stage: env.

Gymnasium's vector machinery starts the processes and shares the memory; to it, the copies of one
process are a single environment whose observation is everything there is to know about a step.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from jaxtyping import Float, Int

from adaps.envs.host.team import MakeEnv, Record, Roster, Team
from adaps.errors import HostEnvironmentError
from adaps.types import Presence, Timestep

FAILED = "failed"
"""Key of the info that says what went wrong."""
LOOK_SECONDS = 0.5
"""Between two checks for a stop request while a step does not return."""
STOP_SECONDS = 3.0
"""That a step may take after a stop request."""
CLOSE_SECONDS = 5.0
"""That all copies have to clean up."""


class Layout(NamedTuple):
    """Where in a row of numbers each part of a record lies; one more number is a time."""

    num_agents: int
    obs_size: int
    num_actions: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        agents = self.num_agents
        per_agent = ("reward", "here", "agent_terminated", "agent_truncated")
        return {
            "obs": (agents, self.obs_size),
            "last_obs": (agents, self.obs_size),
            "legal": (agents, self.num_actions),
            **dict.fromkeys(per_agent, (agents,)),
            "terminated": (1,),
            "truncated": (1,),
        }

    @property
    def size(self) -> int:
        """Numbers of a row, the last of which are seconds in the environment's own code."""
        return 1 + sum(map(math.prod, self.shapes.values()))

    def views(self, rows: Float[np.ndarray, "*copy number"]) -> Record:
        """Parts of rows, to be read and written in place."""
        ends = [*accumulate(map(math.prod, self.shapes.values()))]
        parts = zip(self.shapes.items(), [0, *ends[:-1]], ends, strict=True)
        return Record(
            **{
                name: rows[..., start:end].reshape(*rows.shape[:-1], *shape)
                for (name, shape), start, end in parts
            },
            all_but_obs=rows[..., ends[0] : ends[-1]],
        )


class Side(gymnasium.Env[np.ndarray, np.ndarray]):
    """The copies of one process, one after the other."""

    def __init__(self, make_env: MakeEnv, roster: Roster, num_copies: int) -> None:
        self._make, self._name = partial(Team, make_env, roster), roster.env
        self._layout = layout_of(roster)
        self._teams: list[Team] = []
        self._rows = np.zeros((num_copies, self._layout.size), np.float32)
        self._records = [self._layout.views(row) for row in self._rows]
        self.observation_space = Box(-np.inf, np.inf, self._rows.shape, np.float32)
        actions = np.full((num_copies, len(roster.names)), roster.num_actions)
        self.action_space = MultiDiscrete(actions)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Begin anew: ``seed`` is the number of the first copy here, ``options`` has all seeds."""
        assert seed is not None
        assert options is not None
        if not self._teams:
            _depend_on_the_process_above()
        seeds = options["seeds"][seed : seed + len(self._rows)]
        try:
            self._teams = self._teams or self._made()
            for team, own, record in zip(self._teams, seeds, self._records, strict=True):
                team.reset(int(own), record)
        except Exception as error:
            return self._rows, self._failure(error)
        return self._rows, {}

    def step(self, action: Int[np.ndarray, "copy agent"]):
        """A step of every copy; what went wrong stands in the info."""
        each = zip(self._teams, action, self._records, self._rows, strict=True)
        try:
            with np.errstate(over="ignore"):  # said in a better way where it matters
                for team, own, record, row in each:
                    before = team.seconds
                    team.step(own, record)
                    row[-1] = team.seconds - before
        except Exception as error:
            return self._rows, 0.0, False, False, self._failure(error)
        return self._rows, 0.0, False, False, {}

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

    def _failure(self, error: Exception) -> dict[str, Any]:
        """What the info says of an error, which need not be one that was looked for."""
        if isinstance(error, HostEnvironmentError):
            return {FAILED: (str(error), error.trace)}
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {FAILED: (f"{self._name}: {text}", traceback.format_exc())}


def _depend_on_the_process_above() -> None:
    """Leave Ctrl-C to it, and end with it, even where a step of the environment hangs."""
    above = multiprocessing.parent_process()
    if above is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_it() -> None:
        above.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


def layout_of(roster: Roster) -> Layout:
    """Sizes of what is written down of a step."""
    return Layout(len(roster.names), roster.obs_size, roster.num_actions)


class Copies:
    """Copies of one environment, all stepped at once.

    Args:
        make_env: makes one copy.
        roster: who takes part in it.
        num_copies: how many copies.
        workers: processes to step them in, at most; 0 steps them in this one.
        timeout: seconds that a step or reset of all copies may take; only processes can be timed.
        stop: where it is set, a step that does not return soon is given up.

    Raises:
        HostEnvironmentError: from ``reset`` and ``step``; nothing but ``close`` may follow.
    """

    def __init__(
        self,
        make_env: MakeEnv,
        roster: Roster,
        num_copies: int,
        workers: int,
        timeout: float,
        stop: threading.Event | None = None,
    ) -> None:
        self.num_copies, self._timeout = num_copies, timeout
        self._stop = stop or threading.Event()
        self._steps = 0
        self._name = roster.env
        self._layout = layout_of(roster)
        self.seconds = 0.0
        """Processor time spent in the environment's own code so far."""
        sides = max((d for d in range(1, workers + 1) if num_copies % d == 0), default=0)
        side = partial(Side, make_env, roster, num_copies // max(sides, 1))
        self._side = side() if sides == 0 else None
        self._vector = self._started(side, sides) if sides else None

    def reset(self, seeds: Sequence[int]) -> Timestep:
        """Begin an episode in each copy; a copy's later episodes follow from its seed, too."""
        options = {"seeds": np.asarray(seeds)}
        if self._vector is None:
            rows, info = self._here.reset(seed=0, options=options)
        else:
            each = self.num_copies // self._vector.num_envs
            firsts: list[int | None] = list(range(0, self.num_copies, each))
            send = partial(self._vector.reset_async, firsts, options)
            rows, info = self._answered("reset", send, self._vector.reset_wait)
        return self._timestep(rows, info)

    def step(self, action: Int[np.ndarray, "copy agent"]) -> Timestep:
        """A step of every copy, ``[copy, agent, …]``."""
        self._steps += 1
        if self._vector is None:
            rows, *_, info = self._here.step(action)
        else:
            by_side = action.reshape(self._vector.num_envs, -1, action.shape[-1])
            send = partial(self._vector.step_async, by_side)
            rows, *_, info = self._answered("step", send, self._vector.step_wait)
        timestep = self._timestep(rows, info)
        self.seconds += float(rows[..., -1].sum())
        return timestep

    def picture(self) -> Any:
        """The first copy's own picture, ``uint8[y, x, 3]``, where it runs in this process."""
        drawn = self._here.picture()
        return drawn if isinstance(drawn, np.ndarray) else None

    def close(self) -> None:
        """End the processes; they have a moment to clean up, and are not asked twice."""
        if self._side is not None:
            self._side.close()
        elif self._vector is not None and not self._vector.closed:
            for pipe in self._vector.parent_pipes:
                with contextlib.suppress(OSError):
                    pipe.send(("close", None))
            until = time.monotonic() + CLOSE_SECONDS
            for process in self._vector.processes:
                process.join(max(0.0, until - time.monotonic()))
            self._kill()

    def _started(self, side: Callable[[], Side], number: int) -> AsyncVectorEnv:
        try:
            return _in_processes(side, number)
        except (EOFError, OSError) as error:
            raise HostEnvironmentError(
                f"{self._name}: a process to step copies of it in could not be started: {error}"
            ) from None

    @property
    def _here(self) -> Side:
        assert self._side is not None
        return self._side

    def _answered(self, what: str, send: Callable[[], None], wait: Callable[..., Any]) -> Any:
        when = f"{what} {self._steps}" if self._steps else what
        try:
            send()
            self._await_answers(when)
            return wait(0)
        except (EOFError, OSError):
            self._kill()
            raise HostEnvironmentError(
                f"{self._name}: a process that steps copies of it has died in {when}: it was "
                "killed, ran out of memory, crashed in compiled code, or ended itself"
            ) from None

    def _await_answers(self, when: str) -> None:
        """Until every process has answered; a process that has died has, too."""
        assert self._vector is not None
        until = time.monotonic() + self._timeout
        for pipe in self._vector.parent_pipes:
            while not pipe.poll(min(LOOK_SECONDS, max(0.0, until - time.monotonic()))):
                if self._stop.is_set():
                    until = min(until, time.monotonic() + STOP_SECONDS)
                if time.monotonic() >= until:
                    self._kill()
                    raise HostEnvironmentError(
                        f"{self._name}: {when} was given up when told to stop"
                        if self._stop.is_set()
                        else f"{self._name}: {when} did not return within {self._timeout:g} "
                        "seconds (--step-timeout)"
                    )

    def _kill(self) -> None:
        """What hangs or is dead cannot be asked to end."""
        assert self._vector is not None
        for process in self._vector.processes:
            process.kill()
            process.join()
        for pipe in self._vector.parent_pipes:
            pipe.close()
        self._vector.closed = True

    def _timestep(self, rows: Float[np.ndarray, "*copy number"], info: dict[str, Any]) -> Timestep:
        if FAILED in info:
            message, trace = next(one for one in _each(info[FAILED]) if one is not None)
            raise HostEnvironmentError(message, trace)
        flat = rows.reshape(self.num_copies, -1).copy()
        part: Any = self._layout.views(flat)
        ends = (part.agent_terminated.astype(bool), part.agent_truncated.astype(bool))
        return Timestep(
            obs=part.obs,
            legal=part.legal.astype(bool),
            reward=part.reward,
            terminated=part.terminated[:, 0].astype(bool),
            truncated=part.truncated[:, 0].astype(bool),
            last_obs=part.last_obs,
            presence=Presence(part.here.astype(bool), *ends),
        )


def _each(failures: Any) -> list[Any]:
    """One entry per process, or the only one's."""
    return list(failures) if isinstance(failures, np.ndarray) else [failures]


def _in_processes(side: Callable[[], Side], number: int) -> AsyncVectorEnv:
    with _without_main():
        return AsyncVectorEnv(
            [side] * number,
            copy=False,
            context="spawn",
            autoreset_mode=AutoresetMode.DISABLED,
        )


_starting = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Let new processes leave the user's script alone, which may have no ``__main__`` guard.

    They need nothing from it: what is defined there travels by value.
    """
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    with _starting:
        kept = {name: vars(main)[name] for name in names if name in vars(main)}
        for name in kept:
            setattr(main, name, None)
        try:
            yield
        finally:
            for name, value in kept.items():
                setattr(main, name, value)
