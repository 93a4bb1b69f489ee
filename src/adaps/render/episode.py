"""One episode, with every state it went through. Stage: report."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from adaps.collect.episodes import episode_seed, reset_key, step_keys
from adaps.collect.jax import first_of, uniform
from adaps.errors import HostEnvironmentError
from adaps.extensions import theirs
from adaps.networks.agent import Policy
from adaps.networks.distributions import Categorical, uniform_logits
from adaps.types import (
    AnyEnvironment,
    Discrete,
    EnvState,
    HostEnvironment,
    Memory,
    Space,
    Timestep,
)


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


def play(
    env: AnyEnvironment, policy: Policy, number: int, max_steps: int, memory: Memory = ()
) -> Episode:
    """Play the evaluation's episode of a number, to its end or for ``max_steps``.

    Args:
        env: the environment.
        policy: who plays.
        number: of the episode.
        max_steps: that are played at most.
        memory: the policy's before an episode of one copy, ``[1, agent, …]``.
    """
    if isinstance(env, HostEnvironment):
        states, moments = [], _play_on_host(env, policy, number, max_steps, memory)
    else:
        states, moments = _play(env, policy, number, max_steps, memory)
    returns = np.cumsum([0.0, *(float(moment.reward.sum()) for moment in moments[1:])])
    return Episode(states, returns, moments)


def _play_on_host(
    env: HostEnvironment, policy: Policy, number: int, max_steps: int, memory: Memory
) -> list[Moment]:
    choose = jax.jit(policy)
    with closing(env.drawing().open(1, workers=0)) as copies:
        now = copies.reset([episode_seed(number)])
        moments = [_moment(now, None, copies.picture())]
        first = np.ones(now.reward.shape, bool)
        for key in jax.random.split(jax.random.key(number), max_steps):
            before = now.observation
            memory, action = choose(key, memory, before, first)
            action = np.asarray(action)
            now = copies.step(action)
            first = first_of(before, now)
            moments.append(_moment(now, action, copies.picture()))
            if now.ended[0]:
                break
    return moments


def _moment(now: Timestep, action: np.ndarray | None, picture: Any) -> Moment:
    """Of the only copy."""
    last: Any = now.final.obs
    present: Any = now.observation.here
    here = np.ones(last.shape[1], bool) if present is None else present[0]
    reward: Any = now.reward[0]
    return Moment(last[0], reward, here, None if action is None else action[0], picture)


def _play(
    env: Any, policy: Policy, number: int, max_steps: int, memory: Memory
) -> tuple[list[EnvState], list[Moment]]:
    """In an environment that is compiled.

    A step resets by itself at the end of an episode. Where the environment has the method
    ``advance``, which is ``step`` without the reset, the last state is the true one; elsewhere
    that before it stands in for it.
    """
    advance = getattr(env, "advance", env.step)
    everyone = jnp.ones(env.num_agents, bool)

    def act_and_step(carry, key):
        env_state, observation, first, memory = carry
        action_key, step_key = jax.random.split(key)
        one = jax.tree.map(lambda x: x[None], (observation, first))
        memory, action = policy(action_key, memory, *one)
        with theirs(f"{env.name}: step failed", HostEnvironmentError):
            env_state, new = advance(step_key, env_state, action[0])
        here = everyone if new.observation.here is None else new.observation.here
        seen = (new.final.obs, new.reward, here, action[0])
        after = (env_state, new.observation, first_of(observation, new), memory)
        return after, (env_state, seen, new.ended)

    @jax.jit
    def episode(number):
        with theirs(f"{env.name}: reset failed", HostEnvironmentError):
            env_state, start = env.reset(reset_key(number))
        keys = step_keys(env.max_steps)[:max_steps]
        begun = (env_state, start.observation, jnp.ones(start.reward.shape, bool), memory)
        return (env_state, start), *jax.lax.scan(act_and_step, begun, keys)[1]

    (first, start), later, seen, ended = jax.tree.map(_on_host, episode(number))
    length = int(ended.argmax()) + 1 if ended.any() else len(ended)
    steps = [jax.tree.map(lambda x, t=t: x[t], (later, seen)) for t in range(length)]
    states = [first, *(state for state, _ in steps)]
    if ended.any() and advance == env.step:
        states[-1] = states[-2]
    reset = Moment(start.obs, 0 * start.reward, np.asarray(everyone))
    return states, [reset, *(Moment(*seen) for _, seen in steps)]


def random_policy(space: Space) -> Policy:
    """Any legal action, each as likely."""
    if not isinstance(space, Discrete):
        return uniform(space)

    def policy(key, memory, observation, first):
        legal = observation.legal
        if legal is None:
            legal = jnp.ones((*first.shape, space.num_actions), bool)
        return memory, Categorical(uniform_logits(legal)).sample(key)

    return policy


def _on_host(x: Array) -> Array | np.ndarray:
    """Plain numbers to NumPy, which is faster to look into; keys stay what they are."""
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)
