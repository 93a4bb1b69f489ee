"""Episodes of a policy, batch by batch, wherever the environment runs. Stage: collect."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from adaps.collect.cores import cores
from adaps.collect.episodes import Episodes, check_over, limit_of, mean_return
from adaps.collect.host import HostCollector
from adaps.collect.jax import JaxCollector, uniform
from adaps.networks.agent import Agent, Choice, Policy, sampled
from adaps.types import (
    AnyEnvironment,
    HostEnvironment,
    Memory,
    Params,
    Sharing,
    Space,
    action_space_of,
)

BATCH_EPISODES = 100
"""Episodes played side by side, at most."""
HOST_BATCH_EPISODES = 8
"""As many of an environment that runs in Python."""

T = TypeVar("T")


class UniformAgent(NamedTuple):
    """Draws every legal action alike, whatever the parameters."""

    space: Space

    def policy(self, params: Any, sharing: Any, choose: Choice = sampled) -> Policy:
        """See :func:`uniform`."""
        del params, sharing, choose
        return uniform(self.space)

    def memory(self, num_envs: int) -> Memory:
        """None."""
        del num_envs
        return ()


@runtime_checkable
class Play(Protocol):
    """``play(agent, choose, params, sharing, numbers) → episodes``."""

    def __call__(
        self,
        agent: Agent | UniformAgent,
        choose: Choice,
        params: Params | None,
        sharing: Sharing | None,
        numbers: Int[Array, " episode"],
    ) -> Episodes: ...


def batch_episodes(env: AnyEnvironment) -> int:
    """Episodes of an environment that are played side by side, at most."""
    return HOST_BATCH_EPISODES if isinstance(env, HostEnvironment) else BATCH_EPISODES


def first_batch(num_episodes: int, most: int = BATCH_EPISODES) -> Int[Array, " episode"]:
    """Numbers of the first episodes: all of them, or a batch."""
    return jnp.arange(min(most, num_episodes))


def in_batches(
    play: Callable[[Int[Array, " episode"]], T],
    num_episodes: int,
    axis: int = 0,
    most: int = BATCH_EPISODES,
    stopping: Callable[[], bool] = lambda: False,
) -> T:
    """Episodes 0, 1, …, played batch by batch so that one program serves any number of them.

    What it returns means nothing if it was stopped.

    Args:
        play: numbers of episodes → episodes.
        num_episodes: how many to play in all.
        axis: that of the episodes in what ``play`` returns.
        most: episodes to play side by side.
        stopping: asked between batches whether to leave out the others.
    """
    batch = first_batch(num_episodes, most)
    parts = [jax.device_get(play(batch))]
    for start in range(len(batch), num_episodes, len(batch)):
        if stopping():
            break
        parts.append(jax.device_get(play(batch + start)))
    joined = jax.tree.map(lambda *part: np.concatenate(part, axis), *parts)
    played = range(min(num_episodes, len(batch) * len(parts)))
    return jax.tree.map(lambda x: x.take(played, axis), joined)


@contextmanager
def player(env: AnyEnvironment, max_steps: int | None = None) -> Iterator[Play]:
    """What plays episodes of any agent, a batch at a time, none further than ``max_steps``."""
    limit = limit_of(env, max_steps)
    if not isinstance(env, HostEnvironment):
        collector = JaxCollector(env, max_steps)

        def play_here(agent, choose, params, sharing, numbers) -> Episodes:
            return check_over(_play(collector, agent, choose, params, sharing, numbers), limit)

        yield play_here
        return
    with ExitStack() as stack:

        def opened(number: int) -> Any:
            return stack.enter_context(closing(env.open(number, cores())))

        collector = HostCollector(opened, limit)

        def play(agent, choose, params, sharing, numbers) -> Episodes:
            policy = partial(act, agent, choose, params, sharing)
            return collector.play(policy, np.asarray(numbers), agent.memory(len(numbers)))

        yield play


@partial(jax.jit, static_argnums=(0, 1))
def act(agent, choose, params, sharing, key, memory, observation, first):
    """An agent's policy as a compiled function, for collectors that loop in Python."""
    return agent.policy(params, sharing, choose)(key, memory, observation, first)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _play(collector, agent, choose, params, sharing, numbers) -> Episodes:
    policy = agent.policy(params, sharing, choose)
    return collector.play(policy, numbers, agent.memory(len(numbers)))


def random_return(env: AnyEnvironment, max_steps: int | None = None) -> float:
    """What drawing every legal action alike comes to on the first resets of the evaluation."""
    agent = UniformAgent(action_space_of(env))
    with player(env, max_steps) as play:
        one = partial(play, agent, sampled, None, None)
        return mean_return(in_batches(one, BATCH_EPISODES, most=batch_episodes(env)))
