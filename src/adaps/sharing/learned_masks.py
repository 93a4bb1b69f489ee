"""Masks on weights that each agent learns, as Kaleidoscope does. Stage: sharing.

Agent i uses ``sign(w)·relu(|w| − sigmoid(s_i))`` of a shared weight w, with a threshold s_i of its
own per weight (arXiv 2410.08540). Weights that every agent has masked out are drawn anew now and
then, so that capacity does not get lost.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

Weight = Float[Array, "*in_out"]
Thresholds = Float[Array, "agent *in_out"]


def masked_weight(weight: Weight, threshold: Thresholds) -> Float[Array, "agent *in_out"]:
    """What is left of a shared weight for each agent; gradients reach weight and thresholds."""
    return jnp.sign(weight) * jax.nn.relu(jnp.abs(weight) - jax.nn.sigmoid(threshold))


def difference(weight: Weight, threshold: Thresholds) -> Float[Array, ""]:
    """How unlike the agents' masks are: ``Σ |w|·|m_i − m_j|``, mean over pairs of agents.

    Without going through the pairs: where c of N agents keep a weight, c·(N − c) pairs differ in
    it, and agent i's subgradient is N − c if it keeps it and −c if not.
    """
    num_agents = threshold.shape[0]
    size = jax.lax.stop_gradient(jnp.abs(weight))
    masks = _straight_through(size - jax.nn.sigmoid(threshold))
    keeping = masks.sum(axis=0)
    slope = jax.lax.stop_gradient(jnp.where(masks > 0, num_agents - keeping, -keeping))
    pairs = max(1, num_agents * (num_agents - 1) // 2)
    return (size * masks * slope).sum() / pairs


def renew(
    key: Key[Array, ""],
    weight: Weight,
    threshold: Thresholds,
    initial: Float[Array, "2"],
    share: float,
) -> tuple[Bool[Array, "*in_out"], Weight, Thresholds]:
    """Choose a share of the weights that no agent uses, and draw all weights and thresholds anew.

    Returns:
        Which weights are chosen, fresh weights and fresh thresholds.
    """
    chosen_key, weight_key, threshold_key = jax.random.split(key, 3)
    unused = ~used(weight, threshold).any(axis=0)
    chosen = unused & (jax.random.uniform(chosen_key, weight.shape) < share)
    limit = weight.shape[0] ** -0.5
    fresh_weight = jax.random.uniform(weight_key, weight.shape, minval=-limit, maxval=limit)
    fresh_threshold = jax.random.uniform(
        threshold_key, threshold.shape, minval=initial[0], maxval=initial[1]
    )
    return chosen, fresh_weight, fresh_threshold


def used(weight: Weight, threshold: Thresholds) -> Bool[Array, "agent *in_out"]:
    """Which weights pass each agent's thresholds."""
    return jnp.abs(weight) > jax.nn.sigmoid(threshold)


@jax.custom_vjp
def _straight_through(excess: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 where positive; the gradient passes as if it were the excess itself, squashed by tanh."""
    return (excess > 0).astype(excess.dtype)


_straight_through.defvjp(
    lambda excess: (_straight_through(excess), None), lambda _, gradient: (jnp.tanh(gradient),)
)
