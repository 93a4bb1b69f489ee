"""AdaPS: each cluster of alike agents trains its own masked part of one network. Stage: sharing.

A fixed random network maps a cluster's centre to one number per hidden neuron; the neuron belongs
to the cluster where the sigmoid exceeds λ (arXiv 2312.09009).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from adaps.networks import orthogonal
from adaps.sharing.grouped import Grouped
from adaps.sharing.masks import all_ones, as_is, rescale, split_layers
from adaps.types import Identity, Masks, NetworkShape, Sharing


@dataclass(frozen=True)
class AdaPS(Grouped):
    """Options of AdaPS."""

    threshold: float = 0.5
    """λ: a neuron is kept where the mapping's sigmoid exceeds it; higher keeps fewer."""
    standardise: bool = True
    """Standardise the centres over clusters before mapping, or they get nearly equal masks."""
    rescale: bool = True
    """Divide kept neurons by the share kept, as dropout does."""
    mapping_hidden: int = 64
    """Width of the mapping network's hidden layer."""

    name = "adaps"

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set; each agent gets the mask of its cluster."""
        if identity is None or len(identity.centres) == 1:
            masks = all_ones(shape)
        else:
            centres = jnp.asarray(identity.centres, jnp.float32)
            per_cluster = self._masks(key, shape, centres)
            masks = jax.tree.map(lambda mask: mask[jnp.asarray(identity.clusters)], per_cluster)
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=masks,
            tags=jnp.zeros((shape.num_agents, 0)),
        )

    def _masks(
        self, key: Key[Array, ""], shape: NetworkShape, centres: Float[Array, "cluster latent"]
    ) -> Masks:
        """Centre → mapping network → sigmoid → threshold, per hidden neuron of actor and critic."""
        if self.standardise:
            centres = _standardise(centres)
        num_neurons = 2 * sum(shape.hidden)
        importance = jax.nn.sigmoid(_map(key, centres, self.mapping_hidden, num_neurons))
        masks = split_layers((importance > self.threshold).astype(jnp.float32), shape)
        return jax.tree.map(rescale if self.rescale else as_is, masks)


def _standardise(centres: Float[Array, "cluster latent"]) -> Float[Array, "cluster latent"]:
    """Mean 0 and variance 1 over clusters, for each latent number."""
    std = centres.std(axis=0)
    return (centres - centres.mean(axis=0)) / jnp.where(std > 1e-6, std, 1.0)


def _map(
    key: Key[Array, ""], centres: Float[Array, "cluster latent"], hidden: int, num_neurons: int
) -> Float[Array, "cluster neuron"]:
    """The mapping network: one hidden layer, orthogonal weights, never trained."""
    rng = np.random.default_rng(jax.random.key_data(key).tolist())
    features = jnp.tanh(centres @ _weights(rng, centres.shape[-1], hidden))
    return features @ _weights(rng, hidden, num_neurons)


def _weights(rng: np.random.Generator, fan_in: int, fan_out: int) -> Float[Array, "in out"]:
    return jnp.asarray(2**0.5 * orthogonal(rng, fan_in, fan_out), jnp.float32)
