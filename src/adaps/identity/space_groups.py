"""Groups of agents who can read each other's observations. Stage: identity.

Clusters are found within each group. Agents whose observations or actions are of another number or
layout cannot be compared: they are of different types by construction. What else their spaces
state, such as bounds, is no evidence. Padding of the smaller spaces is removed, so that no encoder
sees it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from adaps.envs.agent_io import agents_of
from adaps.identity.samples import Gathered, Rows
from adaps.types import AgentSpace, AnyEnvironment, Identity

APART = 3.0
"""Standard deviations between the codes of two groups, whose encoders are trained separately."""


class SpaceGroup(NamedTuple):
    """Agents with as many actions, and observations of the same layout."""

    agents: tuple[int, ...]
    space: AgentSpace
    """The first one's."""


def space_groups_of(env: AnyEnvironment) -> tuple[SpaceGroup, ...]:
    """A team's space groups, in the order of their first agents; most teams have one."""
    spaces = agents_of(env).spaces
    members: dict[tuple[int, int, str], list[int]] = {}
    for agent, space in enumerate(spaces):
        members.setdefault((space.obs_size, space.num_actions, space.label), []).append(agent)
    return tuple(SpaceGroup(tuple(agents), spaces[agents[0]]) for agents in members.values())


def gathered_of_group(gathered: Gathered, group: SpaceGroup) -> Gathered:
    """What was gathered of a group's agents, without the padding of their spaces."""
    num_obs = gathered.common.target.shape[-1] - 1
    agents = np.array(group.agents)
    obs = [*range(group.space.obs_size)]
    actions = [num_obs + action for action in range(group.space.num_actions)]

    def rows_of(rows: Rows) -> Rows:
        return Rows(
            rows.given[:, agents][..., np.array(obs + actions)],
            rows.target[:, agents][..., np.array([*obs, num_obs])],
        )

    own = jax.tree.map(lambda x: x[:, agents] if x.ndim in (2, 3) else x, gathered)
    return own._replace(common=rows_of(gathered.common), rare=rows_of(gathered.rare))


def identity_of_one_agent(latent_size: int) -> Identity:
    """The identity of a group of one agent: one cluster, and a code of zeros."""
    code = np.zeros((1, latent_size))
    return Identity(code, np.zeros(1, int), code, {})


def join_space_groups(
    groups: Sequence[SpaceGroup], identities: Sequence[Identity], seed: int
) -> Identity:
    """The whole team's identity, from those of its groups.

    No cluster spans two groups, and each group's codes are shifted, since codes of encoders that
    were trained separately do not compare. Clusters are numbered in the order of their first
    agents.
    """
    if len(groups) == 1:
        return identities[0]
    rng = np.random.default_rng([seed, len(groups)])
    num_agents = sum(len(group.agents) for group in groups)
    latent_size = identities[0].centres.shape[1]
    latent, clusters = np.zeros((num_agents, latent_size)), np.zeros(num_agents, int)
    centres: list[np.ndarray] = []
    for group, own in zip(groups, identities, strict=True):
        shift = APART * rng.normal(size=latent_size)
        agents = list(group.agents)
        latent[agents] = shift if own.latent is None else own.latent + shift
        clusters[agents] = own.clusters + len(centres)
        centres.extend(own.centres + shift)
    order = list(dict.fromkeys(clusters.tolist()))
    return Identity(latent, np.argsort(order)[clusters], np.stack(centres)[order], {})
