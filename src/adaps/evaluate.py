"""Fresh episodes of a policy, and how far they are from the best possible. Stage: evaluation."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from adaps.policy import greedy, load
from adaps.rollout import Policy
from adaps.run_folder import saved_seeds
from adaps.types import Environment

EVAL_SEED = 20231
"""Fixes the resets that every policy is evaluated on, whatever its own seed."""


class Episodes(NamedTuple):
    """Returns of whole episodes, on the same resets for every policy."""

    returns: Float[Array, "episode agent"]
    """Undiscounted sum of each agent's rewards."""
    best: Float[Array, " episode"] | None
    """Best possible return, summed over agents; None where no bound is known."""


def evaluate(
    env: Environment, policy: Policy, num_episodes: int, key: Key[Array, ""] | None = None
) -> Episodes:
    """Play ``num_episodes`` episodes side by side, each to its end.

    The resets depend on ``num_episodes`` and :data:`EVAL_SEED` only; ``key`` feeds a policy
    that samples, and the environment's own chance.
    """
    key = jax.random.key(EVAL_SEED + 1) if key is None else key
    reset_keys = jax.random.split(jax.random.key(EVAL_SEED), num_episodes)
    env_state, timestep = jax.vmap(env.reset)(reset_keys)
    bound = getattr(env, "best_return", None)
    best = None if bound is None else jax.vmap(bound)(env_state)

    def step(carry, key):
        env_state, timestep, running, total = carry
        action_key, step_key = jax.random.split(key)
        action = policy(action_key, timestep.obs, timestep.legal)
        step_keys = jax.random.split(step_key, num_episodes)
        env_state, timestep = jax.vmap(env.step)(step_keys, env_state, action)
        total = total + jnp.where(running[:, None], timestep.reward, 0.0)
        running = running & ~(timestep.terminated | timestep.truncated)
        return (env_state, timestep, running, total), None

    running: Bool[Array, " episode"] = jnp.ones(num_episodes, bool)
    total = jnp.zeros((num_episodes, env.num_agents))
    keys = jax.random.split(key, env.max_steps)
    (*_, total), _ = jax.lax.scan(step, (env_state, timestep, running, total), keys)
    return Episodes(total, best)


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

    @jax.jit
    def play(params, sharing):
        return evaluate(env, greedy(params, sharing), num_episodes)

    rows = []
    for seed in saved_seeds(folder):
        policy = load(folder, seed)
        episodes = jax.device_get(play(policy.params, policy.sharing))
        row = SeedReturn(seed, mean_return(episodes), best_return(episodes), regret(episodes))
        rows.append(row)
    return rows
