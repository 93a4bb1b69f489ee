"""Running statistics that observations and rewards are scaled by. Stage: update.

Each kind of agents has its own, since what an entry means may differ between kinds. Variances are
merged as in Chan, Golub & LeVeque (1979).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from adaps.types import Rollout, Scaling, Sharing

LEAST_VARIANCE = 1e-8


class Moments(NamedTuple):
    """Number, mean and sum of squared deviations of what each kind has had so far."""

    num: Float[Array, " kind"]
    mean: Float[Array, "kind number"]
    squares: Float[Array, "kind number"]


class Rewards(NamedTuple):
    """The discounted sums of rewards so far in each copy, and their moments."""

    running: Float[Array, "env agent"]
    moments: Moments


class Normaliser(NamedTuple):
    """What is kept for scaling; None where nothing is scaled."""

    obs: Moments | None = None
    rewards: Rewards | None = None


def empty_moments(num_kinds: int, size: int) -> Moments:
    """Of no numbers."""
    zeros = jnp.zeros((num_kinds, size))
    return Moments(jnp.zeros(num_kinds), zeros, zeros)


def unscaled(kind: Int[Array, " agent"], obs_size: int) -> Scaling:
    """Scaling that changes nothing; there may be as many kinds as agents."""
    shape = (len(kind), obs_size)
    return Scaling(kind, jnp.zeros(shape), jnp.ones(shape))


def begin(sharing: Sharing, num_envs: int, obs: bool, rewards: bool) -> Normaliser:
    """Nothing seen yet of what is to be scaled, kind by kind as ``sharing`` says."""
    if sharing.scaling is None:
        return Normaliser()
    num_kinds, obs_size = sharing.scaling.mean.shape
    running = jnp.zeros((num_envs, len(sharing.param_set)))
    return Normaliser(
        empty_moments(num_kinds, obs_size) if obs else None,
        Rewards(running, empty_moments(num_kinds, 1)) if rewards else None,
    )


def scaled(sharing: Sharing, normaliser: Normaliser) -> Sharing:
    """With observations scaled by what was seen so far."""
    moments, scaling = normaliser.obs, sharing.scaling
    if moments is None or scaling is None:
        return sharing
    seen = (moments.num > 1)[:, None]
    now = scaling._replace(
        mean=jnp.where(seen, moments.mean, 0.0),
        scale=jnp.where(seen, 1 / _std(moments), 1.0),
    )
    return sharing._replace(scaling=now)


def with_observations(normaliser: Normaliser, sharing: Sharing, seen: Rollout) -> Normaliser:
    """With a rollout's observations added."""
    if normaliser.obs is None or sharing.scaling is None:
        return normaliser
    moments = merged(normaliser.obs, sharing.scaling.kind, seen.observation.obs, seen.acted)
    return normaliser._replace(obs=moments)


def with_rewards(
    normaliser: Normaliser, sharing: Sharing, seen: Rollout, discount: float
) -> tuple[Normaliser, Rollout]:
    """Rewards divided by the deviation of their discounted sums so far."""
    if normaliser.rewards is None or sharing.scaling is None:
        return normaliser, seen
    kind = sharing.scaling.kind
    ended = seen.ends.terminated | seen.ends.truncated
    ended = ended if ended.ndim == 3 else ended[..., None]

    def step(running, x):
        reward, ended = x
        running = discount * running + reward
        return jnp.where(ended, 0.0, running), running

    running, sums = jax.lax.scan(step, normaliser.rewards.running, (seen.reward, ended))
    moments = merged(normaliser.rewards.moments, kind, sums[..., None], seen.acted)
    reward = seen.reward / _std(moments)[kind, 0]
    return normaliser._replace(rewards=Rewards(running, moments)), seen._replace(reward=reward)


def merged(
    moments: Moments,
    kind: Int[Array, " agent"],
    values: Float[Array, "time env agent number"],
    acted: Bool[Array, "time env agent"] | Bool[np.ndarray, "time env agent"],
) -> Moments:
    """Moments of what was had before and of new values, of agents that acted."""
    num_kinds = len(moments.num)
    per_kind = lambda x: jax.ops.segment_sum(x, kind, num_kinds)  # noqa: E731
    weight = acted.astype(values.dtype)[..., None]
    count = per_kind(weight.sum((0, 1))[:, 0])
    safe = jnp.maximum(count, 1)[:, None]
    mean = per_kind((weight * values).sum((0, 1))) / safe
    squares = per_kind((weight * jnp.square(values - mean[kind])).sum((0, 1)))
    total = moments.num + count
    share = (count / jnp.maximum(total, 1))[:, None]
    away = mean - moments.mean
    return Moments(
        total,
        moments.mean + away * share,
        moments.squares + squares + jnp.square(away) * share * moments.num[:, None],
    )


def _std(moments: Moments) -> Float[Array, "kind number"]:
    variance = moments.squares / jnp.maximum(moments.num, 1)[:, None]
    return jnp.sqrt(jnp.where(variance > LEAST_VARIANCE, variance, 1.0))
