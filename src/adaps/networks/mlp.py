"""The multi-layer perceptron, as actor and as critic. Stage: network."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from adaps.networks.dense import Layer, dense, init_dense
from adaps.networks.distributions import head_of
from adaps.networks.weights import apply_batched, modulate
from adaps.types import (
    Distribution,
    Memory,
    Modulation,
    NetworkShape,
    Observation,
    Weights,
)

HIDDEN_GAIN = 2**0.5
ACTOR_GAIN = 0.01
"""A small last layer: the first policy is nearly uniform, so gathering explores."""
CRITIC_GAIN = 1.0


@dataclass(frozen=True)
class MLP:
    """Options of the multi-layer perceptron: there are none."""

    name = "mlp"

    def build(self, shape: NetworkShape) -> "MLPNetwork":
        """The network of a team's sizes."""
        return MLPNetwork(self, shape)


class ActorCritic(NamedTuple):
    """One set of parameters, layer by layer; stacked, there is a leading axis ``set``."""

    actor: tuple[Layer, ...]
    critic: tuple[Layer, ...]


@dataclass(frozen=True)
class MLPNetwork:
    """ReLU after every hidden layer; what an agent does not own of a layer is masked after it."""

    options: Any
    shape: NetworkShape

    @property
    def units(self) -> Mapping[str, int]:
        widths = self.shape.hidden
        return {f"{part}/{i}": w for part in ActorCritic._fields for i, w in enumerate(widths)}

    def init(self, rng: np.random.Generator, num_tags: int) -> ActorCritic:
        """Orthogonal weights and zero biases."""
        inputs = (self.shape.obs_size + num_tags, *self.shape.hidden)

        def layers(num_outputs: int, last_gain: float) -> tuple[Layer, ...]:
            gains = (*(HIDDEN_GAIN for _ in self.shape.hidden), last_gain)
            sizes = zip(gains, pairwise((*inputs, num_outputs)), strict=True)
            return tuple(init_dense(rng, *size, gain) for gain, size in sizes)

        num_outputs = head_of(self.shape.action_space).num_outputs
        return ActorCritic(layers(num_outputs, ACTOR_GAIN), layers(1, CRITIC_GAIN))

    def num_params(self, num_tags: int) -> int:
        """Trainable numbers of one set, without making them."""
        return num_params(self.shape, num_tags=num_tags)

    def memory(self, num_envs: int) -> Memory:
        """None."""
        del num_envs
        return ()

    def actor(
        self,
        weights: Weights,
        memory: Memory,
        observation: Observation,
        first: Bool[Array, "*batch agent"],
    ) -> tuple[Memory, Distribution]:
        del first
        outputs = apply_batched(weights, partial(self.forward, "actor"), observation.obs)
        return memory, head_of(self.shape.action_space).build(outputs, observation.legal)

    def critic(
        self,
        weights: Weights,
        memory: Memory,
        observation: Observation,
        first: Bool[Array, "*batch agent"],
    ) -> tuple[Memory, Float[Array, "*batch agent"]]:
        del first
        values = apply_batched(weights, partial(self.forward, "critic"), observation.obs)
        return memory, values[..., 0]

    def forward(
        self,
        part: str,
        params: ActorCritic,
        units: Mapping[str, Modulation],
        x: Float[Array, "*row in"],
    ) -> Float[Array, "*row out"]:
        """Observations through the layers of ``actor`` or ``critic``."""
        layers = getattr(params, part)
        for number, layer in enumerate(layers[:-1]):
            x = modulate(units[f"{part}/{number}"], self.activate(dense(layer, x)))
        return dense(layers[-1], x)

    def activate(self, x: Float[Array, "*row unit"]) -> Float[Array, "*row unit"]:
        """What follows a hidden layer's product."""
        return jax.nn.relu(x)


def num_params(shape: NetworkShape, num_sets: int = 1, num_tags: int = 0) -> int:
    """Trainable numbers of actor and critic over all sets, without making them.

    Args:
        shape: sizes of one network.
        num_sets: how many networks there are.
        num_tags: numbers appended to an observation.
    """
    inputs = (shape.obs_size + num_tags, *shape.hidden)
    num_outputs = head_of(shape.action_space).num_outputs
    return num_sets * sum(
        (fan_in + 1) * fan_out
        for sizes in ((*inputs, num_outputs), (*inputs, 1))
        for fan_in, fan_out in pairwise(sizes)
    )
