"""``adaps evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from adaps.cli.tables import number, percent, table
from adaps.config.parsing import parse
from adaps.config.saved import saved_env
from adaps.config.training import Count
from adaps.envs import make
from adaps.extensions import Amount, check_options
from adaps.files.run_folder import CONFIG
from adaps.files.terminal import Terminal
from adaps.training.evaluation import evaluate_run


@dataclass(frozen=True)
class EvaluateCommand:
    """Play fresh episodes of a trained run, on the resets that all policies are evaluated on."""

    run: tyro.conf.Positional[Path]
    """A run's folder."""
    episodes: Annotated[Count, Amount(1, 10**7)] = 1_000
    """Episodes per seed."""


def run(words: list[str]) -> int:
    """Print each seed's return in fresh episodes."""
    command = parse(EvaluateCommand, "evaluate", words)
    check_options(command)
    env = make(*saved_env(command.run / CONFIG))
    rows = evaluate_run(env, command.run, command.episodes)
    title = f"{command.run}: greedy, mean over {command.episodes:,} episodes"
    shown = table(title, ("seed", "return", "best possible", "regret"))
    for row in rows:
        shown.add_row(str(row.seed), number(row.value), number(row.best), percent(row.regret))
    Terminal().print(shown)
    return 0
