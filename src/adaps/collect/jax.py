"""Acting in environments that are JAX: everything here can be compiled. Stage: collect."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.collect.episodes import (
    MOST_STEPS,
    Episodes,
    limit_of,
    reset_key,
    step_key,
    step_keys,
)
from adaps.errors import HostEnvironmentError
from adaps.extensions import theirs
from adaps.networks.agent import Policy
from adaps.networks.distributions import uniform_logits
from adaps.types import (
    Action,
    Discrete,
    Environment,
    EnvState,
    Memory,
    Observation,
    Rollout,
    Space,
    Timestep,
)


@cache
def uniform(space: Space) -> Policy:
    """The policy that draws every legal action alike; the same object every time."""

    def policy(key, memory, observation, first):
        shape = first.shape
        if not isinstance(space, Discrete):
            low, high = space.low, space.high
            return memory, jax.random.uniform(key, (*shape, space.size), minval=low, maxval=high)
        legal = observation.legal
        if legal is None:
            legal = jnp.ones((*shape, space.num_actions), bool)
        return memory, jax.random.categorical(key, uniform_logits(legal))

    return policy


class Position(NamedTuple):
    """Where collecting continues."""

    env_state: EnvState
    timestep: Timestep
    """``[env, …]``; its observation is to be acted on."""
    first: Bool[Array, "env agent"]
    """Whether an agent's memory is to be forgotten before that."""
    memory: Memory
    key: Key[Array, ""]


@runtime_checkable
class Collector(Protocol):
    """All in which environments in JAX and in Python differ: how steps are taken in copies.

    Positions have ``timestep``, ``first`` and ``memory``; see :class:`Position`.
    """

    def start(self, key: Key[Array, ""], num_envs: int, memory: Memory = ()) -> Any:
        """Fresh copies; ``memory`` is an agent's before anything happened."""
        ...

    def collect(self, policy: Policy, position: Any, num_steps: int) -> tuple[Any, Rollout]:
        """Act ``num_steps`` times in every copy."""
        ...

    def play(self, policy: Policy, numbers: Any, memory: Memory = ()) -> Episodes:
        """Play episodes side by side, each to its end.

        An episode's number fixes its reset, for every policy; a constant seed fixes the rest.
        """
        ...


@dataclass(frozen=True, eq=False)
class Static:
    """A static argument of compiled functions: equal where its fields are.

    A field that cannot be hashed, such as somebody's environment that holds arrays, is equal to
    itself alone.
    """

    def __hash__(self) -> int:
        return hash(self._values())

    def __eq__(self, other: Any) -> bool:
        if self is other:
            return True
        return (
            type(self) is type(other)
            and hash(self) == hash(other)
            and self._values() == other._values()
        )

    def _values(self) -> tuple[Any, ...]:
        return tuple(_value_or_identity(getattr(self, field.name)) for field in fields(self))


