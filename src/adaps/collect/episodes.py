"""Whole episodes: which resets they begin with, and what they come to. Stage: collect."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from adaps.errors import EndlessEpisodeError
from adaps.types import AnyEnvironment

EVAL_SEED = 20231
"""Fixes the resets that every policy is evaluated on, whatever its own seed."""
MOST_STEPS = 200_000
"""That an episode may take where no limit is known."""
ENDLESS = (
    f"an episode was not over after {MOST_STEPS:,} steps: say with --max-steps after how many to "
    "cut it off"
)


OPPOSED = 0.1
"""Gains of some agents and losses of others cancel out where the smaller sum is above this share of
the greater."""


class Episodes(NamedTuple):
    """Returns of whole episodes, on the same resets for every policy."""

    returns: Float[Array, "episode agent"]
    """Undiscounted sum of each agent's rewards."""
    best: Float[Array, " episode"] | None
    """Best possible return, summed over agents; None where no bound is known."""
    cut: Bool[Array, " episode"] | None = None
    """Which were cut off before they were over; None: none."""


def reset_key(number: Int[ArrayLike, ""]) -> Key[Array, ""]:
    """What the reset of the episode of this number is drawn with."""
    return jax.random.fold_in(_keys()[0], number)


def episode_seed(number: int) -> int:
    """The same for environments that run in Python, whose resets take a number."""
    return int(np.random.SeedSequence([EVAL_SEED, number]).generate_state(1)[0] >> 1)


def step_keys(max_steps: int) -> Key[Array, " time"]:
    """What each step of any episode is drawn with, where none is longer."""
    return jax.random.split(_keys()[1], max_steps)


@jax.jit
def step_key(number: Int[ArrayLike, ""]) -> Key[Array, ""]:
    """What the step of this number is drawn with, where no limit is known."""
    return jax.random.fold_in(_keys()[1], number)


def limit_of(env: AnyEnvironment, max_steps: int | None) -> int | None:
    """Steps after which an episode is over or cut off; None where it may take any number.

    Args:
        env: says how long its episodes are, or not.
        max_steps: where to cut them off; None: nowhere.
    """
    known = [limit for limit in (env.max_steps, max_steps) if limit is not None]
    return min(known, default=None)


def check_over(episodes: Episodes, limit: int | None) -> Episodes:
    """Episodes as they are, unless some that have no limit did not come to an end.

    Raises:
        EndlessEpisodeError: one line that says what to do.
    """
    if limit is None and num_cut(episodes):
        raise EndlessEpisodeError(ENDLESS)
    return episodes


def num_cut(episodes: Episodes) -> int:
    """How many were cut off before they were over."""
    return 0 if episodes.cut is None else int(np.asarray(episodes.cut).sum())


CUT, CANCEL = "episodes cut off", "returns cancel out"
"""Short forms of :func:`cut_warning` and :func:`opposed`."""


def cut_warning(env: AnyEnvironment, max_steps: int | None) -> str:
    """What to say where episodes were cut off."""
    limit = limit_of(env, max_steps)
    why = "--max-steps" if limit == max_steps else "the environment's own max_steps"
    return (
        f"{CUT}: evaluation ended them after {limit:,} steps ({why}), so returns are "
        "not those of whole episodes"
    )


def mean_return(episodes: Episodes) -> float:
    """Return summed over agents, averaged over episodes."""
    return float(np.asarray(episodes.returns, np.float64).sum(axis=1).mean())


def returns_per_agent(episodes: Episodes) -> list[float]:
    """Each agent's return, averaged over episodes."""
    return np.asarray(episodes.returns, np.float64).mean(axis=0).tolist()


def opposed(per_agent: Sequence[float]) -> str | None:
    """What to say where agents' returns cancel out, as those of opponents do; None elsewhere."""
    gained = sum(value for value in per_agent if value > 0)
    lost = -sum(value for value in per_agent if value < 0)
    if min(gained, lost) <= OPPOSED * max(gained, lost):
        return None
    return (
        f"{CANCEL}: some agents come to {gained:,.2f} together and others to "
        f"-{lost:,.2f}, so the sum over all agents says little; look at each agent's return"
    )


def best_return(episodes: Episodes) -> float | None:
    """Best possible return, averaged over episodes; None where no bound is known."""
    return None if episodes.best is None else float(np.asarray(episodes.best, np.float64).mean())


def regret(episodes: Episodes) -> float | None:
    """``(best − return) / |best|`` of the means over episodes; None where no bound is known."""
    best = best_return(episodes)
    return (best - mean_return(episodes)) / abs(best) if best else None


def returns_per_type(episodes: Episodes, agent_types: tuple[int, ...] | None) -> list[float] | None:
    """Return of each true type, summed over its agents, averaged over episodes."""
    if agent_types is None:
        return None
    per_agent = np.asarray(episodes.returns, np.float64).mean(axis=0)
    types = np.asarray(agent_types)
    return [float(per_agent[types == t].sum()) for t in sorted(set(agent_types))]


def _keys() -> Key[Array, "2"]:
    return jax.random.split(jax.random.key(EVAL_SEED))
