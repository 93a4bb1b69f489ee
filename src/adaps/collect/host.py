"""Acting in environments that run in Python: the same as ``jax.py``, as a loop. Stage: collect."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from adaps.collect.episodes import MOST_STEPS, Episodes, check_over, episode_seed, step_key
from adaps.collect.jax import first_of, step_of
from adaps.networks.agent import Policy
from adaps.types import Copies, Memory, Rollout, Timestep


class HostPosition(NamedTuple):
    """Where collecting continues; arrays are NumPy's, ``[copy, agent, …]``."""

    copies: Copies
    timestep: Timestep
    first: Any
    memory: Memory
    key: Key[Array, ""]


class HostCollector:
    """Copies of an environment that runs in Python; opened when first needed, then kept.

    Args:
        open_copies: opens so many copies; whoever made it also closes them.
        max_steps: no episode is played further than this; None: each to its end.
        stopping: asked between the steps of an episode whether to leave the rest.
    """

    def __init__(
        self,
        open_copies: Callable[[int], Copies],
        max_steps: int | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open_copies, self._max_steps, self._stopping = open_copies, max_steps, stopping
        self._opened: dict[int, Copies] = {}

    def start(self, key: Key[Array, ""], num_envs: int, memory: Memory = ()) -> HostPosition:
        """The first episode of each copy."""
        return started(self._copies(num_envs), key, memory)

    def collect(
        self, policy: Policy, position: HostPosition, num_steps: int
    ) -> tuple[HostPosition, Rollout]:
        """Act ``num_steps`` times in every copy."""
        next_key, *keys = _keys(position.key, 1 + num_steps)
        now, recorded = position, []
        for key in keys:
            now, step = _stepped(policy, key, now)
            recorded.append(step)
        steps: Any = jax.tree.map(lambda *each: np.stack(each), *recorded)
        return now._replace(key=next_key), steps._replace(memory=position.memory)

    def play(
        self, policy: Policy, numbers: Int[np.ndarray, " copy"], memory: Memory = ()
    ) -> Episodes:
        """An episode in each copy, each to its end or to ``max_steps``.

        What it returns means nothing if it was stopped.

        Raises:
            EndlessEpisodeError: one has no limit, and does not come to an end.
        """
        seeds = [episode_seed(int(number)) for number in numbers]
        now = _begun(self._copies(len(seeds)), seeds, memory, jax.random.key(0))
        running: Any = np.ones(len(seeds), bool)
        total: Any = np.zeros(now.timestep.reward.shape, np.float32)
        limit = self._max_steps
        for number in range(limit or MOST_STEPS):
            now, _ = _stepped(policy, step_key(number), now)
            total += np.where(running[:, None], now.timestep.reward, 0.0)
            running &= ~now.timestep.ended
            if self._stopping() or not running.any():
                return Episodes(total, None, running)
        return check_over(Episodes(total, None, running), limit)

    def _copies(self, number: int) -> Copies:
        if number not in self._opened:
            self._opened[number] = self._open_copies(number)
        return self._opened[number]


def started(copies: Copies, key: Key[Array, ""], memory: Memory = ()) -> HostPosition:
    """New episodes in copies that are open; memory is forgotten at their first step."""
    key, now = jax.random.split(key)
    seeds = jax.random.randint(now, (copies.num_copies,), 0, jnp.iinfo(jnp.int32).max)
    return _begun(copies, np.asarray(seeds).tolist(), memory, key)


def to_checkpoint(tree: Any) -> Any:
    """A tree without environments in Python: of positions in them, only the key can be kept."""
    return _at_positions(lambda position: position.key, tree)


def from_checkpoint(begun: Any, kept: Any) -> Any:
    """What was kept, in the place of what was begun; copies in Python begin new episodes."""
    return _at_positions(lambda now, key: started(now.copies, key, now.memory), begun, kept)


def _at_positions(change: Callable, tree: Any, *others: Any) -> Any:
    """A tree with its positions in Python changed, and all else that of the last tree."""

    def is_position(x: Any) -> bool:
        return isinstance(x, HostPosition)

    def each(*nodes: Any) -> Any:
        return change(*nodes) if is_position(nodes[0]) else nodes[-1]

    return jax.tree.map(each, tree, *others, is_leaf=is_position)


def _begun(copies: Copies, seeds: list[int], memory: Memory, key: Key[Array, ""]) -> HostPosition:
    timestep = copies.reset(seeds)
    return HostPosition(copies, timestep, np.ones(timestep.reward.shape, bool), memory, key)


def _stepped(
    policy: Policy, key: Key[Array, ""], now: HostPosition
) -> tuple[HostPosition, Rollout]:
    """Act once in every copy."""
    observation = now.timestep.observation
    memory, action = policy(key, now.memory, observation, now.first)
    action = np.asarray(action)
    new = now.copies.step(action)
    after = now._replace(timestep=new, first=first_of(now.first, observation, new), memory=memory)
    return after, step_of(observation, now.first, action, new)


@partial(jax.jit, static_argnums=1)
def _keys(key: Key[Array, ""], number: int) -> tuple[Key[Array, ""], ...]:
    """Keys as arrays of their own: to take them out of one array costs as much as to act."""
    return tuple(jax.random.split(key, number))
