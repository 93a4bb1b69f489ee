"""AdaPS: each cluster of alike agents trains its own masked part of one network. Stage: sharing.

A fixed random network maps a cluster's centre to one number per hidden neuron; the neuron belongs
to the cluster where the sigmoid exceeds λ (arXiv 2312.09009).
"""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from adaps.extensions import WIDTH, Range
from adaps.networks.dense import orthogonal
from adaps.sharing.masks import as_is, rescale, split_by_unit
from adaps.sharing.method import Grouped, full_sharing
from adaps.types import Identity, Network, Sharing


@dataclass(frozen=True)
class AdaPS(Grouped):
    """Options of AdaPS."""

    threshold: Annotated[float, Range(0, 1, ends="()")] = 0.5
    """λ: a neuron is kept where the mapping's sigmoid exceeds it; higher keeps fewer."""
    keep: Annotated[float | None, Range(0, 1, ends="(]")] = None
    """Share of neurons that a cluster keeps, mean over clusters: chooses the threshold."""
    overlap: Annotated[float | None, Range(0, 1, ends="(]")] = None
    """Share of neurons that two clusters both keep, mean over pairs: chooses the threshold."""
    standardise: bool = True
    """Standardise the centres over clusters before mapping, or they get nearly equal masks."""
    rescale: bool = True
    """Divide kept neurons by the root of the share kept, so that sums keep their variance."""
    mapping_hidden: Annotated[int, WIDTH] = 64
    """Width of the mapping network's hidden layer."""

    name = "adaps"

    def used_threshold(
        self, key: Key[Array, ""], network: Network, identity: Identity | None
    ) -> float | None:
        """λ of the masks that :meth:`build` makes; None where one cluster keeps every unit."""
        if identity is None or len(identity.centres) == 1:
            return None
        return self._threshold(self._importance(key, network, identity))

    def build(self, key: Key[Array, ""], network: Network, identity: Identity | None) -> Sharing:
        """One parameter set; each agent gets the mask of its cluster."""
        full = full_sharing(network)
        if identity is None or len(identity.centres) == 1:
            return full
        importance = self._importance(key, network, identity)
        kept = (importance > self._threshold(importance)).astype(jnp.float32)
        per_cluster = jax.tree.map(rescale if self.rescale else as_is, split_by_unit(kept, network))
        clusters = jnp.asarray(identity.clusters)
        return full._replace(masks=jax.tree.map(lambda mask: mask[clusters], per_cluster))

    def _importance(
        self, key: Key[Array, ""], network: Network, identity: Identity
    ) -> Float[Array, "cluster unit"]:
        """Centre → mapping network → sigmoid, for each unit of actor and critic."""
        centres = jnp.asarray(identity.centres, jnp.float32)
        if self.standardise:
            centres = _standardise(centres)
        num_units = sum(network.units.values())
        return jax.nn.sigmoid(_map(key, centres, self.mapping_hidden, num_units))

    def _threshold(self, importance: Float[Array, "cluster unit"]) -> float:
        """λ as it is given, or as the wanted share of neurons chooses it."""
        values = np.asarray(importance, np.float64)
        if self.keep is not None:
            return threshold_for(self.keep, values)
        if self.overlap is not None:
            return threshold_for(self.overlap, _in_common(values))
        return self.threshold


def threshold_for(share: float, values: Float[np.ndarray, "*any"]) -> float:
    """The threshold that a share of the values nearest to the wanted one exceeds.

    It lies midway between two neighbouring values, or between 0 and the least of them.

    >>> threshold_for(0.5, np.array([0.2, 0.4, 0.6, 0.8]))
    0.5
    """
    found, counts = np.unique(values, return_counts=True)
    midpoints = (found + np.concatenate([[0.0], found[:-1]])) / 2
    exceeding = counts[::-1].cumsum()[::-1] / counts.sum()
    return float(midpoints[np.abs(exceeding - share).argmin()])


def _in_common(values: Float[np.ndarray, "cluster unit"]) -> Float[np.ndarray, "pair unit"]:
    """What must exceed the threshold for both clusters of a pair to keep a neuron."""
    first, second = np.triu_indices(len(values), 1)
    return np.minimum(values[first], values[second])


def _standardise(centres: Float[Array, "cluster latent"]) -> Float[Array, "cluster latent"]:
    """Mean 0 and variance 1 over clusters, for each latent number."""
    std = centres.std(axis=0)
    return (centres - centres.mean(axis=0)) / jnp.where(std > 1e-6, std, 1.0)


def _map(
    key: Key[Array, ""], centres: Float[Array, "cluster latent"], hidden: int, num_units: int
) -> Float[Array, "cluster unit"]:
    """The mapping network: one hidden layer, orthogonal weights, never trained."""
    rng = np.random.default_rng(jax.random.key_data(key).tolist())
    features = jnp.tanh(centres @ _weights(rng, centres.shape[-1], hidden))
    return features @ _weights(rng, hidden, num_units)


def _weights(rng: np.random.Generator, fan_in: int, fan_out: int) -> Float[Array, "in out"]:
    return jnp.asarray(2**0.5 * orthogonal(rng, fan_in, fan_out), jnp.float32)
