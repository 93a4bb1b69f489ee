"""Automatic reset at the end of an episode. Stage: environment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Key

from adaps.types import EnvState, Timestep

Reset = Callable[[Key[Array, ""]], tuple[EnvState, Timestep]]


def auto_reset(
    reset: Reset, key: Key[Array, ""], state: EnvState, timestep: Timestep
) -> tuple[EnvState, Timestep]:
    """Start the next episode where this one ended; ``final`` keeps the last observation.

    Under ``vmap`` a plain ``lax.cond`` would reset every copy at every step and throw most of it
    away. Here the batch is reset only on steps where some copy has ended, which are few.
    """
    given = timestep.observation
    new_state, observation = _reset_where(reset)(
        jax.random.key_data(key), timestep.ended, state, given
    )
    return new_state, timestep._replace(observation=observation)


def _reset_where(reset: Reset) -> Callable:
    def fresh(key_data):
        state, timestep = reset(jax.random.wrap_key_data(key_data))
        return state, timestep.observation

    @custom_vmap
    def reset_where(key_data, ended, state, given):
        return jax.lax.cond(ended, lambda: fresh(key_data), lambda: (state, given))

    @reset_where.def_vmap
    def _(axis_size, in_batched, key_data, ended, state, given):
        args = (key_data, ended, state, given)
        args = jax.tree.map(lambda x, b: x if b else _repeat(x, axis_size), args, tuple(in_batched))
        outputs = _batched(*args)
        return outputs, jax.tree.map(lambda _: True, outputs)

    def _batched(key_data, ended, state, given):
        def reset_some():
            new = jax.vmap(fresh)(key_data)
            return jax.tree.map(lambda n, o: jnp.where(_align(ended, n), n, o), new, (state, given))

        return jax.lax.cond(ended.any(), reset_some, lambda: (state, given))

    return reset_where


def _repeat(x: Array, size: int) -> Array:
    return jnp.broadcast_to(x, (size, *x.shape))


def _align(flags: Array, x: Array) -> Array:
    """Give ``flags`` trailing axes of length one, up to the rank of ``x``."""
    return flags.reshape(flags.shape + (1,) * (x.ndim - flags.ndim))
