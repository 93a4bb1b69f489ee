"""Policy × environment × key → transitions. Stage: rollout."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.types import Environment, EnvState, Timestep, Transition

Policy = Callable[
    [
        Key[Array, ""],
        Float[Array, "*batch agent obs"],
        Bool[Array, "*batch agent action"],
    ],
    Int[Array, "*batch agent"],
]
"""``policy(key, obs, legal) → action`` for all agents at once."""


class RolloutState(NamedTuple):
    """Where a rollout goes on."""

    env_state: EnvState
    timestep: Timestep
    key: Key[Array, ""]


def start(env: Environment, key: Key[Array, ""], num_envs: int) -> RolloutState:
    """``num_envs`` fresh copies of an environment."""
    reset_key, key = jax.random.split(key)
    env_state, timestep = jax.vmap(env.reset)(jax.random.split(reset_key, num_envs))
    return RolloutState(env_state, timestep, key)


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
            obs, legal, action, new.reward, new.terminated, new.truncated, new.last_obs
        )
        return state._replace(env_state=env_state, timestep=new), transition

    state, transitions = jax.lax.scan(act_and_step, state, keys)
    return state._replace(key=key), transitions


def _keys_of_steps(
    key: Key[Array, ""], num_steps: int, num_envs: int
) -> tuple[Key[Array, ""], Key[Array, " time"], Key[Array, "time env"]]:
    """The next key, one per step to act with, and one per step and copy for the environment.

    Made at once: on a CPU a random number costs little, and a call for one costs much.
    """
    key, action_key, step_key = jax.random.split(key, 3)
    action_keys = jax.random.split(action_key, num_steps)
    return key, action_keys, jax.random.split(step_key, (num_steps, num_envs))
