"""FuPS+mask: one network with one random mask for all agents. A control. Stage: sharing.

What masks do without telling agents apart: a smaller network.
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.extensions import Range
from adaps.sharing.masks import all_ones, per_layer, random_masks, rescale
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class FuPSMask:
    """Options of FuPS+mask."""

    keep_ratio: Annotated[tuple[float, ...], Range(0, 1)] = (0.5,)
    """Share of neurons kept: one number for all hidden layers, or one for each."""

    name = "fups+mask"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set, and the same mask for everyone.

        Raises:
            UserError: as many ratios as hidden layers are needed, or one.
        """
        del identity
        common = random_masks(key, 1, shape, per_layer(self.keep_ratio, shape))
        ones = all_ones(shape)
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=jax.tree.map(lambda one, mask: one * rescale(mask), ones, common),
            tags=jnp.zeros((shape.num_agents, 0)),
        )
