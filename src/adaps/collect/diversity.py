"""How differently agents act where they see the same. Stage: evaluation.

System Neural Diversity (Bettini et al., arXiv 2305.02128) is the mean distance of two agents'
policies on the same observations. Theirs is a Wasserstein distance of Gaussians; actions here are
discrete and have no order, so it is the total variation of the two distributions: the least share
of steps on which two agents act differently, from 0 (always alike) to 1.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from adaps.networks.mlp import actor_logits
from adaps.types import Params, Sharing

MOST_OWNERS = 16
"""Agents whose observations are shown to all others, at most."""


def behaviour_distance(
    params: Params,
    sharing: Sharing,
    obs: Float[Array, "env agent obs"],
    legal: Bool[Array, "env agent action"],
) -> Float[Array, "agent agent"]:
    """Total variation of each two agents' actions, mean over observations.

    Args:
        params: of all agents.
        sharing: which part of them is whose.
        obs: observations of every agent; some of the agents', evenly spaced, are shown to all.
        legal: which actions their owners may take.
    """
    num_agents = obs.shape[1]
    owners = np.linspace(0, num_agents - 1, min(num_agents, MOST_OWNERS)).round().astype(int)

    def of_one(owner: Array) -> Float[Array, "agent agent"]:
        own_obs = jnp.broadcast_to(obs[:, owner, None], obs.shape)
        own_legal = jnp.broadcast_to(legal[:, owner, None], legal.shape)
        chances = jax.nn.softmax(actor_logits(params, sharing, own_obs, own_legal))
        apart = jnp.abs(chances[:, :, None] - chances[:, None, :]).sum(-1) / 2
        return apart.mean(axis=0)

    return jax.lax.map(of_one, jnp.asarray(owners)).mean(axis=0)


def snd(distance: Float[np.ndarray, "agent agent"]) -> float:
    """Mean over pairs of different agents; 0 for one agent.

    >>> snd(np.array([[0.0, 0.5], [0.5, 0.0]]))
    0.5
    """
    num_agents = len(distance)
    if num_agents < 2:
        return 0.0
    return float(distance.sum(dtype=np.float64) / (num_agents * (num_agents - 1)))


def between_groups(
    distance: Float[np.ndarray, "agent agent"], groups: Sequence[int] | np.ndarray
) -> Float[np.ndarray, "group group"]:
    """Mean over pairs of different agents of two groups, in rising order of the groups' numbers.

    0 inside a group of one.

    >>> between_groups(np.array([[0, 0.2, 1], [0.2, 0, 1], [1, 1, 0]]), [0, 0, 1])
    array([[0.2, 1. ],
           [1. , 0. ]])
    """
    labels = np.asarray(groups)
    member = (labels[:, None] == np.unique(labels)).astype(np.float64)
    pairs = member.T @ (1 - np.eye(len(labels))) @ member
    return (member.T @ np.asarray(distance, np.float64) @ member) / np.maximum(pairs, 1)
