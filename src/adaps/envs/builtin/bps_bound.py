"""Best possible return of Blind-Particle Spread, from a table. Stage: environment.

Every agent moves on its own, so the best return of an episode is ``-0.5 × Σ_agent cost``, where
``cost`` is the least sum, over the steps of an episode, of the distance to the landmark. It
depends on the offset at the start alone, and is tabulated in ``bps_bound.csv``, which
``experiments/bps_planner.py`` computes by planning.

The spacing of the table is an eighth of ``HOP``, because the cost ripples with that period and is
least just on it: a spacing of 0.1 puts the mean over episodes 0.8 % too low, 0.05 0.2 %, this one
0.03 %. Between its entries, at 200 offsets drawn as resets draw them,
the table is off by 0.02 m on average and by 0.13 m at most (the mean cost is 27 m); at 130
offsets in [0, 1]², by 0.02 and 0.08 m.
"""

import functools
import importlib.resources

import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

EPISODE_STEPS = 50
DAMPING = 0.25
STEP_SECONDS = 0.1
FORCE = 5.0
DIRECTIONS = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])

KEPT = 1 - DAMPING
PUSH = STEP_SECONDS * FORCE
"""Speed gained from one push."""
COAST_SECONDS = STEP_SECONDS * KEPT / DAMPING
"""An agent comes to rest at its position + this × its velocity."""
HOP = (STEP_SECONDS + COAST_SECONDS) * PUSH
"""How far one push moves the point where the agent comes to rest."""

SPACING = HOP / 8
"""Between two entries of the table."""
TABLE_SIZE = 161


def best_cost(offset: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """Least sum over an episode of one agent's distance to its landmark.

    ``min_actions Σ_t |p_t|`` after each of 50 moves, in metres, from rest at ``p_0 = offset``;
    bilinear in the table of :func:`load_table`, offsets beyond its end (4 m) taken for its end.
    """
    cells = jnp.clip(jnp.abs(offset) / SPACING, 0, TABLE_SIZE - 1)
    return map_coordinates(jnp.asarray(load_table()[1]), [cells[..., 0], cells[..., 1]], order=1)


@functools.cache
def load_table() -> tuple[Float[np.ndarray, " offset"], Float[np.ndarray, "offset offset"]]:
    """Offsets along one axis, and the cost by offset along either axis; both in metres.

    The file holds the part on and above the diagonal; the axes can be exchanged.
    """
    with (importlib.resources.files("adaps.envs.builtin") / "bps_bound.csv").open() as file:
        upper = np.loadtxt(file, delimiter=",")
    return SPACING * np.arange(TABLE_SIZE), upper + np.triu(upper, 1).T
