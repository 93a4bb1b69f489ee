"""Trains a code per agent by predicting rewards and next observations. Stage: identity.

The decoder is given observation, action and the agent's code, and must predict what follows. So
a code holds only what differs between agents: rewards and dynamics. Source: SePS (arXiv
2102.07475), here with standardised targets and half of the data held out.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from adaps.identity.encoders import Encoder, EncoderParams, learnt_from, width_of
from adaps.identity.mlp import Layers, forward, init_layers
from adaps.identity.samples import BLOCKS, Samples, draw

ROWS_PER_AGENT = 4
"""Mean number of each agent's transitions in a batch, at least;"""
MOST_OF_BATCH = 2_048
"""fewer where a batch would grow beyond this."""
LAST_LAYER_SCALE = 0.1
"""Of the decoder's initial last layer, so that it first predicts hardly any change."""
PAIRS_AT_ONCE = 16
"""Agents and codes whose errors are computed in one batch."""


class Decoder(NamedTuple):
    """Predicts what follows; the code scales and shifts features of observation and action.

    So a code can select what its agent's reward depends on, such as one of many landmarks.
    Source: feature-wise modulation (arXiv 1709.07871).
    """

    first: Layers
    scale: Layers
    shift: Layers
    others: Layers


class CoderParams(NamedTuple):
    encoder: EncoderParams
    decoder: Decoder


class CoderState(NamedTuple):
    """Encoder and decoder in training."""

    params: CoderParams
    opt_state: optax.OptState
    key: Key[Array, ""]


def init(options: Encoder, key: Key[Array, ""], samples: Samples) -> CoderState:
    """A fresh encoder and decoder."""
    rng = np.random.default_rng(jax.random.key_data(key).tolist())
    num_agents = samples.num_rare.shape[-1]
    num_inputs, num_outputs = samples.common.given.shape[-1], samples.common.target.shape[-1]
    width = width_of(options, num_agents)
    last = init_layers(rng, (width, num_outputs))
    params = CoderParams(
        encoder=options.init(rng, num_agents, num_inputs, num_outputs),
        decoder=Decoder(
            first=init_layers(rng, (num_inputs, width)),
            scale=init_layers(rng, (options.latent_size, width)),
            shift=init_layers(rng, (options.latent_size, width)),
            others=init_layers(rng, (width, width))
            + [(LAST_LAYER_SCALE * weight, bias) for weight, bias in last],
        ),
    )
    return CoderState(params, _optimiser(options).init(params), key)


def train(
    options: Encoder, state: CoderState, samples: Samples, num_updates: Int[Array, ""]
) -> tuple[CoderState, Float[Array, ""]]:
    """``num_updates`` steps of Adam on random batches; returns the mean loss, too."""
    optimiser = _optimiser(options)
    loss_and_gradients = jax.value_and_grad(partial(_loss, options))

    def one(_, carry):
        state, total = carry
        key, step_key = jax.random.split(state.key)
        loss, gradients = loss_and_gradients(state.params, step_key, samples)
        updates, opt_state = optimiser.update(gradients, state.opt_state)
        params: Any = optax.apply_updates(state.params, updates)
        return CoderState(params, opt_state, key), total + loss

    state, total = jax.lax.fori_loop(0, num_updates, one, (state, jnp.float32(0)))
    return state, total / num_updates


def codes(
    options: Encoder, params: CoderParams, key: Key[Array, ""], samples: Samples
) -> Float[Array, "agent latent"]:
    """Each agent's mean code over the blocks that are learnt from."""
    num_agents = samples.num_rare.shape[-1]
    block, agent = jnp.indices((learnt_from(), num_agents)).reshape(2, -1)
    mean, _ = options.encode(params.encoder, key, samples, block, agent)
    return mean.reshape(learnt_from(), num_agents, -1).mean(axis=0)


def held_out_errors(
    decoder: Decoder,
    key: Key[Array, ""],
    samples: Samples,
    agent: Int[Array, " pair"],
    code: Float[Array, "pair latent"],
    num_rows: int,
) -> Float[Array, "pair block output"]:
    """Squared errors, in variances, on held-out transitions of agents decoded with any codes.

    An agent's ``num_rows`` transitions per block are the same for every code.
    """
    held_out = jnp.arange(learnt_from(), BLOCKS)

    def one_pair(pair):
        agent, code = pair
        own_key = jax.random.fold_in(key, agent)
        own = jnp.full_like(held_out, agent)
        given, target = draw(own_key, samples, held_out, own, num_rows)
        return jnp.square(decode(decoder, given, code) - target).mean(axis=1)

    return jax.lax.map(one_pair, (agent, code), batch_size=PAIRS_AT_ONCE)


def decode(
    decoder: Decoder, given: Float[Array, "*batch input"], code: Float[Array, "*code latent"]
) -> Float[Array, "*batch output"]:
    """Predicted next observation and reward of an agent with this code."""
    features = forward(decoder.first, given) * (1 + forward(decoder.scale, code))
    features += forward(decoder.shift, code)
    out = forward(decoder.others, jax.nn.relu(features))
    num_obs = out.shape[-1] - 1
    return out.at[..., :num_obs].add(given[..., :num_obs])


def _loss(
    options: Encoder, params: CoderParams, key: Key[Array, ""], samples: Samples
) -> Float[Array, ""]:
    """Squared error of the reconstruction + β·KL(q(z | agent) ‖ N(0, I)), mean over the batch."""
    block_key, agent_key, code_key, noise_key, row_key = jax.random.split(key, 5)
    num_agents = samples.num_rare.shape[-1]
    batch_size = max(options.batch_size, min(ROWS_PER_AGENT * num_agents, MOST_OF_BATCH))
    shape = (max(1, batch_size // options.rows_per_code),)
    block = jax.random.randint(block_key, shape, 0, learnt_from())
    agent = jax.random.randint(agent_key, shape, 0, num_agents)
    mean, log_variance = options.encode(params.encoder, code_key, samples, block, agent)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(noise_key, mean.shape)
    given, target = draw(row_key, samples, block, agent, options.rows_per_code)
    error = jnp.square(decode(params.decoder, given, z[:, None]) - target).sum(axis=-1)
    kl = 0.5 * (jnp.exp(log_variance) + jnp.square(mean) - 1 - log_variance).sum(axis=-1)
    return error.mean() + options.kl_weight * kl.mean()


def _optimiser(options: Encoder) -> optax.GradientTransformation:
    return optax.adam(options.learning_rate)
