"""Gradients of one parameter set apart from those of the others. Stage: update."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from adaps.types import Params


def clip_by_norm_per_set(max_norm: float) -> optax.GradientTransformation:
    """Scale each parameter set's gradient to at most ``max_norm``, apart from the other sets.

    One norm over all sets would let an agent's noise change every other network's update. What a
    sharing method learns besides counts with the set where there is one, and as a set of its own
    where there are several.
    """

    def init(params: Any) -> optax.OptState:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: optax.OptState, params: Any = None):
        del params
        sets, own = updates.sets, updates.own
        squares = _sum_of_squares_per_set(sets)
        own_squares = sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(own))
        if squares.shape[0] == 1:
            squares = squares + own_squares
            own_scale = _scale(squares, max_norm)[0]
        else:
            own_scale = _scale(jnp.float32(own_squares), max_norm)
        scale = _scale(squares, max_norm)
        clipped = Params(
            jax.tree.map(lambda leaf: (leaf.T * scale).T, sets),
            jax.tree.map(lambda leaf: leaf * own_scale, own),
        )
        return clipped, state

    return optax.GradientTransformation(init, update)


def _sum_of_squares_per_set(sets: Any) -> Float[Array, " set"]:
    def of(leaf: Float[Array, "set *shape"]) -> Float[Array, " set"]:
        return jnp.square(leaf).reshape(leaf.shape[0], -1).sum(axis=1)

    return jnp.asarray(sum(of(leaf) for leaf in jax.tree.leaves(sets)))


def _scale(squares: Float[Array, "*set"], max_norm: float) -> Float[Array, "*set"]:
    norm = jnp.sqrt(squares)
    return jnp.minimum(1.0, max_norm / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny))
