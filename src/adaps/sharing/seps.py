"""SePS: each cluster of alike agents has a network of its own. Stage: sharing.

Selective parameter sharing (arXiv 2102.07475).
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.sharing.method import Grouped, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class SePS(Grouped):
    """Options of SePS."""

    name = "seps"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """As many parameter sets as clusters."""
        del key
        group, _ = self.groups_of(network.shape, identity)
        return full_sharing(network)._replace(param_set=jnp.asarray(group, jnp.int32))
