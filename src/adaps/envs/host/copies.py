"""Many copies of somebody's environment, stepped at once in processes of their own. Stage: env.

Gymnasium's vector machinery starts the processes and shares the memory; what it takes for one
environment is all copies of one process (:class:`adaps.envs.host.worker.Side`).
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from jaxtyping import Float, Int

from adaps.envs.host.making import MakeEnv
from adaps.envs.host.team import Roster
from adaps.envs.host.worker import FAILED, Side
from adaps.errors import HostEnvironmentError
from adaps.extensions import starting_processes
from adaps.types import AgentEnds, Observation, Timestep

HOW: dict[str, Any] = {"copy": False, "autoreset_mode": AutoresetMode.DISABLED}
"""How Gymnasium is to step sides: :class:`Team` resets by itself."""
LOOK_SECONDS = 0.5
"""Between two checks for a stop request while a step does not return."""
STOP_SECONDS = 3.0
"""That a step may take after a stop request."""
CLOSE_SECONDS = 5.0
"""That all copies have to clean up."""


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
        self._name, self._record_type = roster.env, roster.record_type
        sides = max((d for d in range(1, workers + 1) if num_copies % d == 0), default=0)
        self._copies_per_side = num_copies // max(sides, 1)
        side = partial(Side, make_env, roster, self._copies_per_side)
        self._vector = self._started([side] * sides) if sides else SyncVectorEnv([side], **HOW)

    def reset(self, seeds: Sequence[int]) -> Timestep:
        """Begin an episode in each copy; a copy's later episodes follow from its seed, too."""
        firsts: list[int | None] = list(range(0, self.num_copies, self._copies_per_side))
        rows, info = self._ask("reset", seed=firsts, options={"seeds": np.asarray(seeds)})
        return self._timestep(rows, info)

    def step(self, action: Int[np.ndarray, "copy agent"]) -> Timestep:
        """A step of every copy, ``[copy, agent, …]``."""
        self._steps += 1
        by_side = action.reshape(-1, self._copies_per_side, action.shape[-1])
        rows, *_, info = self._ask("step", actions=by_side)
        return self._timestep(rows, info)

    def picture(self) -> Any:
        """The first copy's own picture, ``uint8[y, x, 3]``, where it runs in this process."""
        assert isinstance(self._vector, SyncVectorEnv)
        side: Any = self._vector.envs[0]
        drawn = side.picture()
        return drawn if isinstance(drawn, np.ndarray) else None

    def close(self) -> None:
        """End the processes; they have a moment to clean up, and are not asked twice."""
        if isinstance(self._vector, SyncVectorEnv):
            self._vector.close()
        elif not self._vector.closed:
            for pipe in self._vector.parent_pipes:
                with contextlib.suppress(OSError):
                    pipe.send(("close", None))
            until = time.monotonic() + CLOSE_SECONDS
            for process in self._vector.processes:
                process.join(max(0.0, until - time.monotonic()))
            _kill(self._vector)

    def _started(self, sides: list[Callable[[], Side]]) -> AsyncVectorEnv:
        try:
            with _without_main(), starting_processes():
                return AsyncVectorEnv(sides, context="spawn", **HOW)
        except (EOFError, OSError) as error:
            raise HostEnvironmentError(
                f"{self._name}: a process to step copies of it in could not be started: {error}"
            ) from None

    def _ask(self, what: str, **arguments: Any) -> Any:
        """What ``reset`` or ``step`` of all sides returns."""
        vector = self._vector
        if isinstance(vector, SyncVectorEnv):
            return getattr(vector, what)(**arguments)
        when = f"{what} {self._steps}" if self._steps else what
        try:
            getattr(vector, f"{what}_async")(**arguments)
            self._await_answers(vector, when)
            return getattr(vector, f"{what}_wait")(0)
        except (EOFError, OSError):
            _kill(vector)
            raise HostEnvironmentError(
                f"{self._name}: a process that steps copies of it has died in {when}: it was "
                "killed, ran out of memory, crashed in compiled code, or ended itself"
            ) from None

    def _await_answers(self, vector: AsyncVectorEnv, when: str) -> None:
        """Until every process has answered; a process that has died has, too."""
        until = time.monotonic() + self._timeout
        for pipe in vector.parent_pipes:
            while not pipe.poll(min(LOOK_SECONDS, max(0.0, until - time.monotonic()))):
                if self._stop.is_set():
                    until = min(until, time.monotonic() + STOP_SECONDS)
                if time.monotonic() >= until:
                    _kill(vector)
                    raise HostEnvironmentError(
                        f"{self._name}: {when} was given up when told to stop"
                        if self._stop.is_set()
                        else f"{self._name}: {when} did not return within {self._timeout:g} "
                        "seconds (--step-timeout)"
                    )

    def _timestep(self, rows: Float[np.ndarray, "*copy number"], info: dict[str, Any]) -> Timestep:
        if FAILED in info:
            message, trace = next(one for one in info[FAILED] if one is not None)
            raise HostEnvironmentError(message, trace)
        flat = rows.reshape(self.num_copies, -1).copy()
        parts: Any = flat.view(self._record_type)[:, 0]
        here, terminated, truncated = (
            parts[name].astype(bool) for name in ("here", "agent_terminated", "agent_truncated")
        )
        return Timestep(
            observation=Observation(parts["obs"], parts["legal"].astype(bool), here=here),
            reward=parts["reward"],
            terminated=parts["terminated"][:, 0].astype(bool),
            truncated=parts["truncated"][:, 0].astype(bool),
            final=Observation(parts["last_obs"]),
            agent_ends=AgentEnds(terminated, truncated),
        )


def _kill(vector: AsyncVectorEnv) -> None:
    """What hangs or is dead cannot be asked to end."""
    for process in vector.processes:
        process.kill()
        process.join()
    for pipe in vector.parent_pipes:
        pipe.close()
    vector.closed = True


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
