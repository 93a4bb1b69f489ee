"""A sharing method of your own: every hidden neuron has exactly one owner.

    adaps train bps:5-5 --sharing examples.disjoint_masks:DisjointMasks

A method is a frozen dataclass whose fields are its options, with a name, a word on whether it
needs agents' codes to be learnt first, and ``build``, which returns data. Inheriting from
``Grouped`` adds the options ``--sharing.clusters`` and ``--sharing.groups``.
"""

from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
import numpy as np

import adaps
from adaps.extensions import Range
from adaps.types import Masks


@dataclass(frozen=True)
class DisjointMasks(adaps.Grouped):
    """Options of disjoint masks."""

    common: Annotated[float, Range(0, 1)] = 0.0
    """Share of each layer's neurons that all groups own together."""

    name = "disjoint-masks"

    def build(self, key, shape, identity):
        """One parameter set; neuron j belongs to group ``j mod K``, the first few to all."""
        group, num_groups = self.groups_of(shape, identity)

        def layer(width):
            neurons = np.arange(width)
            own = neurons % num_groups == group[:, None]
            mask = np.where(neurons < self.common * width, True, own).astype(np.float32)
            return jnp.asarray(mask / mask.mean(axis=1, keepdims=True))

        layers = tuple(layer(width) for width in shape.hidden)
        return adaps.Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),  # which parameter set: one for all
            masks=Masks(actor=layers, critic=layers),
            tags=jnp.zeros((shape.num_agents, 0)),  # nothing is appended to observations
        )
