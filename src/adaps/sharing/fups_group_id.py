"""FuPS+group-id: one network, which is told the agent's group. A control. Stage: sharing.

What AdaPS would be if the groups it finds were only shown to the network.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.method import Grouped, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class FuPSGroupId(Grouped):
    """Options of FuPS+group-id."""

    name = "fups+group-id"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set; a one-hot group number is appended, unless there is one group."""
        del key
        group, num_groups = self.groups_of(network.shape, identity)
        tags = jnp.eye(num_groups)[group, : num_groups if num_groups > 1 else 0]
        return full_sharing(network)._replace(tags=tags)