def _value_or_identity(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return "object", id(value)
    return value


@dataclass(frozen=True, eq=False)
class JaxCollector(Static):
    """Copies of one environment, side by side."""

    env: Environment
    max_steps: int | None = None
    """Where to cut off the episodes that are played; None: nowhere."""

    def start(self, key: Key[Array, ""], num_envs: int, memory: Memory = ()) -> Position:
        """Fresh copies, at the first step of an episode."""
        return _started(self, num_envs, key, memory)

    def collect(
        self, policy: Policy, position: Position, num_steps: int
    ) -> tuple[Position, Rollout]:
        """Act ``num_steps`` times in every copy."""
        num_envs = position.timestep.terminated.shape[0]
        key, *keys = _keys_of_steps(position.key, num_steps, num_envs)

        def act_and_step(now: Position, keys):
            action_key, step_keys = keys
            observation = now.timestep.observation
            memory, action = policy(action_key, now.memory, observation, now.first)
            env_state, new = step(self.env, step_keys, now.env_state, action)
            first: Any = first_of(now.first, observation, new)
            then = Position(env_state, new, first, memory, now.key)
            return then, step_of(observation, now.first, action, new)

        after, steps = jax.lax.scan(act_and_step, position, keys)
        return after._replace(key=key), steps._replace(memory=position.memory)

    def play(
        self, policy: Policy, numbers: Int[Array, " episode"], memory: Memory = ()
    ) -> Episodes:
        """Play episodes side by side, each to its end or to ``max_steps``."""
        num_episodes = numbers.shape[0]
        env_state, timestep = reset(self.env, jax.vmap(reset_key)(numbers))
        bound: Callable[[Any], Any] | None = getattr(self.env, "best_return", None)
        with theirs(f"{self.env.name}: best_return failed", HostEnvironmentError):
            best = None if bound is None else jax.vmap(bound)(env_state)
        first = jnp.ones(timestep.reward.shape, bool)

        def act_and_step(carry: Played, key: Key[Array, ""]) -> Played:
            env_state, timestep, first, memory, running, total = carry
            keys = jax.random.split(key, 1 + num_episodes)
            memory, action = policy(keys[0], memory, timestep.observation, first)
            env_state, new = step(self.env, keys[1:], env_state, action)
            total = total + jnp.where(running[:, None], new.reward, 0.0)
            running = running & ~new.ended
            first = first_of(first, timestep.observation, new)
            return Played(env_state, new, first, memory, running, total)

        running: Bool[Array, " episode"] = jnp.ones(num_episodes, bool)
        total = jnp.zeros((num_episodes, self.env.num_agents))
        begun = Played(env_state, timestep, first, memory, running, total)
        ended = _until_over(act_and_step, begun, limit_of(self.env, self.max_steps))
        return Episodes(ended.total, best, ended.running)


class Played(NamedTuple):
    """Where episodes that are played stand."""

    env_state: EnvState
    timestep: Timestep
    first: Bool[Array, "episode agent"]
    memory: Memory
    running: Bool[Array, " episode"]
    total: Float[Array, "episode agent"]
    """Each agent's rewards so far."""


def _until_over(
    step: Callable[[Played, Key[Array, ""]], Played], begun: Played, limit: int | None
) -> Played:
    """So many steps; without a limit, as many as it takes until every episode is over."""
    if limit is not None:
        return jax.lax.scan(lambda now, key: (step(now, key), 0), begun, step_keys(limit))[0]

    def go_on(now: tuple[Int[Array, ""], Played]) -> Bool[Array, ""]:
        return (now[0] < MOST_STEPS) & now[1].running.any()

    def another(now: tuple[Int[Array, ""], Played]) -> tuple[Int[Array, ""], Played]:
        return now[0] + 1, step(now[1], step_key(now[0]))

    return jax.lax.while_loop(go_on, another, (jnp.int32(0), begun))[1]


@partial(jax.jit, static_argnums=(0, 1), inline=True)
def _started(
    collector: JaxCollector, num_envs: int, key: Key[Array, ""], memory: Memory
) -> Position:
    """One program, where an environment's own operations would each be compiled apart."""
    keys = jax.random.split(key, 1 + num_envs)
    env_state, timestep = reset(collector.env, keys[1:])
    first = jnp.ones((num_envs, collector.env.num_agents), bool)
    return Position(env_state, timestep, first, memory, keys[0])


def reset(env: Environment, keys: Key[Array, " env"]) -> tuple[EnvState, Timestep]:
    """The first step of an episode in each copy.

    Raises:
        HostEnvironmentError: the environment's own code failed, while it was compiled.
    """
    with theirs(f"{env.name}: reset failed", HostEnvironmentError):
        return jax.vmap(env.reset)(keys)


def step(
    env: Environment, keys: Key[Array, " env"], env_state: EnvState, action: Action
) -> tuple[EnvState, Timestep]:
    """A step in each copy.

    Raises:
        HostEnvironmentError: as :func:`reset`.
    """
    with theirs(f"{env.name}: step failed", HostEnvironmentError):
        return jax.vmap(env.step)(keys, env_state, action)


def step_of(
    observation: Observation, first: Any, action: Any, new: Timestep, memory: Memory = ()
) -> Rollout:
    """What is recorded of one step: what was acted on, what was done, and what followed."""
    given = _given(observation, new)
    return Rollout(
        observation=observation,
        first=first,
        action=action,
        reward=new.reward,
        terminated=new.terminated,
        truncated=new.truncated,
        final=new.final if given is None else new.final._replace(here=given),
        agent_ends=new.agent_ends,
        memory=memory,
    )


def first_of(first: Any, before: Observation, new: Timestep) -> Any:
    """Whether agents have nothing to remember: they have not acted since their part began.

    An agent that pauses keeps its memory. Flags ``[*batch, agent]``, NumPy's where the environment
    runs in Python.

    Args:
        first: the same before the step.
        before: what was acted on.
        new: what followed.
    """
    empty = _any_end(new) | np.zeros(new.reward.shape[-1], bool)
    return empty if before.here is None else empty | (first & ~before.here)


def _given(before: Observation, new: Timestep) -> Any:
    """Who was given what followed: who acts next, or acted and is out now; None: everyone."""
    if before.here is None:
        return None
    goes_on = new.observation.here & ~new.ended[..., None]
    return goes_on | (before.here & _any_end(new))


def _any_end(new: Timestep) -> Any:
    """Whose part ended with a step, ``[*batch, agent]`` or, if everyone's, ``[*batch, 1]``."""
    own, episode = new.agent_ends, new.ended[..., None]
    return episode if own is None else episode | own.terminated | own.truncated


def _keys_of_steps(
    key: Key[Array, ""], num_steps: int, num_envs: int
) -> tuple[Key[Array, ""], Key[Array, " time"], Key[Array, "time env"]]:
    """The next key, one per step to act with, and one per step and copy for the environment.

    Made by a single call, which costs a CPU as much as a call for one key.
    """
    keys = jax.random.split(key, 1 + num_steps * (1 + num_envs))
    of_steps = keys[1:].reshape(num_steps, 1 + num_envs)
    return keys[0], of_steps[:, 0], of_steps[:, 1:]
