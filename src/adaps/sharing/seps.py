"""SePS: each cluster of alike agents has a network of its own. Stage: sharing.

Selective parameter sharing (arXiv 2102.07475).
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.grouped import Grouped
from adaps.sharing.masks import all_ones
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class SePS(Grouped):
    """Options of SePS."""

    name = "seps"

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """As many parameter sets as clusters."""
        del key
        group, _ = self.groups_of(shape, identity)
        return Sharing(
            group=jnp.asarray(group, jnp.int32),
            masks=all_ones(shape),
            tags=jnp.zeros((shape.num_agents, 0)),
        )
