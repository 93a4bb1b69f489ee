"""Fresh episodes of a policy, and how far they are from the best possible. Stage: evaluation."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from adaps.collect.cores import cores
from adaps.collect.jax import Policy, uniform
from adaps.types import AnyEnvironment, Copies, Environment, HostEnvironment, Timestep

EVAL_SEED = 20231
"""Fixes the resets that every policy is evaluated on, whatever its own seed."""
BATCH_EPISODES = 100
"""Episodes played side by side, at most."""
HOST_BATCH_EPISODES = 8
"""As many of an environment that runs in Python."""

T = TypeVar("T")
Act = Callable[[Key[Array, ""], Timestep], Int[np.ndarray, "copy agent"]]
"""``act(key, timestep) → action`` in copies that run in Python."""
Play = Callable[[Callable[..., Policy], tuple[Any, ...], Int[Array, " episode"]], "Episodes"]
"""``play(policy, args, numbers) → episodes`` of ``policy(*args)``."""


class Episodes(NamedTuple):
    """Returns of whole episodes, on the same resets for every policy."""

    returns: Float[Array, "episode agent"]
    """Undiscounted sum of each agent's rewards."""
    best: Float[Array, " episode"] | None
    """Best possible return, summed over agents; None where no bound is known."""


def evaluate(env: Environment, policy: Policy, numbers: Int[Array, " episode"]) -> Episodes:
    """Play episodes side by side, each to its end.

    An episode's number fixes its reset, for every policy; :data:`EVAL_SEED` fixes the rest.
    """
    num_episodes = numbers.shape[0]
    env_state, timestep = jax.vmap(lambda number: env.reset(reset_key(number)))(numbers)
    bound = getattr(env, "best_return", None)
    best = None if bound is None else jax.vmap(bound)(env_state)

    def step(carry, key):
        env_state, timestep, running, total = carry
        keys = jax.random.split(key, 1 + num_episodes)
        action = policy(keys[0], timestep.obs, timestep.legal)
        env_state, timestep = jax.vmap(env.step)(keys[1:], env_state, action)
        total = total + jnp.where(running[:, None], timestep.reward, 0.0)
        running = running & ~(timestep.terminated | timestep.truncated)
        return (env_state, timestep, running, total), None

    running: Bool[Array, " episode"] = jnp.ones(num_episodes, bool)
    total = jnp.zeros((num_episodes, env.num_agents))
    keys = step_keys(env)
    (*_, total), _ = jax.lax.scan(step, (env_state, timestep, running, total), keys)
    return Episodes(total, best)


def never() -> bool:
    """No wish to stop."""
    return False


def evaluate_on_host(
    act: Act,
    copies: Copies,
    numbers: Int[np.ndarray, " copy"],
    max_steps: int,
    stopping: Callable[[], bool] = never,
) -> Episodes:
    """The same in copies that run in Python: an episode in each, cut off after ``max_steps``.

    What it returns means nothing if it was stopped.
    """
    timestep = copies.reset([episode_seed(int(number)) for number in numbers])
    running = np.ones(len(numbers), bool)
    total: Any = np.zeros(timestep.reward.shape, np.float32)
    for key in jax.random.split(_keys()[1], max_steps):
        timestep = copies.step(act(key, timestep))
        total += np.where(running[:, None], timestep.reward, 0.0)
        running &= ~(timestep.terminated | timestep.truncated)
        if stopping() or not running.any():
            break
    return Episodes(total, None)


def reset_key(number: Int[ArrayLike, ""]) -> Key[Array, ""]:
    """What the reset of the episode of this number is drawn with."""
    return jax.random.fold_in(_keys()[0], number)


def episode_seed(number: int) -> int:
    """The same for environments that run in Python, whose resets take a number."""
    return int(np.random.SeedSequence([EVAL_SEED, number]).generate_state(1)[0] >> 1)


def step_keys(env: Environment) -> Key[Array, " time"]:
    """What each step of any episode is drawn with."""
    return jax.random.split(_keys()[1], env.max_steps)


def _keys() -> Key[Array, "2"]:
    return jax.random.split(jax.random.key(EVAL_SEED))


def first_batch(num_episodes: int, most: int = BATCH_EPISODES) -> Int[Array, " episode"]:
    """Numbers of the first episodes: all of them, or a batch."""
    return jnp.arange(min(most, num_episodes))


def batch_episodes(env: AnyEnvironment) -> int:
    """Episodes of an environment that are played side by side, at most."""
    return HOST_BATCH_EPISODES if isinstance(env, HostEnvironment) else BATCH_EPISODES


def in_batches(
    play: Callable[[Int[Array, " episode"]], T],
    num_episodes: int,
    axis: int = 0,
    most: int = BATCH_EPISODES,
    stopping: Callable[[], bool] = never,
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


def mean_return(episodes: Episodes) -> float:
    """Return summed over agents, averaged over episodes."""
    return float(np.asarray(episodes.returns, np.float64).sum(axis=1).mean())


def best_return(episodes: Episodes) -> float | None:
    """Best possible return, averaged over episodes; None where no bound is known."""
    return None if episodes.best is None else float(np.asarray(episodes.best, np.float64).mean())


def regret(episodes: Episodes) -> float | None:
    """``(best − return) / |best|`` of the means over episodes; None where no bound is known."""
    best = best_return(episodes)
    return (best - mean_return(episodes)) / abs(best) if best else None


def returns_per_type(episodes: Episodes, agent_types: tuple[int, ...] | None) -> list[float] | None:
    """Return of each true type, summed over its agents, averaged over episodes."""
    if agent_types is None:
        return None
    per_agent = np.asarray(episodes.returns, np.float64).mean(axis=0)
    types = np.asarray(agent_types)
    return [float(per_agent[types == t].sum()) for t in sorted(set(agent_types))]


@contextmanager
def player(env: AnyEnvironment) -> Iterator[Play]:
    """What plays episodes of any policy, a batch at a time."""
    if not isinstance(env, HostEnvironment):
        yield jax.jit(
            lambda policy, args, numbers: evaluate(env, policy(*args), numbers), static_argnums=0
        )
        return
    choose = jax.jit(lambda policy, args, *seen: policy(*args)(*seen), static_argnums=0)
    with ExitStack() as stack:
        opened: dict[int, Copies] = {}

        def play(policy, args, numbers) -> Episodes:
            copies = opened.get(len(numbers))
            if copies is None:
                copies = opened[len(numbers)] = env.open(len(numbers), cores())
                stack.enter_context(closing(copies))

            def act(key, now):
                return np.asarray(choose(policy, args, key, now.obs, now.legal))

            return evaluate_on_host(act, copies, np.asarray(numbers), env.max_steps)

        yield play


def random_return(env: AnyEnvironment) -> float:
    """What drawing every legal action alike comes to on the first resets of the evaluation."""
    most = batch_episodes(env)
    with player(env) as play:
        one = partial(play, lambda: uniform, ())
        return mean_return(in_batches(one, BATCH_EPISODES, most=most))
