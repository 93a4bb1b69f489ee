"""NoPS: every agent has a network of its own. Stage: sharing."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.masks import all_ones
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class NoPS:
    """Options of NoPS: there are none."""

    name = "nops"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """As many parameter sets as agents."""
        del key, identity
        return Sharing(
            group=jnp.arange(shape.num_agents, dtype=jnp.int32),
            masks=all_ones(shape),
            tags=jnp.zeros((shape.num_agents, 0)),
        )
