"""What a run came to, as Python data and as ``result.json``. Stage: train."""

import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import psutil

from adaps.collect.episodes import (
    Episodes,
    best_return,
    cut_warning,
    mean_return,
    num_cut,
    opposed,
    regret,
    returns_per_agent,
)
from adaps.config.training import TrainConfig, num_updates, steps_taken
from adaps.files import schema
from adaps.identity.clusters import rand_index
from adaps.training.policy import Policy
from adaps.training.progress import Times
from adaps.types import SCHEMA, AnyEnvironment, Identity


class SeedResult(NamedTuple):
    """One seed at its end."""

    seed: int
    identity: Identity | None
    policy: Policy
    episodes: Episodes
    """Greedy, after the last update."""


@dataclass(frozen=True)
class Result:
    """What a run came to; lists have one entry per seed."""

    seeds: list[int]
    returns: list[float]
    """Greedy return at the end: summed over agents and steps, mean over episodes."""
    regrets: list[float | None]
    """``(best − return) / |best|``; None where the best possible return is not known."""
    clusters: list[list[int] | None]
    """Cluster of each agent; None for methods that find none."""
    adjusted_rand_index: list[float | None]
    """Agreement of clusters and true types: 1 is perfect, 0 is chance."""
    parameters: int
    """Trainable numbers of actor and critic."""
    episodes_cut: int
    """Episodes of all seeds that were cut off before they were over: ``returns`` are then not those
    of whole episodes."""
    env_steps_per_second: float
    policies: list[Policy]
    folder: Path | None
    returns_per_agent: list[list[float]] = field(default_factory=list)
    """The same of each agent alone."""
    warnings: list[list[str]] = field(default_factory=list)
    """What a seed's numbers should not be read without: one line each, which begins with a short
    form and a colon, such as ``nearly equal masks:``."""

    @property
    def return_mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.returns))

    @property
    def regret_mean(self) -> float | None:
        """Mean over seeds."""
        known = [value for value in self.regrets if value is not None]
        return float(np.mean(known)) if known else None


def summarise(
    env: AnyEnvironment,
    config: TrainConfig,
    seeds: Sequence[SeedResult],
    times: Times,
    folder: Path | None,
    warnings_of: Callable[[int], list[str]],
) -> Result:
    """Seeds' results side by side; ``warnings_of`` says what training warns of."""
    return Result(
        seeds=[s.seed for s in seeds],
        returns=[mean_return(s.episodes) for s in seeds],
        regrets=[regret(s.episodes) for s in seeds],
        clusters=[None if s.identity is None else s.identity.clusters.tolist() for s in seeds],
        adjusted_rand_index=[rand_index(env.agent_types, s.identity) for s in seeds],
        parameters=seeds[0].policy.num_params,
        episodes_cut=sum(num_cut(s.episodes) for s in seeds),
        env_steps_per_second=times.steps_per_second,
        policies=[s.policy for s in seeds],
        folder=folder,
        returns_per_agent=(per_agent := [returns_per_agent(s.episodes) for s in seeds]),
        warnings=[
            [*warnings_of(seed.seed), *_warnings_of_episodes(env, config, seed.episodes, own)]
            for seed, own in zip(seeds, per_agent, strict=True)
        ],
    )


def _warnings_of_episodes(
    env: AnyEnvironment, config: TrainConfig, episodes: Episodes, per_agent: list[float]
) -> list[str]:
    """What the final evaluation should not be read without."""
    cut = [cut_warning(env, config.max_steps)] if num_cut(episodes) else []
    return [*cut, *filter(None, [opposed(per_agent)])]


def result_json(
    env: AnyEnvironment, config: TrainConfig, result: Result, episodes: Episodes, times: Times
) -> dict[str, Any]:
    """What ``result.json`` holds; ``episodes`` are any seed's, for the best possible return."""
    fups = result.policies[0].agent.network.num_params(num_tags=0)
    file = schema.Result(
        schema=SCHEMA,
        env=env.name,
        sharing=config.sharing.name,
        algo=config.algo.name,
        seeds=result.seeds,
        env_steps=steps_taken(config, num_updates(config), config.num_identifications),
        parameters=result.parameters,
        parameters_fups=fups,
        parameters_nops=fups * env.num_agents,
        return_mean=result.return_mean,
        return_per_seed=[*result.returns],
        return_per_agent=[[*own] for own in result.returns_per_agent],
        regret_mean=result.regret_mean,
        regret_per_seed=result.regrets,
        best_return_mean=best_return(episodes),
        episodes=cast(int, config.eval_episodes),  # chosen when the run began
        episodes_cut=result.episodes_cut,
        env_steps_per_second=round(result.env_steps_per_second, 1),
        compile_seconds=round(times.compiling, 3),
        wall_seconds=round(times.wall, 3),
        saving_seconds=round(times.saving, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
        adjusted_rand_index=result.adjusted_rand_index,
        warnings=result.warnings,
    )
    return schema.as_json(file)


def memory_mb() -> float:
    """Memory this process holds now, in 2²⁰ bytes."""
    return psutil.Process().memory_info().rss / 1024**2


def peak_memory_mb() -> float:
    """Most memory this process has held, in 2²⁰ bytes."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
