"""Which kind an agent is of that was not there when the kinds were found. Stage: identity."""

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
"""Drawn to learn how well a kind's own agents are predicted from so few transitions."""
UNUSUAL = 0.999
"""Share of those that a new agent's error must exceed to be unlike anything known."""
MARGIN = 1.5
"""How many times as great it must be, too: other copies are a little harder by themselves."""


class Placement(NamedTuple):
    """Where a new agent belongs."""

    cluster: int
    """The kind whose code predicts its transitions best."""
    is_known: bool
    """Whether that predicts them about as well as it does its own agents'."""
    errors: Float[np.ndarray, "cluster channel"]
    """Mean squared error of reward and of dynamics under each kind's code, in variances."""


class Known(NamedTuple):
    """What is known of the kinds that were found."""

    decoder: Decoder
    centres: Float[Array, "cluster latent"]
    mean: Float[Array, " output"]
    scale: Float[Array, " output"]
    own_errors: list[Float[np.ndarray, "row channel"]]
    """Of each kind's own held-out transitions, under its code."""

    def place(self, rows: Rows, seed: int = 0) -> Placement:
        """The kind that an agent's transitions speak for, and whether they do so convincingly.

        Args:
            rows: the agent's transitions as ``[row, …]``; see ``logged.rows_of_agent``.
            seed: of the resamples.

        Raises:
            UserError: no transitions, or of another size than those that were learnt from.
        """
        num_rows, num_outputs = rows.target.shape
        if num_rows == 0 or num_outputs != len(self.mean):
            raise UserError(
                f"one or more transitions of {len(self.mean) - 1} observed numbers are needed to "
                f"place an agent, not {num_rows} of {num_outputs - 1}"
            )
        num_actions = len(self.decoder.first[0][0]) - len(self.mean) + 1
        if rows.given.shape[1] - num_outputs + 1 != num_actions:
            raise UserError(
                f"transitions with {num_actions} actions are needed to place an agent, not with "
                f"{rows.given.shape[1] - num_outputs + 1}"
            )
        errors = np.stack([self._errors(rows, code).mean(axis=0) for code in self.centres])
        cluster = int(errors.sum(axis=1).argmin())
        rng = np.random.default_rng(seed)
        own = self.own_errors[cluster]
        # One after the other: all at once would take much memory for many transitions.
        drawn = (rng.integers(len(own), size=num_rows) for _ in range(RESAMPLES))
        usual = [own[rows].mean(axis=0) for rows in drawn]
        limit = MARGIN * np.quantile(usual, UNUSUAL, axis=0)
        return Placement(cluster, bool((errors[cluster] <= limit + 1e-6).all()), errors)

    def _errors(self, rows: Rows, code: Float[Array, " latent"]) -> np.ndarray:
        rows = samples.standardised(rows, self.mean, self.scale)
        return _row_errors(self.decoder, rows, code)


def known(decoder: Decoder, samples: Samples, identity: Identity) -> Known:
    """What to remember in order to place new agents."""
    centres = jnp.asarray(identity.centres, jnp.float32)
    held_out = [x[learnt_from() :] for x in samples.common]

    def rows_of(cluster: int) -> Rows:
        agents = np.flatnonzero(identity.clusters == cluster)
        return Rows(*(x[:, agents].reshape(-1, x.shape[-1]) for x in held_out))

    own = [_row_errors(decoder, rows_of(c), centre) for c, centre in enumerate(centres)]
    return Known(decoder, centres, samples.mean, samples.scale, own)


def _row_errors(decoder: Decoder, rows: Rows, code: Float[Array, " latent"]) -> np.ndarray:
    error = jnp.square(decode(decoder, rows.given, code) - rows.target)
    return by_channel(np.asarray(error, np.float64))
