"""Agents whose spaces are alike: kinds are looked for among these only. Stage: identity.

Agents that see or do different things are of different kinds by construction, and what fills the
smaller spaces up is never seen by an encoder.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from adaps.identity.samples import Gathered, Rows
from adaps.types import AgentSpace, AnyEnvironment, Identity

APART = 3.0
"""Standard deviations between the codes of two parts, which were learnt apart."""


class Part(NamedTuple):
    """Agents whose spaces are alike."""

    agents: tuple[int, ...]
    space: AgentSpace


def parts_of(env: AnyEnvironment) -> tuple[Part, ...]:
    """The team's parts, in the order of their first agents; most teams have one."""
    everyone = AgentSpace(env.obs_size, env.num_actions, "")
    spaces: Sequence[AgentSpace] = getattr(env, "spaces", (everyone,) * env.num_agents)
    return tuple(
        Part(tuple(i for i, other in enumerate(spaces) if other == space), space)
        for space in dict.fromkeys(spaces)
    )


def whole(num_agents: int, obs_size: int, num_actions: int) -> Part:
    """A team whose spaces are all alike."""
    return Part(tuple(range(num_agents)), AgentSpace(obs_size, num_actions, ""))


def gathered_of(gathered: Gathered, part: Part) -> Gathered:
    """What was gathered of a part's agents, without what fills their spaces up."""
    num_obs = gathered.common.target.shape[-1] - 1
    agents = np.array(part.agents)
    own = [*range(part.space.obs_size)]
    actions = [num_obs + action for action in range(part.space.num_actions)]

    def rows_of(rows: Rows) -> Rows:
        return Rows(
            rows.given[:, agents][..., np.array(own + actions)],
            rows.target[:, agents][..., np.array([*own, num_obs])],
        )

    per_agent = (gathered.num_kept, gathered.num_rare, gathered.num_seen, gathered.here)
    num_kept, num_rare, num_seen, here = jax.tree.map(
        lambda x: x[:, agents] if x.ndim > 1 else x, per_agent
    )
    return gathered._replace(
        common=rows_of(gathered.common),
        rare=rows_of(gathered.rare),
        num_kept=num_kept,
        num_rare=num_rare,
        num_seen=num_seen,
        here=here,
    )


def alone(latent_size: int) -> Identity:
    """The identity of a part of one agent."""
    code = np.zeros((1, latent_size))
    return Identity(code, np.zeros(1, int), code, {})


def as_one(parts: Sequence[Part], found: Sequence[Identity], seed: int) -> Identity:
    """The whole team's identity: every part's kinds side by side, each part's codes shifted."""
    if len(parts) == 1:
        return found[0]
    rng = np.random.default_rng([seed, len(parts)])
    num_agents = sum(len(part.agents) for part in parts)
    latent_size = found[0].centres.shape[1]
    latent, clusters = np.zeros((num_agents, latent_size)), np.zeros(num_agents, int)
    centres: list[np.ndarray] = []
    for part, own in zip(parts, found, strict=True):
        shift = APART * rng.normal(size=latent_size)
        agents = list(part.agents)
        latent[agents] = shift if own.latent is None else own.latent + shift
        clusters[agents] = own.clusters + len(centres)
        centres.extend(own.centres + shift)
    return Identity(latent, *_in_order(clusters, np.stack(centres)), {})


def _in_order(clusters: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clusters numbered in the order of their first agents."""
    order = list(dict.fromkeys(clusters.tolist()))
    return np.array([order.index(c) for c in clusters]), centres[order]
