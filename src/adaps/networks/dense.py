"""A matrix product whose gradient suits a CPU, and orthogonal weights. Stage: network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Layer(NamedTuple):
    """Of one parameter set; stacked, every array has a leading axis ``set``."""

    weight: Float[Array, "*set in out"]
    bias: Float[Array, "*set out"]


def init_dense(rng: np.random.Generator, fan_in: int, fan_out: int, gain: float) -> Layer:
    """Orthogonal weights and zero biases.

    Made with NumPy: compiling the same in JAX takes longer than a short training run.
    """
    return Layer(jnp.float32(gain * orthogonal(rng, fan_in, fan_out)), jnp.zeros(fan_out))


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A random matrix whose shorter side's vectors are orthonormal (arXiv 1312.6120)."""
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # without this, QR would prefer some directions
    return q if rows >= columns else q.T


def dense(layer: Layer, x: Float[Array, "*batch in"]) -> Float[Array, "*batch out"]:
    """``x·weight + bias``, as one product over all rows."""
    out = _dense(x.reshape(-1, x.shape[-1]), layer.weight, layer.bias)
    return out.reshape(*x.shape[:-1], out.shape[-1])


@jax.custom_vjp
def _dense(
    x: Float[Array, "row in"], weight: Float[Array, "in out"], bias: Float[Array, " out"]
) -> Float[Array, "row out"]:
    return x @ weight + bias


def _dense_forward(x, weight, bias):
    return _dense(x, weight, bias), (x, weight)


def _dense_backward(residuals, gradient):
    """Plain calculus, arranged for a CPU.

    XLA's product is half as fast where it contracts the leading axis of its first factor, so that
    factor is transposed beforehand, and the smaller of the two is chosen for it.
    """
    x, weight = residuals
    if x.shape[1] > gradient.shape[1]:
        by_weight = jax.lax.optimization_barrier(_transposed(gradient) @ x).T
    else:
        by_weight = _transposed(x) @ gradient
    ones = jnp.ones((1, gradient.shape[0]), gradient.dtype)
    return gradient @ weight.T, by_weight, (ones @ gradient)[0]


def _transposed(x: Float[Array, "row column"]) -> Float[Array, "column row"]:
    """Written out: XLA would fold a mere view into the product."""
    return jax.lax.optimization_barrier(x.T)


_dense.defvjp(_dense_forward, _dense_backward)
