"""One episode, with every state it went through. Stage: report."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.collect.episodes import (
    ENDLESS,
    MOST_STEPS,
    episode_seed,
    limit_of,
    reset_key,
    step_key,
    step_keys,
)
from adaps.collect.jax import first_of, uniform
from adaps.errors import EndlessEpisodeError, HostEnvironmentError
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

PIECE = 1_000
"""Steps that are compiled together where no limit is known."""


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
    env: AnyEnvironment,
    policy: Policy,
    number: int,
    max_steps: int | None = None,
    memory: Memory = (),
) -> Episode:
    """Play the evaluation's episode of a number, to its end or for ``max_steps``.

    Args:
        env: the environment.
        policy: who plays.
        number: of the episode.
        max_steps: that are played at most; None: as many as it takes.
        memory: the policy's before an episode of one copy, ``[1, agent, …]``.

    Raises:
        EndlessEpisodeError: the episode has no limit, and does not come to an end.
    """
    if isinstance(env, HostEnvironment):
        states, moments = [], _play_on_host(env, policy, number, max_steps, memory)
    else:
        states, moments = _play(env, policy, number, max_steps, memory)
    returns = np.cumsum([0.0, *(float(moment.reward.sum()) for moment in moments[1:])])
    return Episode(states, returns, moments)


def _play_on_host(
    env: HostEnvironment, policy: Policy, number: int, max_steps: int | None, memory: Memory
) -> list[Moment]:
    choose, limit = jax.jit(policy), limit_of(env, max_steps)
    with closing(env.drawing().open(1, workers=0)) as copies:
        now = copies.reset([episode_seed(number)])
        moments = [_moment(now, None, copies.picture())]
        first = np.ones(now.reward.shape, bool)
        for step in range(limit or MOST_STEPS):
            before = now.observation
            key = jax.random.fold_in(jax.random.key(number), step)
            memory, action = choose(key, memory, before, first)
            action = np.asarray(action)
            now = copies.step(action)
            first = first_of(first, before, now)
            moments.append(_moment(now, action, copies.picture()))
            if now.ended[0]:
                return moments
    if limit is None:
        raise EndlessEpisodeError(ENDLESS)
    return moments


def _moment(now: Timestep, action: np.ndarray | None, picture: Any) -> Moment:
    """Of the only copy."""
    last: Any = now.final.obs
    present: Any = now.observation.here
    here = np.ones(last.shape[1], bool) if present is None else present[0]
    reward: Any = now.reward[0]
    return Moment(last[0], reward, here, None if action is None else action[0], picture)


def _play(
    env: Any, policy: Policy, number: int, max_steps: int | None, memory: Memory
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
        after = (env_state, new.observation, first_of(first, observation, new), memory)
        return after, (env_state, seen, new.ended)

    with theirs(f"{env.name}: reset failed", HostEnvironmentError):
        env_state, start = jax.jit(env.reset)(reset_key(number))
    begun = (env_state, start.observation, jnp.ones(start.reward.shape, bool), memory)
    states, moments, over = _until_over(act_and_step, begun, _keys_of(env, max_steps))
    if over and advance == env.step:
        states[-1] = states[-2]
    if not over and limit_of(env, max_steps) is None:
        raise EndlessEpisodeError(ENDLESS)
    start = jax.tree.map(_on_host, start)
    return states, [Moment(start.obs, 0 * start.reward, np.asarray(everyone)), *moments]


def _keys_of(env: Any, max_steps: int | None) -> Iterator[Key[Array, " time"]]:
    """What steps are drawn with: those of evaluation; piece by piece where no limit is known."""
    if env.max_steps is not None:
        yield step_keys(env.max_steps)[:max_steps]
        return
    most = max_steps or MOST_STEPS
    for start in range(0, most, PIECE):
        yield jax.vmap(step_key)(jnp.arange(start, min(start + PIECE, most)))


def _until_over(
    act_and_step: Callable, begun: Any, pieces: Iterable[Key[Array, " time"]]
) -> tuple[list[EnvState], list[Moment], bool]:
    """States from the reset on, what was seen after each step, and whether the episode ended."""
    states, moments, now = [jax.tree.map(_on_host, begun[0])], [], begun
    scan = jax.jit(partial(jax.lax.scan, act_and_step))
    for keys in pieces:
        now, steps = scan(now, keys)
        later, seen, ended = jax.tree.map(_on_host, steps)
        over = bool(ended.any())
        for t in range(int(ended.argmax()) + 1 if over else len(ended)):
            states.append(jax.tree.map(lambda x, t=t: x[t], later))
            moments.append(Moment(*jax.tree.map(lambda x, t=t: x[t], seen)))
        if over:
            return states, moments, True
    return states, moments, False


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
