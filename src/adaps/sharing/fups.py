"""FuPS: all agents share one network. Stage: sharing."""

from dataclasses import dataclass

from jaxtyping import Array, Key

from adaps.sharing.method import SharingMethod, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class FuPS(SharingMethod):
    """Options of FuPS: there are none."""

    name = "fups"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set, every unit for everyone."""
        del key, identity
        return full_sharing(network)
