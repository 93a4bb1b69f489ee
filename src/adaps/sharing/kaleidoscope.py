"""Kaleidoscope: one network, and each agent learns which weights it uses. Stage: sharing.

Learnable masks (arXiv 2410.08540): a threshold per agent and weight is trained with the policy, a
term of the loss pushes the agents' masks apart, and weights that nobody uses are drawn anew. The
authors weight the layers differently and use several critics; here all layers of one actor and
one critic count alike.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Array, Key

from adaps.extensions import Range
from adaps.sharing.masks import all_ones
from adaps.types import Identity, LearnedMasks, NetworkShape, Sharing


@dataclass(frozen=True)
class Kaleidoscope:
    """Options of Kaleidoscope."""

    diversity: Annotated[float, Range(0)] = 0.1
    """Weight of the term that pushes agents' masks apart, as a share of the loss."""
    initial: Annotated[tuple[float, float], Range(-math.inf)] = (-10.0, -5.0)
    """Range of the initial thresholds before the sigmoid; lower lets more weights pass."""
    renew_every: Annotated[int, Range(1, 2**31 - 1)] = 5_000
    """Updates between two renewals of weights that no agent uses."""
    renew_share: Annotated[float, Range(0, 1)] = 0.1
    """Which share of those is drawn anew."""

    name = "kaleidoscope"
    needs_identity = False

    def build(self, key: Key[Array, ""], shape: NetworkShape, identity: Identity | None) -> Sharing:
        """One parameter set; the masks are parameters."""
        del key, identity
        return Sharing(
            group=jnp.zeros(shape.num_agents, jnp.int32),
            masks=all_ones(shape),
            tags=jnp.zeros((shape.num_agents, 0)),
            learned=LearnedMasks(
                initial=jnp.asarray(self.initial, jnp.float32),
                diversity=jnp.float32(self.diversity),
                renew_every=jnp.int32(self.renew_every),
                renew_share=jnp.float32(self.renew_share),
            ),
        )
