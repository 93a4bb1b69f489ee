"""The cluster of an agent that was not there when the clusters were found. Stage: identity."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from adaps.errors import UserError
from adaps.identity import samples
from adaps.identity.autoencoder import Decoder, decode
from adaps.identity.encoders import learnt_from
from adaps.identity.prediction import by_channel
from adaps.identity.samples import Rows, Samples
from adaps.types import Identity

RESAMPLES = 2_000
"""Draws of equally many transitions of a cluster's own agents, to know their usual error."""
UNUSUAL = 0.999
"""Share of these draws that a new agent's error must exceed to be unlike anything known."""
MARGIN = 1.5
"""By this factor: other copies of the environment are a little harder to predict anyway."""


class AgentPlacement(NamedTuple):
    """Where a new agent belongs."""

    cluster: int
    """The cluster whose code predicts the agent's transitions best."""
    is_known: bool
    """Whether they are predicted about as well as those of the cluster's own agents."""
    errors: Float[np.ndarray, "cluster channel"]
    """Mean squared error of reward and of dynamics under each cluster's code, in variances."""


class Known(NamedTuple):
    """What is known about the clusters that were found."""

    decoder: Decoder
    centres: Float[Array, "cluster latent"]
    mean: Float[Array, " output"]
    scale: Float[Array, " output"]
    own_errors: list[Float[np.ndarray, "row channel"]]
    """Of each cluster's own held-out transitions, under its code."""

    def place(self, rows: Rows, seed: int = 0) -> AgentPlacement:
        """The cluster that predicts an agent's transitions best, and whether that is convincing.

        Args:
            rows: the agent's transitions as ``[row, …]``; see ``logged.rows_of_agent``.
            seed: of the resamples.

        Raises:
            UserError: no transitions, or of another size than those that were learnt from.
        """
        (num_rows, num_outputs), num_known = rows.target.shape, len(self.mean)
        if num_rows == 0 or num_outputs != num_known:
            raise UserError(
                f"one or more transitions of {num_known - 1} observed numbers are needed to "
                f"place an agent, not {num_rows} of {num_outputs - 1}"
            )
        num_actions = len(self.decoder.first[0][0]) - num_known + 1
        if (given := rows.given.shape[1] - num_outputs + 1) != num_actions:
            raise UserError(
                f"transitions with {num_actions} actions are needed to place an agent, not with "
                f"{given}"
            )
        rows = samples.standardised(rows, self.mean, self.scale)
        each = [_row_errors(self.decoder, rows, code).mean(axis=0) for code in self.centres]
        errors = np.stack(each)
        cluster = int(errors.sum(axis=1).argmin())
        own, rng = self.own_errors[cluster], np.random.default_rng(seed)
        # One after the other: all at once would take much memory for many transitions.
        draws = (rng.integers(len(own), size=num_rows) for _ in range(RESAMPLES))
        usual = [own[drawn].mean(axis=0) for drawn in draws]
        limit = MARGIN * np.quantile(usual, UNUSUAL, axis=0)
        return AgentPlacement(cluster, bool((errors[cluster] <= limit + 1e-6).all()), errors)


def known(decoder: Decoder, samples: Samples, identity: Identity) -> Known:
    """What :meth:`Known.place` needs to know about clusters."""
    centres = jnp.asarray(identity.centres, jnp.float32)
    held_out = [x[learnt_from() :] for x in samples.common]

    def rows_of(cluster: int) -> Rows:
        agents = np.flatnonzero(identity.clusters == cluster)
        return Rows(*(x[:, agents].reshape(-1, x.shape[-1]) for x in held_out))

    own = [_row_errors(decoder, rows_of(c), centre) for c, centre in enumerate(centres)]
    return Known(decoder, centres, samples.mean, samples.scale, own)


def _row_errors(
    decoder: Decoder, rows: Rows, code: Float[Array, " latent"]
) -> Float[np.ndarray, "row channel"]:
    error = jnp.square(decode(decoder, rows.given, code) - rows.target)
    return by_channel(np.asarray(error, np.float64))
