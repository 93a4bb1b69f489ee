"""``adaps train``."""

import shlex
import sys
from pathlib import Path

from rich.console import Console

from adaps.cli.progress import ConsoleWatch
from adaps.cli.tables import number, percent, table
from adaps.config.parsing import parse_train
from adaps.config.saved import names_code
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import HostEnvironmentError, NotFiniteError, RunError, StorageError, UserError
from adaps.files import run_folder
from adaps.report import write_report
from adaps.training import run as training
from adaps.training.result import Result
from adaps.training.resume import Resume
from adaps.types import AnyEnvironment

STOPPED = {
    KeyboardInterrupt: "interrupted",
    HostEnvironmentError: "the environment failed",
    NotFiniteError: "stopped",
    StorageError: "stopped, since files could not be written",
}
"""What to say of a run that did not come to its end, by what ended it."""


def run(words: list[str]) -> int:
    """Train, and write the report."""
    command = parse_train(words)
    if not command.config.env:
        raise UserError("name an environment to train in, such as bps-1 (see: adaps list)")
    env = make(command.config.env, command.config.task_seed)
    name = f"{env.name}-{command.config.sharing.name}".replace(":", "-")
    out = command.resume or command.out or run_folder.free_folder(Path("runs"), name)
    goes_on = command.resume is not None or command.auto_resume
    resume = Resume(command.allow_changes) if goes_on else None
    watch = ConsoleWatch()
    try:
        with watch.showing():
            result = training.run(
                env, command.config, out, watch, sinks=command.sinks, resume=resume
            )
    except (KeyboardInterrupt, RunError) as stopped:
        how = next(how for kind, how in STOPPED.items() if isinstance(stopped, kind))
        print(f"adaps: {how}; {_saved(out, command.config)}", file=sys.stderr)
        raise
    page = write_report(out)
    _print_result(env, result)
    print(f"report  {page}")
    return 0


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
    title = f"{env.name}: {result.parameters:,} trainable parameters"
    headings = ("seed", "kinds found", "Rand index", "greedy return", "regret to the best")
    shown = table(title, headings, left="")
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
    Console().print(shown)
    print(f"trained at {result.env_steps_per_second:,.0f} environment steps per second")
