"""An agent: a network and a sharing method, all that an algorithm sees. Stage: network."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from adaps.types import (
    Action,
    Distribution,
    Memory,
    Metrics,
    Network,
    Observation,
    Params,
    Rollout,
    Sharing,
    Weights,
)

SCALED_LIMIT = 10.0
"""Scaled observations are clipped at so many deviations."""

Policy = Callable[
    [Key[Array, ""], Memory, Observation, Bool[Array, "*batch agent"]], tuple[Memory, Action]
]
"""``policy(key, memory, observation, first) → memory, action`` for all agents at once."""

Choice = Callable[[Distribution, Key[Array, ""]], Action]
"""How an action is taken from a distribution."""


def sampled(distribution: Distribution, key: Key[Array, ""]) -> Action:
    """Drawn, as in training."""
    return distribution.sample(key)


def greedy(distribution: Distribution, key: Key[Array, ""]) -> Action:
    """Each agent's most likely action."""
    del key
    return distribution.mode()


def both_ways(distribution: Distribution, key: Key[Array, ""]) -> Action:
    """The most likely actions in the first half of the copies, drawn ones in the other."""
    half = jax.tree.leaves(distribution)[0].shape[0] // 2
    first, second = (
        jax.tree.map(lambda x, part=part: x[part], distribution)
        for part in (slice(half), slice(half, None))
    )
    return jnp.concatenate([first.mode(), second.sample(key)])


@runtime_checkable
class Hooks(Protocol):
    """What a sharing method does while the network learns."""

    def bind(self, params: Params, sharing: Sharing) -> Weights: ...
    def penalty(
        self, params: Params, sharing: Sharing, loss: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]: ...
    def transform(self) -> optax.GradientTransformationExtraArgs: ...


class Unrolled(NamedTuple):
    """What a policy would do along a rollout, and what it expects there."""

    distribution: Distribution
    """``[time, env, agent, …]``."""
    value: Float[Array, "time env agent"]
    """V(o)."""


class Agent(NamedTuple):
    """Hashable, and holds no arrays: compiled functions take it as a static argument."""

    network: Network
    method: Hooks

    def memory(self, num_envs: int) -> Memory:
        """Before anything happened."""
        return self.network.memory(num_envs)

    def policy(self, params: Params, sharing: Sharing, choose: Choice = sampled) -> Policy:
        """To act with, under parameters as they are."""
        weights = self.method.bind(params, sharing)

        def act(key, memory, observation, first):
            seen = inputs(sharing, observation)
            after, distribution = self.network.actor(weights, memory, seen, first)
            if jax.tree.leaves(memory):
                after, _ = self.network.critic(weights, after, seen, first)
            return _of_those_here(observation, memory, after), choose(distribution, key)

        return act

    def unroll(self, params: Params, sharing: Sharing, rollout: Rollout) -> Unrolled:
        """Distributions and values along a rollout, from the memory that it began with."""
        weights = self.method.bind(params, sharing)
        seen = inputs(sharing, rollout.observation)

        def step(memory, x):
            return self._step(weights, memory, *x)

        if not jax.tree.leaves(rollout.memory):
            return step(rollout.memory, (seen, rollout.first))[1]
        return jax.lax.scan(step, rollout.memory, (seen, rollout.first))[1]

    def next_values(
        self, params: Params, sharing: Sharing, rollout: Rollout
    ) -> Float[Array, "time env agent"]:
        """``V(o'_t)`` of the observations that followed, where returns bootstrap.

        Those are the last row, and where a part was cut off; elsewhere it may be 0.

        An agent that pauses, or is cut off while it does, is given no observation: the best guess
        of what is still to come to it is V of the one that it last acted on in the rollout, which
        the critic was trained on. If it acted on none, no action's return depends on the guess.
        """
        weights = self.method.bind(params, sharing)
        remembers = bool(jax.tree.leaves(rollout.memory))
        compute = self._next_values_with_memory if remembers else self._next_values_without_memory
        following, given = compute(weights, sharing, rollout), rollout.final.here
        if given is None:
            return following
        value = self.unroll(params, sharing, rollout).value
        return jnp.where(given, following, _latest(value, rollout.acted))

    def _next_values_without_memory(
        self, weights: Weights, sharing: Sharing, rollout: Rollout
    ) -> Float[Array, "time env agent"]:
        """Only the last row when nothing was cut off, which is most of the time."""
        final = inputs(sharing, rollout.final)
        last = self.network.critic(weights, (), _at(final, -1), rollout.first[-1])[1]
        if len(rollout.reward) == 1:
            return last[None]

        def everywhere():
            before = _at(final, slice(-1))
            earlier = self.network.critic(weights, (), before, rollout.first[:-1])[1]
            return jnp.concatenate([earlier, last[None]])

        def only_last():
            return jnp.zeros_like(rollout.reward).at[-1].set(last)

        return jax.lax.cond(rollout.ends.truncated[:-1].any(), everywhere, only_last)

    def _next_values_with_memory(
        self, weights: Weights, sharing: Sharing, rollout: Rollout
    ) -> Float[Array, "time env agent"]:
        """A step further than each step of the rollout, from the memory after it."""
        seen, final = inputs(sharing, rollout.observation), inputs(sharing, rollout.final)

        def step(memory, x):
            observation, following, first = x
            memory, _ = self._step(weights, memory, observation, first)
            _, further = self._step(weights, memory, following, jnp.zeros_like(first))
            return memory, further.value

        return jax.lax.scan(step, rollout.memory, (seen, final, rollout.first))[1]

    def _step(
        self,
        weights: Weights,
        memory: Memory,
        observation: Observation,
        first: Bool[Array, "*batch agent"],
    ) -> tuple[Memory, Unrolled]:
        """The actor, then the critic, which may read what the actor remembers."""
        after, distribution = self.network.actor(weights, memory, observation, first)
        after, value = self.network.critic(weights, after, observation, first)
        return _of_those_here(observation, memory, after), Unrolled(distribution, value)


def inputs(sharing: Sharing, observation: Observation) -> Observation:
    """Observations as the network reads them: scaled, with tags appended."""
    obs = observation.obs
    if sharing.scaling is not None:
        kind, mean, scale = sharing.scaling
        obs = jnp.clip((obs - mean[kind]) * scale[kind], -SCALED_LIMIT, SCALED_LIMIT)
    if sharing.tags.shape[-1]:
        tags = jnp.broadcast_to(sharing.tags, (*obs.shape[:-1], sharing.tags.shape[-1]))
        obs = jnp.concatenate([obs, tags], axis=-1)
    return observation._replace(obs=obs)


def _of_those_here(observation: Observation, before: Memory, after: Memory) -> Memory:
    """Memory after a step, which changes for those who act: a pause is not remembered."""
    here = observation.here
    if here is None:
        return after

    def changed(old: Array, new: Array) -> Array:
        return jnp.where(here.reshape(here.shape + (1,) * (new.ndim - here.ndim)), new, old)

    return jax.tree.map(changed, before, after)


def _latest(
    value: Float[Array, "time env agent"], acted: Bool[Array, "time env agent"]
) -> Float[Array, "time env agent"]:
    """The value at the step on which an agent last acted; 0 where it has not yet."""

    def step(kept, x):
        value, acted = x
        kept = jnp.where(acted, value, kept)
        return kept, kept

    return jax.lax.scan(step, jnp.zeros_like(value[0]), (value, acted))[1]


def _at(observation: Observation, index: int | slice) -> Observation:
    return jax.tree.map(lambda x: x[index], observation)
