"""Returns along a rollout. Stage: update."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def n_step_returns(
    reward: Float[Array, "time env agent"],
    next_value: Float[Array, "time env agent"],
    terminated: Bool[Array, "time env"] | Bool[Array, "time env agent"],
    truncated: Bool[Array, "time env"] | Bool[Array, "time env agent"],
    discount: float,
) -> Float[Array, "time env agent"]:
    """Discounted rewards up to the rollout's end, bootstrapped with V(o′).

    ``G_t = r_t + γ·(0 if terminated, V(o'_t) if truncated or last, else G_{t+1})``, where
    ``next_value`` is ``V(o'_t)`` of the observation that followed, before any reset. The ends are
    those of episodes, or of each agent's own part in them.

    Steps on which an agent does not act stay in the chain: what it is paid while it pauses reaches
    its last action, discounted by the steps between.
    """
    terminated, truncated = (x if x.ndim == 3 else x[..., None] for x in (terminated, truncated))

    def step_back(later, x):
        reward, next_value, terminated, truncated = x
        rest = jnp.where(truncated, next_value, later)
        rest = jnp.where(terminated, 0.0, rest)
        now = reward + discount * rest
        return now, now

    inputs = (reward, next_value, terminated, truncated)
    return jax.lax.scan(step_back, next_value[-1], inputs, reverse=True)[1]
