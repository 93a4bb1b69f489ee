"""NoPS: every agent has a network of its own. Stage: sharing."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.method import SharingMethod, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class NoPS(SharingMethod):
    """Options of NoPS: there are none."""

    name = "nops"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """As many parameter sets as agents."""
        del key, identity
        sets = jnp.arange(network.shape.num_agents, dtype=jnp.int32)
        return full_sharing(network)._replace(param_set=sets)
