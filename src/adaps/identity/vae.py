"""A code per agent, learnt from what the environment answers it. Stage: identity.

The encoder sees only the agent's number; the decoder is given observation and action and must
predict what follows. So the code can carry nothing but what differs between agents: rewards and
dynamics. From the SePS paper (arXiv 2102.07475), with standardised targets.
"""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from adaps.types import Transition


@dataclass(frozen=True)
class VAE:
    """Options of the variational autoencoder on agent identity."""

    latent_size: int = 10
    """Numbers in an agent's code."""
    hidden: int = 64
    """Width of the encoder's one and the decoder's two hidden layers."""
    kl_weight: float = 1e-4
    """Weight of the divergence from N(0, I)."""
    learning_rate: float = 2e-3
    """Step size of Adam."""
    batch_size: int = 128
    """Transitions per gradient step."""
    epochs: int = 10
    """Passes over the gathered transitions."""

    name = "vae"


class Samples(NamedTuple):
    """Transitions as rows of a regression, inputs and targets standardised over all agents."""

    agent: Int[Array, " row"]
    given: Float[Array, "row input"]
    """Observation and one-hot action."""
    target: Float[Array, "row output"]
    """Next observation and reward."""


class VAEState(NamedTuple):
    params: Any
    opt_state: optax.OptState
    key: Key[Array, ""]


def as_samples(transitions: Transition) -> Samples:
    """Flatten transitions and standardise each number to mean 0 and variance 1."""
    num_agents, num_actions = transitions.legal.shape[-2:]
    obs = _standardise(transitions.obs)
    target = jnp.concatenate([transitions.last_obs, transitions.reward[..., None]], axis=-1)
    action = jax.nn.one_hot(transitions.action, num_actions)
    agent = jnp.broadcast_to(jnp.arange(num_agents), transitions.action.shape)
    given = jnp.concatenate([obs, action], axis=-1)
    return Samples(agent.reshape(-1), _rows(given), _rows(_standardise(target)))


def init(options: VAE, key: Key[Array, ""], num_agents: int, samples: Samples) -> VAEState:
    """A fresh encoder and decoder."""
    rng = np.random.default_rng(jax.random.key_data(key).tolist())
    num_inputs, num_outputs = samples.given.shape[-1], samples.target.shape[-1]
    width, latent = options.hidden, options.latent_size
    params = {
        "encoder": _init_layers(rng, (num_agents, width)),
        "code": _init_layers(rng, (width, 2 * latent)),
        "decoder": _init_layers(rng, (num_inputs + latent, width, width, num_outputs)),
    }
    return VAEState(params, _optimiser(options).init(params), key)


def epoch(options: VAE, state: VAEState, samples: Samples) -> tuple[VAEState, Float[Array, ""]]:
    """One pass over the samples in random order; returns the mean loss."""
    key, order_key, noise_key = jax.random.split(state.key, 3)
    num_rows = samples.agent.shape[0]
    batch_size = min(options.batch_size, num_rows)
    num_batches = num_rows // batch_size
    order = jax.random.permutation(order_key, num_rows)[: num_batches * batch_size]
    optimiser = _optimiser(options)

    def step(carry, x):
        params, opt_state = carry
        rows, key = x
        batch = jax.tree.map(lambda a: a[rows], samples)
        loss, gradients = jax.value_and_grad(_loss, argnums=1)(options, params, key, batch)
        updates, opt_state = optimiser.update(gradients, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    batches = (order.reshape(num_batches, batch_size), jax.random.split(noise_key, num_batches))
    (params, opt_state), losses = jax.lax.scan(step, (state.params, state.opt_state), batches)
    return VAEState(params, opt_state, key), losses.mean()


def codes(state: VAEState) -> Float[Array, "agent latent"]:
    """Mean of each agent's code."""
    return _encode_all(state.params)[0]


def _loss(options: VAE, params: Any, key: Key[Array, ""], batch: Samples) -> Float[Array, ""]:
    """Squared error of the reconstruction + β·KL(q(z | agent) ‖ N(0, I)), mean over the batch."""
    mean, log_variance = jax.tree.map(lambda code: code[batch.agent], _encode_all(params))
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    predicted = _forward(params["decoder"], jnp.concatenate([batch.given, z], axis=-1))
    error = jnp.square(predicted - batch.target).sum(axis=-1)
    kl = 0.5 * (jnp.exp(log_variance) + jnp.square(mean) - 1 - log_variance).sum(axis=-1)
    return (error + options.kl_weight * kl).mean()


def _encode_all(
    params: Any,
) -> tuple[Float[Array, "agent latent"], Float[Array, "agent latent"]]:
    """Means and log-variances; the first layer of a one-hot agent number is its row of weights."""
    (weight, bias), *_ = params["encoder"]
    code = _forward(params["code"], jax.nn.relu(weight + bias))
    mean, log_variance = jnp.split(code, 2, axis=-1)
    return mean, log_variance


def _init_layers(rng: np.random.Generator, sizes: tuple[int, ...]) -> list[tuple[Array, Array]]:
    """Uniform in ±√(6 / (fan_in + fan_out)), as Glorot and Bengio (2010)."""

    def weight(fan_in: int, fan_out: int) -> Array:
        limit = (6 / (fan_in + fan_out)) ** 0.5
        return jnp.asarray(rng.uniform(-limit, limit, (fan_in, fan_out)), jnp.float32)

    pairs = itertools.pairwise(sizes)
    return [(weight(fan_in, fan_out), jnp.zeros(fan_out)) for fan_in, fan_out in pairs]


def _forward(layers: list[tuple[Array, Array]], x: Float[Array, "row in"]) -> Array:
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def _standardise(x: Float[Array, "time env agent feature"]) -> Array:
    mean, std = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    return (x - mean) / jnp.where(std > 1e-6, std, 1.0)


def _rows(x: Float[Array, "time env agent feature"]) -> Float[Array, "row feature"]:
    return x.reshape(-1, x.shape[-1])


def _optimiser(options: VAE) -> optax.GradientTransformation:
    return optax.adam(options.learning_rate)
