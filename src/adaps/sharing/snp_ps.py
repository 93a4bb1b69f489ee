"""SNP-PS: one network, of which each agent keeps neurons drawn at random. Stage: sharing.

Structured network pruning as parameter sharing (arXiv 2303.00912): the masks are drawn once, for
each agent apart, and never trained.
"""

from dataclasses import dataclass
from typing import Annotated

import jax
from jaxtyping import Array, Key

from adaps.extensions import Range
from adaps.sharing.masks import as_is, random_masks, rescale
from adaps.sharing.method import SharingMethod, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class SNPPS(SharingMethod):
    """Options of SNP-PS."""

    keep_ratio: Annotated[tuple[float, ...], Range(0, 1)] = (0.5,)
    """Share of neurons an agent keeps: one number for all hidden layers, or one for each."""
    rescale: bool = True
    """Divide kept neurons by the root of the share kept, so that sums keep their variance."""

    name = "snp-ps"

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set; each agent has masks of its own.

        Raises:
            UserError: as many ratios as hidden layers are needed, or one.
        """
        del identity
        masks = random_masks(key, network.shape.num_agents, network, self.keep_ratio)
        masks = jax.tree.map(rescale if self.rescale else as_is, masks)
        return full_sharing(network)._replace(masks=masks)
