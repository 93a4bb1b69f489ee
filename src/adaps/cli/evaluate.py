"""``adaps evaluate``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from adaps.cli.tables import number, percent
from adaps.collect.episodes import cut_warning
from adaps.config.parsing import parse
from adaps.config.saved import saved_env
from adaps.config.training import Count, MaxSteps
from adaps.envs import make
from adaps.extensions import Amount, check_options
from adaps.files.run_folder import CONFIG
from adaps.training.evaluation import evaluate_run


@dataclass(frozen=True)
class EvaluateCommand:
    """Play fresh episodes of a trained run, on the resets that all policies are evaluated on."""

    run: tyro.conf.Positional[Path]
    """A run's folder."""
    episodes: Annotated[Count, Amount(1, 10**7)] = 1_000
    """Episodes per seed."""
    max_steps: MaxSteps = None
    """Cut off episodes after so many steps; None: as the run did."""


def run(words: list[str]) -> int:
    """Print each seed's return in fresh episodes."""
    command = parse(EvaluateCommand, "evaluate", words)
    check_options(command)
    saved = saved_env(command.run / CONFIG)
    env = make(saved.env, saved.task_seed, saved.agent_types)
    limit = saved.max_steps if command.max_steps is None else command.max_steps
    rows = evaluate_run(env, command.run, command.episodes, limit)
    title = f"{command.run}: greedy, mean over {command.episodes:,} episodes"
    table = Table("seed", "return", "best possible", "regret", title=title)
    for row in rows:
        table.add_row(str(row.seed), number(row.value), number(row.best), percent(row.regret))
    Console().print(table)
    if any(row.num_cut for row in rows):
        print(f"adaps: {cut_warning(env, limit)}", file=sys.stderr)
    return 0
