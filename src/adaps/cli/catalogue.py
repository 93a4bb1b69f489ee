"""What each sharing method would train in an environment. Used by ``adaps list``."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from adaps.config.groups import as_identity
from adaps.networks.mlp import MLP
from adaps.networks.weights import num_sets_used
from adaps.sharing import METHODS, Kaleidoscope
from adaps.sharing.method import num_params
from adaps.types import AnyEnvironment, NetworkShape, action_space_of


class Row(NamedTuple):
    """One sharing method's network."""

    method: str
    num_sets: int
    """Parameter sets."""
    num_tags: int
    """Numbers appended to an observation."""
    masks: str
    """What masks select: neurons, weights, or nothing."""
    parameters: int
    """Trainable numbers of actor and critic."""


def num_kinds(env: AnyEnvironment) -> int | None:
    """How many true types of agents there are; None where that is not known."""
    return None if env.agent_types is None else len(set(env.agent_types))


def rows(env: AnyEnvironment, hidden: Sequence[int], num_groups: int) -> list[Row]:
    """Every method, for methods with groups as if ``num_groups`` had been found."""
    shape = NetworkShape(env.num_agents, env.obs_size, action_space_of(env), tuple(hidden))
    network = MLP().build(shape)
    identity = as_identity(np.arange(env.num_agents) % num_groups, latent_size=10, seed=0)
    key = jax.random.key(0)
    found = []
    for name, method in METHODS.items():
        sharing = method().build(key, network, identity)
        masked = any((mask != 1).any() for mask in jax.tree.leaves(sharing.masks))
        masks = "weights" if method is Kaleidoscope else "neurons" if masked else "–"
        parameters = num_params(method(), network, sharing)
        sets, tags = num_sets_used(sharing), sharing.tags.shape[-1]
        found.append(Row(name, sets, tags, masks, parameters))
    return found
