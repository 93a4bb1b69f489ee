"""The small networks of encoders and decoder. Stage: identity."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Layers = list[tuple[Array, Array]]
"""Weight ``[in, out]`` and bias ``[out]`` of each."""


def init_layers(rng: np.random.Generator, sizes: tuple[int, ...]) -> Layers:
    """Uniform in ±√(6 / (fan_in + fan_out)), as Glorot and Bengio (2010)."""

    def weight(fan_in: int, fan_out: int) -> Array:
        limit = (6 / (fan_in + fan_out)) ** 0.5
        return jnp.asarray(rng.uniform(-limit, limit, (fan_in, fan_out)), jnp.float32)

    pairs = itertools.pairwise(sizes)
    return [(weight(fan_in, fan_out), jnp.zeros(fan_out)) for fan_in, fan_out in pairs]


def forward(layers: Layers, x: Float[Array, "*batch in"]) -> Float[Array, "*batch out"]:
    """ReLU between layers, none after the last."""
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias
