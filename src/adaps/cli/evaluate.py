"""``adaps evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from adaps.cli.tables import number, percent
from adaps.config.parsing import parse
from adaps.config.saved import saved_env
from adaps.config.training import Count
from adaps.envs import make
from adaps.extensions import Amount, check_options, code_allowed
from adaps.files.run_folder import CONFIG
from adaps.training.evaluation import evaluate_run


@dataclass(frozen=True)
class EvaluateCommand:
    """Play fresh episodes of a trained run, on the resets that all policies are evaluated on."""

    run: tyro.conf.Positional[Path]
    """A run's folder."""
    episodes: Annotated[Count, Amount(1, 10**7)] = 1_000
    """Episodes per seed."""
    allow_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Import code that is somebody's own and that the run names."""


def run(words: list[str]) -> int:
    """Print each seed's return in fresh episodes."""
    command = parse(EvaluateCommand, "evaluate", words)
    check_options(command)
    with code_allowed(command.allow_code):
        env = make(*saved_env(command.run / CONFIG))
        rows = evaluate_run(env, command.run, command.episodes)
    title = f"{command.run}: greedy, mean over {command.episodes:,} episodes"
    table = Table("seed", "return", "best possible", "regret", title=title)
    for row in rows:
        table.add_row(str(row.seed), number(row.value), number(row.best), percent(row.regret))
    Console().print(table)
    return 0
