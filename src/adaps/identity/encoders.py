"""Encoders of agent identity: where an agent's code comes from. Stage: identity.

All are trained by the autoencoder of ``autoencoder.py``, whose decoder must predict what follows
from observation, action and code. They differ only in what a code is computed from.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adaps.extensions import POSITIVE, WIDTH, Range
from adaps.identity.mlp import forward, init_layers
from adaps.identity.samples import BLOCKS, LARGE_TEAM, Samples, draw

EncoderParams = Any
Code = tuple[Float[Array, "group latent"], Float[Array, "group latent"]]
"""Mean and log-variance."""


@dataclass(frozen=True)
class Encoder:
    """Options that all encoders have, and what the autoencoder needs of an encoder."""

    latent_size: Annotated[int, Range(1, 10_000)] = 10
    """Numbers in an agent's code."""
    hidden: Annotated[int | None, WIDTH] = None
    """Width of the encoder's and the decoder's hidden layers; None: 64, or 128 for large teams."""
    kl_weight: Annotated[float, Range(0)] = 3e-3
    """Weight of the divergence of codes from N(0, I)."""
    learning_rate: Annotated[float, POSITIVE] = 5e-3
    """Step size of Adam."""
    batch_size: Annotated[int, Range(1, 10**6)] = 128
    """Transitions per update, at least; up to 2,048 are taken to have four of each agent."""
    updates: Annotated[int | None, Range(1, 10**9)] = None
    """Gradient steps; None: 8,000, or 3,000 of more transitions for large teams."""

    name: ClassVar[str]
    rows_per_code: ClassVar[int] = 1
    """Rows of a batch that are decoded with the same code."""

    def init(
        self, rng: np.random.Generator, num_agents: int, num_inputs: int, num_outputs: int
    ) -> EncoderParams:
        """Fresh parameters."""
        raise NotImplementedError

    def encode(
        self,
        params: EncoderParams,
        key: Key[Array, ""],
        samples: Samples,
        block: Int[Array, " group"],
        agent: Int[Array, " group"],
    ) -> Code:
        """The codes of agents, from transitions of these blocks where transitions are used."""
        raise NotImplementedError


@dataclass(frozen=True)
class VAE(Encoder):
    """The paper's: a learned code for each agent's number, whatever the agent does."""

    name = "vae"

    def init(self, rng, num_agents, num_inputs, num_outputs) -> EncoderParams:
        """All agents start at the same code, so that only training tells them apart."""
        width = width_of(self, num_agents)
        bias = init_layers(rng, (1, width))[0][0][0]
        return {
            "number": [(jnp.zeros((num_agents, width)), bias)],
            "code": init_layers(rng, (width, 2 * self.latent_size)),
        }

    def encode(self, params, key, samples, block, agent) -> Code:
        """The first layer of a one-hot agent number is its row of weights."""
        ((weight, bias),) = params["number"]
        return _mean_and_log_variance(params["code"], jax.nn.relu(weight[agent] + bias))


@dataclass(frozen=True)
class Behaviour(Encoder):
    """A code computed from an agent's own transitions, also for agents never seen before."""

    context: Annotated[int, Range(1, 10**6)] = 32
    """Transitions that a code is computed from in training."""

    name = "behaviour"
    rows_per_code = 8

    def init(self, rng, num_agents, num_inputs, num_outputs) -> EncoderParams:
        width = width_of(self, num_agents)
        return {
            "row": init_layers(rng, (num_inputs + num_outputs, width, width)),
            "code": init_layers(rng, (width, width, 2 * self.latent_size)),
        }

    def encode(self, params, key, samples, block, agent) -> Code:
        """Mean over the transitions' features → code (deep sets, arXiv 1703.06114)."""
        rows = jnp.concatenate(draw(key, samples, block, agent, self.context), axis=-1)
        features = jax.nn.relu(forward(params["row"], rows)).mean(axis=1)
        return _mean_and_log_variance(params["code"], features)


@dataclass(frozen=True)
class RandomCodes(Encoder):
    """The control: a random code for each agent's number, which is not trained."""

    name = "random"

    def init(self, rng, num_agents, num_inputs, num_outputs) -> EncoderParams:
        return jnp.asarray(rng.normal(size=(num_agents, self.latent_size)), jnp.float32)

    def encode(self, params, key, samples, block, agent) -> Code:
        mean = jax.lax.stop_gradient(params)[agent]
        return mean, jnp.full_like(mean, -20.0)


ENCODERS = {encoder.name: encoder for encoder in (VAE, Behaviour, RandomCodes)}


def width_of(options: Encoder, num_agents: int) -> int:
    """Width of hidden layers for so many agents."""
    return options.hidden or (128 if num_agents >= LARGE_TEAM else 64)


def updates_of(options: Encoder, num_agents: int) -> int:
    """Gradient steps for so many agents."""
    return options.updates or (3_000 if num_agents >= LARGE_TEAM else 8_000)


def learnt_from(num_blocks: int = BLOCKS) -> int:
    """How many of the blocks, the first ones, are learnt from; the others are held out."""
    return num_blocks // 2


def _mean_and_log_variance(layers: Any, features: Float[Array, "group hidden"]) -> Code:
    mean, log_variance = jnp.split(forward(layers, features), 2, axis=-1)
    return mean, log_variance
