"""One episode, with every state it went through. Stage: report."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.collect.evaluate import episode_seed, reset_key, step_keys
from adaps.collect.jax import Policy
from adaps.networks.mlp import sample_action
from adaps.types import AnyEnvironment, Environment, EnvState, HostEnvironment, Timestep


class Moment(NamedTuple):
    """What all agents see at a moment, and did and earned just before."""

    obs: Float[np.ndarray, "agent obs"]
    reward: Float[np.ndarray, " agent"]
    here: Bool[np.ndarray, " agent"]
    """Who takes part."""
    action: Int[np.ndarray, " agent"] | None = None
    picture: Any = None
    """The environment's own, ``uint8[y, x, 3]``, if it draws any."""


class Episode(NamedTuple):
    """What happened, moment by moment: moment 0 is the reset, moment t comes after t steps."""

    states: list[EnvState]
    """Empty where the environment runs in Python."""
    returns: Float[np.ndarray, " moment"]
    """Return so far, summed over agents."""
    moments: Sequence[Moment] = ()
    """What agents saw and did; only what nothing else draws needs it."""


def play(env: AnyEnvironment, policy: Policy, number: int, max_steps: int) -> Episode:
    """Play the evaluation's episode of a number, to its end or for ``max_steps``."""
    if isinstance(env, HostEnvironment):
        states, moments = [], _play_on_host(env, policy, number, max_steps)
    else:
        states, moments = _play(env, policy, number, max_steps)
    returns = np.cumsum([0.0, *(float(moment.reward.sum()) for moment in moments[1:])])
    return Episode(states, returns, moments)


def _play_on_host(
    env: HostEnvironment, policy: Policy, number: int, max_steps: int
) -> list[Moment]:
    choose = jax.jit(policy)
    with closing(env.drawing().open(1, workers=0)) as copies:
        now = copies.reset([episode_seed(number)])
        moments = [_moment(now, None, copies.picture())]
        for key in jax.random.split(jax.random.key(number), max_steps):
            action = np.asarray(choose(key, now.obs, now.legal))
            now = copies.step(action)
            moments.append(_moment(now, action, copies.picture()))
            if now.terminated[0] or now.truncated[0]:
                break
    return moments


def _moment(now: Timestep, action: np.ndarray | None, picture: Any) -> Moment:
    """Of the only copy."""
    last: Any = now.last_obs
    here: Any = now.presence.here[0] if now.presence else np.ones(last.shape[1], bool)
    reward: Any = now.reward[0]
    return Moment(last[0], reward, here, None if action is None else action[0], picture)


def _play(
    env: Environment, policy: Policy, number: int, max_steps: int
) -> tuple[list[EnvState], list[Moment]]:
    """In an environment that is compiled.

    A step resets by itself at the end of an episode. Where the environment has the method
    ``advance``, which is ``step`` without the reset, the last state is the true one; elsewhere
    that before it stands in for it.
    """
    advance = getattr(env, "advance", env.step)
    everyone = jnp.ones(env.num_agents, bool)

    def act_and_step(carry, key):
        env_state, timestep = carry
        action_key, step_key = jax.random.split(key)
        action = policy(action_key, timestep.obs, timestep.legal)
        env_state, timestep = advance(step_key, env_state, action)
        ended = timestep.terminated | timestep.truncated
        here = everyone if timestep.presence is None else timestep.presence.here
        seen = (timestep.last_obs, timestep.reward, here, action)
        return (env_state, timestep), (env_state, seen, ended)

    @jax.jit
    def episode(number):
        start = env.reset(reset_key(number))
        keys = step_keys(env)[:max_steps]
        return start, *jax.lax.scan(act_and_step, start, keys)[1]

    (first, start), later, seen, ended = jax.tree.map(_on_host, episode(number))
    length = int(ended.argmax()) + 1 if ended.any() else len(ended)
    steps = [jax.tree.map(lambda x, t=t: x[t], (later, seen)) for t in range(length)]
    states = [first, *(state for state, _ in steps)]
    if ended.any() and advance == env.step:
        states[-1] = states[-2]
    reset = Moment(start.obs, 0 * start.reward, np.asarray(everyone))
    return states, [reset, *(Moment(*seen) for _, seen in steps)]


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
