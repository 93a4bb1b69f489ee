"""One episode, with every state it went through. Stage: report."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.evaluate import reset_key, step_keys
from adaps.networks import sample_action
from adaps.rollout import Policy
from adaps.types import Environment, EnvState


class Episode(NamedTuple):
    """What happened, moment by moment: moment 0 is the reset, moment t comes after t steps."""

    states: list[EnvState]
    returns: Float[np.ndarray, " moment"]
    """Return so far, summed over agents."""


def play(env: Environment, policy: Policy, number: int, max_steps: int) -> Episode:
    """Play the evaluation's episode of a number, to its end or for ``max_steps``.

    A step resets by itself at the end of an episode. Where the environment has the method
    ``advance``, which is ``step`` without the reset, the last state is the true one; elsewhere
    that before it stands in for it.
    """
    advance = getattr(env, "advance", env.step)

    def act_and_step(carry, key):
        env_state, timestep = carry
        action_key, step_key = jax.random.split(key)
        action = policy(action_key, timestep.obs, timestep.legal)
        env_state, timestep = advance(step_key, env_state, action)
        ended = timestep.terminated | timestep.truncated
        return (env_state, timestep), (env_state, timestep.reward.sum(), ended)

    @jax.jit
    def episode(number):
        start = env.reset(reset_key(number))
        keys = step_keys(env)[:max_steps]
        return start[0], *jax.lax.scan(act_and_step, start, keys)[1]

    first, later, rewards, ended = jax.tree.map(_on_host, episode(number))
    length = int(ended.argmax()) + 1 if ended.any() else len(ended)
    states = [first, *(jax.tree.map(lambda x, t=t: x[t], later) for t in range(length))]
    if ended.any() and advance == env.step:
        states[-1] = states[-2]
    returns = np.cumsum(np.concatenate([[0.0], rewards[:length]]))
    return Episode(states, returns)


def random_policy(
    key: Key[Array, ""],
    obs: Float[Array, "*batch agent obs"],
    legal: Bool[Array, "*batch agent action"],
) -> Int[Array, "*batch agent"]:
    """Any legal action, each as likely."""
    return sample_action(key, jnp.where(legal, 0.0, -jnp.inf))


def _on_host(x: Array) -> Array | np.ndarray:
    """Plain numbers to NumPy, which is faster to look into; keys stay what they are."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)
