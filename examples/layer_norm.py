"""A network of your own: layer normalisation after every hidden layer, for every sharing method.

    adaps train bps:4-4 --network examples.layer_norm:LayerNorm

Options are a frozen dataclass with a name and ``build``, which is given the team's sizes. Here the
network is the multi-layer perceptron but for what follows a hidden layer's product; one that is
quite different has ``units``, ``init``, ``memory``, ``actor`` and ``critic`` of its own, see
``adaps.types.Network``. Masks and sharing need nothing else.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from adaps.networks.mlp import MLPNetwork


@dataclass(frozen=True)
class LayerNorm:
    """Options of the network."""

    epsilon: float = 1e-5
    """Guard against division by zero."""

    name = "layer-norm"

    def build(self, shape):
        """The network of a team's sizes."""
        return LayerNormNetwork(self, shape)


@dataclass(frozen=True)
class LayerNormNetwork(MLPNetwork):
    """ReLU of what is normalised over the layer's units (arXiv 1607.06450)."""

    def activate(self, x):
        """Mean 0 and variance 1 over units, then ReLU."""
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return jax.nn.relu((x - mean) / jnp.sqrt(variance + self.options.epsilon))
