"""FuPS+mask: one network with one random mask for all agents. A control. Stage: sharing.

What masks do without telling agents apart: a smaller network.
"""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Array, Key

from adaps.extensions import Range
from adaps.sharing.masks import random_masks, rescale
from adaps.sharing.method import SharingMethod, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class FuPSMask(SharingMethod):
    """Options of FuPS+mask."""

    keep_ratio: Annotated[tuple[float, ...], Range(0, 1)] = (0.5,)
    """Share of neurons kept: one number for all hidden layers, or one for each."""

    name = "fups+mask"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set, and the same mask for everyone.

        Raises:
            UserError: as many ratios as hidden layers are needed, or one.
        """
        del identity
        common = random_masks(key, 1, network, self.keep_ratio)
        full = full_sharing(network)
        masks = {name: ones * rescale(common[name]) for name, ones in full.masks.items()}
        return full._replace(masks=masks)
