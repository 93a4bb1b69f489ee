"""Networks as somebody else might write them: one remembers, one acts with real numbers."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adaps.networks.dense import Layer, dense, init_dense
from adaps.networks.distributions import head_of
from adaps.networks.weights import apply_batched, count_params, modulate
from adaps.types import NetworkShape


class Half(NamedTuple):
    """Of one parameter set."""

    hidden: Layer
    last: Layer


class Both(NamedTuple):
    """Something of the actor and of the critic."""

    actor: Any
    critic: Any


@dataclass(frozen=True)
class Network:
    """What both have in common: one hidden layer."""

    options: Any
    shape: NetworkShape

    unit: ClassVar[str]

    @property
    def width(self):
        return self.shape.hidden[0]

    @property
    def units(self):
        return {f"{half}/{self.unit}": self.width for half in Both._fields}

    def init(self, rng, num_tags):
        num_inputs = self.shape.obs_size + num_tags
        return Both(*(self.init_half(rng, num_inputs, n) for n in (self.num_outputs, 1)))

    def num_params(self, num_tags):
        return count_params(self.init(np.random.default_rng(0), num_tags))


@dataclass(frozen=True)
class GRUNetwork(Network):
    """Actor and critic each have a gated cell of their own, without a reset gate."""

    unit = "gru"

    @property
    def num_outputs(self):
        return head_of(self.shape.action_space).num_outputs

    def init_half(self, rng, num_inputs, num_outputs):
        hidden = init_dense(rng, num_inputs + self.width, 2 * self.width, 1.0)
        return Half(hidden, init_dense(rng, self.width, num_outputs, 1.0))

    def memory(self, num_envs):
        nothing = jnp.zeros((num_envs, self.shape.num_agents, self.width))
        return Both(nothing, nothing)

    def actor(self, weights, memory, observation, first):
        memory, outputs = self._step("actor", weights, memory, observation, first)
        return memory, head_of(self.shape.action_space).build(outputs, observation.legal)

    def critic(self, weights, memory, observation, first):
        memory, values = self._step("critic", weights, memory, observation, first)
        return memory, values[..., 0]

    def _step(self, half, weights, memory, observation, first):
        before = jnp.where(first[..., None], 0.0, getattr(memory, half))
        cell = partial(self._cell, half)
        after, outputs = apply_batched(weights, cell, observation.obs, before)
        return memory._replace(**{half: after}), outputs

    def _cell(self, half, params, units, x, before):
        layers = getattr(params, half)
        gate, new = jnp.split(dense(layers.hidden, jnp.concatenate([x, before], -1)), 2, -1)
        gate = jax.nn.sigmoid(gate)
        after = (1 - gate) * before + gate * modulate(units[f"{half}/gru"], jnp.tanh(new))
        return after, dense(layers.last, after)


@dataclass(frozen=True)
class GRU:
    """Options: there are none."""

    name = "gru"

    def build(self, shape):
        return GRUNetwork(self, shape)


@dataclass(frozen=True)
class TrunkNetwork(GRUNetwork):
    """The critic has no cell: it reads what the actor remembers."""

    def critic(self, weights, memory, observation, first):
        def last(params, units, remembered):
            return dense(params.critic.last, remembered)

        return memory, apply_batched(weights, last, memory.actor)[..., 0]


@dataclass(frozen=True)
class Trunk:
    """Options: there are none."""

    name = "trunk"

    def build(self, shape):
        return TrunkNetwork(self, shape)


class Normal(NamedTuple):
    """Real numbers, independent of each other."""

    mean: jax.Array
    log_std: jax.Array

    def sample(self, key):
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self):
        return self.mean

    def log_prob(self, action):
        return jax.scipy.stats.norm.logpdf(action, self.mean, jnp.exp(self.log_std)).sum(-1)

    def entropy(self):
        return (self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum(-1)

    def distance(self, other):
        """Hellinger's."""
        ours, theirs = jnp.exp(self.log_std), jnp.exp(other.log_std)
        both = ours**2 + theirs**2
        overlap = jnp.sqrt(2 * ours * theirs / both).prod(-1) * jnp.exp(
            -((self.mean - other.mean) ** 2 / both).sum(-1) / 4
        )
        return jnp.sqrt(jnp.maximum(1 - overlap, 0.0))


@dataclass(frozen=True)
class GaussianNetwork(Network):
    """Mean and deviation of each number are outputs of the actor."""

    unit = "0"

    @property
    def num_outputs(self):
        return 2 * self.shape.action_space.size

    def init_half(self, rng, num_inputs, num_outputs):
        hidden = init_dense(rng, num_inputs, self.width, 1.0)
        return Half(hidden, init_dense(rng, self.width, num_outputs, 1.0))

    def memory(self, num_envs):
        return ()

    def actor(self, weights, memory, observation, first):
        outputs = apply_batched(weights, partial(self._forward, "actor"), observation.obs)
        return memory, Normal(*jnp.split(outputs, 2, -1))

    def critic(self, weights, memory, observation, first):
        values = apply_batched(weights, partial(self._forward, "critic"), observation.obs)
        return memory, values[..., 0]

    def _forward(self, half, params, units, x):
        layers = getattr(params, half)
        hidden = modulate(units[f"{half}/0"], jnp.tanh(dense(layers.hidden, x)))
        return dense(layers.last, hidden)


@dataclass(frozen=True)
class Gaussian:
    """Options: there are none."""

    name = "gaussian"

    def build(self, shape):
        return GaussianNetwork(self, shape)
