"""``adaps evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from adaps.cli.tables import number, percent, print_each_agent, print_warnings, table
from adaps.collect.episodes import CANCEL, CUT, cut_warning
from adaps.config.parsing import parse
from adaps.config.saved import saved_env
from adaps.config.training import Count, MaxSteps
from adaps.extensions import Amount, check_options, code_allowed
from adaps.files.run_folder import CONFIG
from adaps.files.schema import short_form
from adaps.files.terminal import Terminal, say
from adaps.report.data import read_run
from adaps.training.environment import made_again
from adaps.training.evaluation import evaluate
from adaps.training.policy import load


@dataclass(frozen=True)
class EvaluateCommand:
    """Play fresh episodes of a trained run, on the resets that all policies are evaluated on."""

    run: tyro.conf.Positional[Path]
    """A run's folder."""
    episodes: Annotated[Count, Amount(1, 10**7)] = 1_000
    """Episodes per seed."""
    max_steps: MaxSteps = None
    """Cut off episodes after so many steps; None: as the run did."""
    allow_changes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Evaluate though the environment's settings are not what they were."""
    allow_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Import code that is somebody's own and that the run names."""


def run(words: list[str]) -> int:
    """Print each seed's return in fresh episodes."""
    command = parse(EvaluateCommand, "evaluate", words)
    check_options(command)
    with code_allowed(command.allow_code):
        limit = command.max_steps or saved_env(command.run / CONFIG).max_steps
        env, changes = made_again(command.run / CONFIG), command.allow_changes
        rows = evaluate(command.run, env, command.episodes, max_steps=limit, allow_changes=changes)
        names = load(command.run).agents.names
    title = f"{command.run}: greedy, mean over {command.episodes:,} episodes, sum over all agents"
    shown = table(title, ("seed", "return", "best possible", "regret to the best"))
    for row in rows:
        shown.add_row(str(row.seed), number(row.value), number(row.best), percent(row.regret))
    Terminal().print(shown)
    print_each_agent(names, [row.per_agent for row in rows])
    known = read_run(command.run).warnings
    of_policies = {
        seed: [w for w in own if short_form(w) not in (CUT, CANCEL)] for seed, own in known.items()
    }
    print_warnings({row.seed: of_policies.get(row.seed, []) for row in rows})
    if any(row.num_cut for row in rows):
        say(f"warning  {cut_warning(env, limit)}")
    return 0
