"""Fresh episodes of the policies that a run's folder holds. Stage: evaluation."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from adaps.collect.episodes import best_return, mean_return, num_cut, regret, returns_per_agent
from adaps.collect.evaluate import Play, batch_episodes, in_batches, player
from adaps.config.saved import saved_env
from adaps.envs.registry import accepted, make
from adaps.errors import UserError
from adaps.extensions import Amount, code_allowed
from adaps.files import compile_cache
from adaps.files.run_folder import CONFIG
from adaps.networks.agent import greedy
from adaps.training.environment import for_policy, made_again
from adaps.training.policy import Policy, all_of
from adaps.types import AnyEnvironment

MOST = 10**9


class SeedReturn(NamedTuple):
    """A seed's mean greedy return over all agents, and the best possible on the same resets."""

    seed: int
    value: float
    best: float | None
    regret: float | None
    per_agent: list[float]
    num_cut: int
    """Episodes that were cut off before they were over."""


def evaluate(
    folder: str | Path,
    env: AnyEnvironment | str | None = None,
    episodes: int = 1_000,
    *,
    max_steps: int | None = None,
    allow_changes: bool = False,
    allow_code: bool = False,
) -> list[SeedReturn]:
    """Greedy episodes of every seed that a run's folder holds.

    Args:
        folder: the run's.
        env: the run's environment, or its name; None makes it again.
        episodes: how many to play with each policy.
        max_steps: no episode is played further; None: as the run did.
        allow_changes: whether an environment with other settings is meant.
        allow_code: whether code of somebody's own, which the folder names, may be imported.

    Raises:
        UserError: nothing is saved there, a file is damaged, code is not allowed, or the
            environment is not the one that the policies were trained in.
        EndlessEpisodeError: an episode has no limit, and does not come to an end.
    """
    Amount(1, MOST).check("episodes", episodes)
    Amount(1, MOST).check("max_steps", max_steps)
    folder = Path(folder)
    compile_cache.enable(folder)
    with code_allowed(allow_code):
        env = _environment(folder, env)
        policies = all_of(folder)
    env = _for_all(env, policies, folder, allow_changes)
    if max_steps is None and (folder / CONFIG).exists():
        max_steps = saved_env(folder / CONFIG).max_steps
    with player(env, max_steps) as play:
        most = batch_episodes(env)
        return [_evaluated(seed, own, play, episodes, most) for seed, own in policies.items()]


def _environment(folder: Path, given: AnyEnvironment | str | None) -> AnyEnvironment:
    if given is None:
        return made_again(folder / CONFIG)
    return make(given) if isinstance(given, str) else accepted(given)


def _for_all(
    env: AnyEnvironment, policies: dict[int, Policy], folder: Path, allow_changes: bool
) -> AnyEnvironment:
    """The environment that all of a run's policies are for, with its agents in their order."""
    first, *others = policies.values()
    for policy in others:
        if (policy.shape, policy.agents) != (first.shape, first.agents):
            raise UserError(f"{folder}: its policies are for different agents")
    return for_policy(env, first, folder, allow_changes)


def _evaluated(seed: int, policy: Policy, play: Play, num_episodes: int, most: int) -> SeedReturn:
    one = partial(play, policy.agent, greedy, policy.params, policy.sharing)
    played = in_batches(one, num_episodes, most=most)
    return SeedReturn(
        seed,
        mean_return(played),
        best_return(played),
        regret(played),
        returns_per_agent(played),
        num_cut(played),
    )
