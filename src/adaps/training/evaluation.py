"""Fresh episodes of the policies that a run's folder holds. Stage: evaluation."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from adaps.collect.episodes import best_return, mean_return, regret
from adaps.collect.evaluate import batch_episodes, in_batches, player
from adaps.files import compile_cache
from adaps.files.run_folder import saved_seeds
from adaps.networks.agent import greedy
from adaps.training.policy import load
from adaps.types import AnyEnvironment


class SeedReturn(NamedTuple):
    """A seed's mean greedy return, and the best possible on the same resets."""

    seed: int
    value: float
    best: float | None
    regret: float | None


def evaluate_run(env: AnyEnvironment, folder: Path, num_episodes: int) -> list[SeedReturn]:
    """Greedy episodes of every seed that a run's folder holds.

    Raises:
        UserError: nothing is saved there, or a file is damaged.
    """
    compile_cache.enable(folder)
    rows, most = [], batch_episodes(env)
    with player(env) as play:
        for seed in saved_seeds(folder):
            policy = load(folder, seed)
            one = partial(play, policy.agent, greedy, policy.params, policy.sharing)
            episodes = in_batches(one, num_episodes, most=most)
            row = SeedReturn(seed, mean_return(episodes), best_return(episodes), regret(episodes))
            rows.append(row)
    return rows
