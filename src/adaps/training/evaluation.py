"""Fresh episodes of the policies that a run's folder holds. Stage: evaluation."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from adaps.collect.episodes import best_return, mean_return, regret
from adaps.collect.evaluate import batch_episodes, in_batches, player
from adaps.errors import UserError
from adaps.files import compile_cache
from adaps.files.run_folder import CONFIG, saved_seeds
from adaps.networks.agent import greedy
from adaps.training.environment import for_policy, made_again
from adaps.training.policy import load
from adaps.types import AnyEnvironment


class SeedReturn(NamedTuple):
    """A seed's mean greedy return, and the best possible on the same resets."""

    seed: int
    value: float
    best: float | None
    regret: float | None


def evaluate(
    folder: str | Path,
    env: AnyEnvironment | None = None,
    episodes: int = 1_000,
    *,
    allow_changes: bool = False,
) -> list[SeedReturn]:
    """Greedy episodes of every seed that a run's folder holds.

    Args:
        folder: the run's.
        env: the run's environment; None makes it again by its name and options.
        episodes: how many to play with each policy.
        allow_changes: whether an environment with other settings is meant.

    Raises:
        UserError: nothing is saved there, a file is damaged, or the environment is not the one
            that the policies were trained in.
    """
    compile_cache.enable()
    folder, rows = Path(folder), []
    env = made_again(folder / CONFIG) if env is None else env
    first = load(folder)
    env = for_policy(env, first, folder, allow_changes)
    with player(env) as play:
        for seed in saved_seeds(folder):
            policy = load(folder, seed)
            if (policy.shape, policy.agents) != (first.shape, first.agents):
                raise UserError(f"{folder}: the policy of seed {seed} is for other agents")
            one = partial(play, policy.agent, greedy, policy.params, policy.sharing)
            played = in_batches(one, episodes, most=batch_episodes(env))
            row = SeedReturn(seed, mean_return(played), best_return(played), regret(played))
            rows.append(row)
    return rows
