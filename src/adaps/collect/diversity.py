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
from jaxtyping import Array, Float

from adaps.networks.agent import Agent, inputs
from adaps.types import Memory, Observation, Params, Sharing

MOST_OWNERS = 16
"""Agents whose observations are shown to all others, at most."""


def behaviour_distance(
    agent: Agent,
    params: Params,
    sharing: Sharing,
    observation: Observation,
    memory: Memory = (),
) -> Float[Array, "agent agent"]:
    """Distance of each two agents' actions, mean over observations.

    Args:
        agent: network and sharing method.
        params: of all agents.
        sharing: which part of them is whose.
        observation: ``[env, agent, …]`` of every agent; those of some agents, evenly spaced, are
            shown to all, with the actions that are legal for their owners.
        memory: what agents remember when they see it.
    """
    num_agents = observation.obs.shape[1]
    owners = np.linspace(0, num_agents - 1, min(num_agents, MOST_OWNERS)).round().astype(int)
    weights = agent.method.bind(params, sharing)

    def of_one(owner: Array) -> Float[Array, "agent agent"]:
        def shown(x: Array | None) -> Array | None:
            return None if x is None else jnp.broadcast_to(x[:, owner, None], x.shape)

        seen = observation._replace(obs=shown(observation.obs), legal=shown(observation.legal))
        first = jnp.zeros(observation.obs.shape[:2], bool)
        _, distribution = agent.network.actor(weights, memory, inputs(sharing, seen), first)
        one, other = (
            jax.tree.map(lambda x, axis=axis: jnp.expand_dims(x, axis), distribution)
            for axis in (2, 1)
        )
        return one.distance(other).mean(axis=0)

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
