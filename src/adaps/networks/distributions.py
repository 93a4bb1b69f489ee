"""Distributions over actions, and which one a space of actions asks for. Stage: network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from adaps.types import Discrete, Distribution, Space


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Categorical:
    """One of several actions for each agent.

    Args:
        logits: log-probabilities up to a constant.
    """

    logits: Float[Array, "*batch agent action"]

    @cached_property
    def log_probs(self) -> Float[Array, "*batch agent action"]:
        """Computed once, so that gradients through several uses of it are added before it."""
        return jax.nn.log_softmax(self.logits)

    def sample(self, key: Key[Array, ""]) -> Int[Array, "*batch agent"]:
        """Draw with one uniform number: the first action whose cumulated share exceeds it.

        A third of the time of ``jax.random.categorical`` on a CPU, which draws one number per
        action. An action of probability zero is never drawn.
        """
        cumulated = jnp.cumsum(jax.nn.softmax(self.logits), axis=-1)
        drawn = jax.random.uniform(key, self.logits.shape[:-1]) * cumulated[..., -1]
        return (cumulated[..., :-1] <= drawn[..., None]).sum(axis=-1)

    def mode(self) -> Int[Array, "*batch agent"]:
        """The most likely action; of equally likely ones the first."""
        return self.logits.argmax(axis=-1)

    def log_prob(self, action: Int[Array, "*batch agent"]) -> Float[Array, "*batch agent"]:
        return jnp.take_along_axis(self.log_probs, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Float[Array, "*batch agent"]:
        """In nats."""
        return -(jnp.exp(self.log_probs) * self.log_probs).sum(-1)

    def distance(self, other: "Categorical") -> Float[Array, "*batch agent"]:
        """Total variation: the least share of draws in which the two differ."""
        ours, theirs = jax.nn.softmax(self.logits), jax.nn.softmax(other.logits)
        return jnp.abs(ours - theirs).sum(-1) / 2


class Head(NamedTuple):
    """How a network's outputs become a distribution."""

    num_outputs: int
    """Per agent."""
    build: Callable[
        [Float[Array, "*batch agent output"], Bool[Array, "*batch agent action"] | None],
        Distribution,
    ]
    """``build(outputs, legal) → distribution``."""


def head_of(space: Space) -> Head:
    """What actions in a space are drawn from.

    Raises:
        NotImplementedError: there is no distribution over such a space yet.
    """
    if isinstance(space, Discrete):
        return Head(space.num_actions, _categorical)
    raise NotImplementedError(f"there is no distribution over {space} yet")


def uniform_logits(
    legal: Bool[Array, "*batch agent action"],
) -> Float[Array, "*batch agent action"]:
    """Every legal action alike."""
    return jnp.where(legal, 0.0, -jnp.inf)


def _categorical(
    logits: Float[Array, "*batch agent action"], legal: Bool[Array, "*batch agent action"] | None
) -> Categorical:
    """An illegal action's logit is the least float32."""
    if legal is None:
        return Categorical(logits)
    return Categorical(jnp.where(legal, logits, jnp.finfo(logits.dtype).min))
