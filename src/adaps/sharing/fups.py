"""FuPS: all agents share one network. Stage: sharing."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.masks import all_ones
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class FuPS:
    """Options of FuPS: there are none."""

    name = "fups"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set, every neuron for everyone."""
        del key, identity
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=all_ones(shape),
            tags=jnp.zeros((shape.num_agents, 0)),
        )
