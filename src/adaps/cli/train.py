"""``adaps train``."""

import re
import shlex
from pathlib import Path

from adaps.cli.progress import ConsoleWatch
from adaps.cli.tables import number, percent, print_each_agent, print_warnings, table
from adaps.config.parsing import TrainCommand, parse_train
from adaps.config.saved import SavedEnv, names_code
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.envs.code import without_options
from adaps.errors import HostEnvironmentError, RunError, StorageError, UserError
from adaps.extensions import code_allowed, theirs
from adaps.files import run_folder
from adaps.files.terminal import Terminal, complain, say
from adaps.report import write_report
from adaps.training import run as training
from adaps.training.environment import made_again
from adaps.training.result import Result
from adaps.training.resume import Resume, holds_run
from adaps.types import AnyEnvironment

STOPPED = {
    KeyboardInterrupt: "interrupted",
    HostEnvironmentError: "the environment failed",
    StorageError: "stopped, since files could not be written",
    RunError: "stopped",
}
"""What to say of a run that did not come to its end, by what ended it."""


def run(words: list[str]) -> int:
    """Train, and write the report."""
    command = parse_train(words)
    if not command.config.env:
        raise UserError("name an environment to train in, such as bps-1 (see: adaps list)")
    env, config = _environment(command), command.config
    name = re.sub(r"[^\w.+=-]+", "-", f"{env.name}-{config.sharing.name}")
    out = command.resume or command.out or run_folder.free_folder(Path("runs"), name)
    goes_on = command.resume is not None or command.auto_resume
    resume = Resume(command.allow_changes) if goes_on else None
    watch = ConsoleWatch()
    try:
        with watch.showing(), theirs("the run failed", RunError):
            result = training.run(env, config, out, watch, sinks=command.sinks, resume=resume)
    except (KeyboardInterrupt, RunError) as stopped:
        how = next(how for kind, how in STOPPED.items() if isinstance(stopped, kind))
        complain(f"adaps: {how}; {_saved(out, config)}")
        raise
    page = write_report(out)
    _print_result(env, result)
    say(f"report  {page}")
    return 0


def _environment(command: TrainCommand) -> AnyEnvironment:
    """By its name, with the options of the run that is started from, if one is."""
    config = command.config
    wanted = SavedEnv(config.env, config.task_seed, config.agent_types)
    folder = command.resume or (command.out if command.auto_resume else None)
    start = folder / run_folder.CONFIG if folder and holds_run(folder) else command.settings
    if start is None:
        return make(config.env, config.task_seed, config.agent_types)
    # Where the name came from was asked when the words were read.
    with code_allowed(command.allow_code, [without_options(config.env)]):
        return made_again(start, wanted)


def _saved(out: Path, config: TrainConfig) -> str:
    """What a run that did not come to its end has left, and how to resume it."""
    if not (out / run_folder.CONFIG).exists():
        return "nothing was saved yet"
    metrics, seeds = out / run_folder.METRICS, run_folder.saved_seeds(out)
    has_metrics = metrics.exists() and metrics.stat().st_size > 0
    what = f"policies of seeds {seeds}" if seeds else "no policy yet; the settings"
    what += " and the metrics" if has_metrics else ""
    words = shlex.quote(str(out)) + (" --allow-code" if names_code(config) else "")
    return f"saved {what} in {out}; go on with: adaps train --resume {words}"


def _print_result(env: AnyEnvironment, result: Result) -> None:
    agents = "all agents" if env.num_agents > 1 else "its only agent"
    title = f"{env.name}: {result.parameters:,} trainable parameters; returns are of {agents}"
    headings = ("seed", "kinds", "Rand index", "greedy return", "regret to the best")
    shown = table(title, headings)
    rows = zip(
        result.seeds,
        result.clusters,
        result.adjusted_rand_index,
        result.returns,
        result.regrets,
        strict=True,
    )
    for seed, clusters, index, value, regret in rows:
        kinds = "–" if clusters is None else str(len(set(clusters)))
        shown.add_row(str(seed), kinds, number(index), number(value), percent(regret))
    shown.add_section()
    shown.add_row("mean", "", "", number(result.return_mean), percent(result.regret_mean))
    Terminal().print(shown)
    print_warnings(dict(zip(result.seeds, result.warnings, strict=True)))
    print_each_agent(result.policies[0].agents.names, result.returns_per_agent)
    if result.env_steps_per_second:
        speed = f"{result.env_steps_per_second:,.0f} environment steps per second"
        say(f"trained at {speed}, all seeds side by side, without compiling and evaluating")
