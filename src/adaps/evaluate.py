"""Fresh episodes of a policy, and how far they are from the best possible. Stage: evaluation."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from adaps.policy import greedy, load
from adaps.rollout import Policy, uniform
from adaps.run_folder import saved_seeds
from adaps.types import Environment, Params, Sharing

EVAL_SEED = 20231
"""Fixes the resets that every policy is evaluated on, whatever its own seed."""
BATCH_EPISODES = 100
"""Episodes played side by side, at most."""

T = TypeVar("T")


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


def reset_key(number: Int[ArrayLike, ""]) -> Key[Array, ""]:
    """What the reset of the episode of this number is drawn with."""
    return jax.random.fold_in(_keys()[0], number)


def step_keys(env: Environment) -> Key[Array, " time"]:
    """What each step of any episode is drawn with."""
    return jax.random.split(_keys()[1], env.max_steps)


def _keys() -> Key[Array, "2"]:
    return jax.random.split(jax.random.key(EVAL_SEED))


def evaluate_greedy(
    env: Environment, params: Params, sharing: Sharing, numbers: Int[Array, " episode"]
) -> Episodes:
    """Episodes of each agent's most likely actions."""
    return evaluate(env, greedy(params, sharing), numbers)


def first_batch(num_episodes: int) -> Int[Array, " episode"]:
    """Numbers of the first episodes: all of them, or a batch."""
    return jnp.arange(min(BATCH_EPISODES, num_episodes))


def in_batches(play: Callable[[Int[Array, " episode"]], T], num_episodes: int, axis: int = 0) -> T:
    """Episodes 0, 1, …, played batch by batch so that one program serves any number of them.

    Args:
        play: numbers of episodes → episodes.
        num_episodes: how many to play in all.
        axis: that of the episodes in what ``play`` returns.
    """
    batch = first_batch(num_episodes)
    starts = range(0, num_episodes, len(batch))
    parts = [jax.device_get(play(batch + start)) for start in starts]
    joined = jax.tree.map(lambda *part: np.concatenate(part, axis), *parts)
    return jax.tree.map(lambda x: x.take(range(num_episodes), axis), joined)


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


def random_return(env: Environment) -> float:
    """What drawing every legal action alike comes to on the first resets of the evaluation."""
    play = jax.jit(partial(evaluate, env, uniform))
    return mean_return(in_batches(play, BATCH_EPISODES))


class SeedReturn(NamedTuple):
    """A seed's mean greedy return, and the best possible on the same resets."""

    seed: int
    value: float
    best: float | None
    regret: float | None


def evaluate_run(env: Environment, folder: Path, num_episodes: int) -> list[SeedReturn]:
    """Greedy episodes of every seed that a run's folder holds.

    Raises:
        UserError: nothing is saved there, or a file is damaged.
    """
    play = jax.jit(partial(evaluate_greedy, env))
    rows = []
    for seed in saved_seeds(folder):
        policy = load(folder, seed)
        episodes = in_batches(partial(play, policy.params, policy.sharing), num_episodes)
        row = SeedReturn(seed, mean_return(episodes), best_return(episodes), regret(episodes))
        rows.append(row)
    return rows
