"""A trained encoder and decoder → clusters of agents. Stage: identity."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from adaps.identity import autoencoder
from adaps.identity.autoencoder import CoderParams
from adaps.identity.clusters import PREDICTION, Clustering, cluster
from adaps.identity.encoders import Encoder
from adaps.identity.prediction import Evidence, gather_evidence, resampled
from adaps.identity.samples import BLOCKS, LARGE_TEAM, Samples
from adaps.types import Identity

MOST_ROWS, LEAST_ROWS = 200, 8
"""Held-out transitions per block over which an agent's errors are averaged;"""
MOST_DECODINGS = 4_000_000
"""fewer in larger teams, so that no more than these are decoded in all."""
RESAMPLES = 20
"""Of the held-out data, so that a run can say how sure its kinds are."""
PADDING = 128
"""Numbers of pairs are padded to a multiple of this, so that few programs are compiled."""


class Found(NamedTuple):
    """Clusters, and how sure their number is."""

    identity: Identity
    agreeing: float
    """Share of resamples of the held-out data that find as many; 1 where it was not asked."""


def find(
    options: Encoder,
    how: Clustering,
    params: CoderParams,
    samples: Samples,
    key: Key[Array, ""],
    seed: int,
) -> Found:
    """Codes, held-out errors where the clustering needs them, clusters."""
    codes = codes_of(options, params, samples, key)
    evidence = evidence_of(codes, params, samples, key) if how.needs_evidence else None
    identity = cluster(codes, how, evidence, seed)
    if evidence is None or how.clusters is not None or how.criterion != PREDICTION:
        return Found(identity, 1.0)
    counts = [len(set(labels.tolist())) for labels in resampled(evidence, RESAMPLES, seed)]
    return Found(identity, counts.count(len(identity.centres)) / RESAMPLES)


def codes_of(
    options: Encoder, params: CoderParams, samples: Samples, key: Key[Array, ""]
) -> Float[np.ndarray, "agent latent"]:
    """Each agent's code."""
    return np.asarray(_codes(options, params, key, samples), np.float64)


def evidence_of(
    codes: Float[np.ndarray, "agent latent"],
    params: CoderParams,
    samples: Samples,
    key: Key[Array, ""],
) -> Evidence:
    """Tree of the codes and held-out errors of its nodes."""
    return gather_evidence(codes, partial(pair_errors, params, samples, key))


def pair_errors(
    params: CoderParams,
    samples: Samples,
    key: Key[Array, ""],
    agent: Int[np.ndarray, " pair"],
    code: Float[np.ndarray, "pair latent"],
) -> Float[np.ndarray, "pair block output"]:
    """Held-out squared errors, in variances, of agents that are decoded with any codes."""
    num_pairs, num_agents = len(agent), samples.num_rare.shape[1]
    # The same number of rows for every call about a team, so that errors compare.
    most_pairs = 2 * num_agents**2 if num_agents < LARGE_TEAM else 16 * num_agents
    num_rows = int(np.clip(MOST_DECODINGS // (most_pairs * BLOCKS), LEAST_ROWS, MOST_ROWS))
    padding = (0, -num_pairs % PADDING)
    padded = (
        jnp.asarray(np.pad(agent, padding), jnp.int32),
        jnp.asarray(np.pad(code, (padding, (0, 0))), jnp.float32),
    )
    errors = _held_out_errors(params.decoder, key, samples, *padded, num_rows)
    return np.asarray(errors[:num_pairs], np.float64)


_codes = jax.jit(autoencoder.codes, static_argnums=0)
_held_out_errors = jax.jit(autoencoder.held_out_errors, static_argnums=5)
