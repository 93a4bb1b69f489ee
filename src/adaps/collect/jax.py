"""Policy × environment × key → transitions. Stage: rollout."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.types import Environment, EnvState, Presence, Timestep, Transition

Policy = Callable[
    [
        Key[Array, ""],
        Float[Array, "*batch agent obs"],
        Bool[Array, "*batch agent action"],
    ],
    Int[Array, "*batch agent"],
]
"""``policy(key, obs, legal) → action`` for all agents at once."""


def uniform(
    key: Key[Array, ""],
    obs: Float[Array, "*batch agent obs"],
    legal: Bool[Array, "*batch agent action"],
) -> Int[Array, "*batch agent"]:
    """The policy that draws every legal action alike."""
    del obs
    return jax.random.categorical(key, jnp.where(legal, 0.0, -jnp.inf))


class RolloutState(NamedTuple):
    """Where a rollout goes on."""

    env_state: EnvState
    timestep: Timestep
    key: Key[Array, ""]


def start(env: Environment, key: Key[Array, ""], num_envs: int) -> RolloutState:
    """``num_envs`` fresh copies of an environment."""
    keys = jax.random.split(key, 1 + num_envs)
    env_state, timestep = jax.vmap(env.reset)(keys[1:])
    return RolloutState(env_state, timestep, keys[0])


def rollout(
    env: Environment, policy: Policy, state: RolloutState, num_steps: int
) -> tuple[RolloutState, Transition]:
    """Act ``num_steps`` times in every copy."""
    num_envs = state.timestep.terminated.shape[0]
    key, *keys = _keys_of_steps(state.key, num_steps, num_envs)

    def act_and_step(state: RolloutState, keys):
        action_key, step_keys = keys
        obs, legal = state.timestep.obs, state.timestep.legal
        action = policy(action_key, obs, legal)
        env_state, new = jax.vmap(env.step)(step_keys, state.env_state, action)
        transition = Transition(
            obs,
            legal,
            action,
            new.reward,
            new.terminated,
            new.truncated,
            new.last_obs,
            presence_of_step(state.timestep, new),
        )
        return state._replace(env_state=env_state, timestep=new), transition

    state, transitions = jax.lax.scan(act_and_step, state, keys)
    return state._replace(key=key), transitions


def presence_of_step(before: Timestep, after: Timestep) -> Presence | None:
    """Who acted on what was before, and whose part ended with that."""
    if before.presence is None or after.presence is None:
        return None
    return after.presence._replace(here=before.presence.here)


def _keys_of_steps(
    key: Key[Array, ""], num_steps: int, num_envs: int
) -> tuple[Key[Array, ""], Key[Array, " time"], Key[Array, "time env"]]:
    """The next key, one per step to act with, and one per step and copy for the environment.

    Made by a single call, which costs a CPU as much as a call for one key.
    """
    keys = jax.random.split(key, 1 + num_steps * (1 + num_envs))
    of_steps = keys[1:].reshape(num_steps, 1 + num_envs)
    return keys[0], of_steps[:, 0], of_steps[:, 1:]
