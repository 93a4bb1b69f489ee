"""A sharing method of your own: every hidden neuron has exactly one owner.

    adaps train bps:5-5 --sharing examples.disjoint_masks:DisjointMasks

A method is a frozen dataclass, a subclass of ``adaps.SharingMethod``, whose fields are its options.
It has a name, a property that says whether agents must be identified first, and ``build``, which
returns data. ``adaps.Grouped`` is such a subclass, with the options ``--sharing.clusters`` and
``--sharing.groups``.
"""

from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
import numpy as np

import adaps
from adaps.extensions import Range


@dataclass(frozen=True)
class DisjointMasks(adaps.Grouped):
    """Options of disjoint masks."""

    common: Annotated[float, Range(0, 1)] = 0.0
    """Share of each layer's neurons that all groups own together."""

    name = "disjoint-masks"

    def build(self, key, network, identity):
        """One parameter set; neuron j belongs to group ``j mod K``, the first few to all."""
        num_agents = network.shape.num_agents
        group, num_groups = self.groups_of(network.shape, identity)

        def mask_of(width):
            neurons = np.arange(width)
            own = neurons % num_groups == group[:, None]
            mask = np.where(neurons < self.common * width, True, own).astype(np.float32)
            return jnp.asarray(mask / mask.mean(axis=1, keepdims=True))

        return adaps.Sharing(
            param_set=jnp.zeros(num_agents, jnp.int32),  # one parameter set for all agents
            masks={name: mask_of(width) for name, width in network.units.items()},
            tags=jnp.zeros((num_agents, 0)),  # nothing is appended to observations
        )
