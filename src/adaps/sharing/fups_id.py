"""FuPS+id: one network, which is told the agent's number. Stage: sharing."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.masks import all_ones
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class FuPSId:
    """Options of FuPS+id: there are none."""

    name = "fups+id"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set; a one-hot agent number is appended to each observation."""
        del key, identity
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=all_ones(shape),
            tags=jnp.eye(shape.num_agents),
        )
