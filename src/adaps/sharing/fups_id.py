"""FuPS+id: one network, which is told the agent's number. Stage: sharing."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.method import SharingMethod, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class FuPSId(SharingMethod):
    """Options of FuPS+id: there are none."""

    name = "fups+id"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set; a one-hot agent number is appended to each observation."""
        del key, identity
        return full_sharing(network)._replace(tags=jnp.eye(network.shape.num_agents))
