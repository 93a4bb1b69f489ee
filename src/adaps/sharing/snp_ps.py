"""SNP-PS: one network, of which each agent keeps neurons drawn at random. Stage: sharing.

Structured network pruning as parameter sharing (arXiv 2303.00912): the masks are drawn once, for
each agent apart, and never trained.
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.extensions import Range
from adaps.sharing.masks import as_is, per_layer, random_masks, rescale
from adaps.types import Identity, NetworkShape, Sharing


@dataclass(frozen=True)
class SNPPS:
    """Options of SNP-PS."""

    keep_ratio: Annotated[tuple[float, ...], Range(0, 1)] = (0.5,)
    """Share of neurons an agent keeps: one number for all hidden layers, or one for each."""
    rescale: bool = True
    """Divide kept neurons by the root of the share kept, so that sums keep their variance."""

    name = "snp-ps"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set; each agent has masks of its own.

        Raises:
            UserError: as many ratios as hidden layers are needed, or one.
        """
        del identity
        masks = random_masks(key, shape.num_agents, shape, per_layer(self.keep_ratio, shape))
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=jax.tree.map(rescale if self.rescale else as_is, masks),
            tags=jnp.zeros((shape.num_agents, 0)),
        )
