"""The ``adaps`` command: ``adaps COMMAND …``. Nothing is computed here."""

import multiprocessing
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console
from rich.table import Table

import adaps
from adaps.algos import ALGORITHMS
from adaps.cli import bench, catalogue
from adaps.cli.progress import ConsoleWatch
from adaps.config.limits import check_count, check_hidden, check_within
from adaps.config.parsing import chosen, parse, parse_train
from adaps.config.training import (
    PRESETS,
    Count,
    encoder_options,
    saved_env,
    sharing_options,
)
from adaps.envs import FAMILIES, make
from adaps.envs.names import PREFIXES
from adaps.errors import (
    HostEnvironmentError,
    NotFiniteError,
    RunError,
    StorageError,
    UserError,
    unknown,
)
from adaps.files import run_folder
from adaps.identity.encoders import ENCODERS
from adaps.report import write_identity_page, write_report
from adaps.sharing import METHODS
from adaps.study import commands as study_commands
from adaps.study.execute import carry_out
from adaps.study.plan import Study, default_folder
from adaps.training.evaluation import evaluate_run
from adaps.training.identify import IdentifyConfig, run_identify
from adaps.training.result import Result
from adaps.training.resume import Resume
from adaps.training.run import run
from adaps.types import AnyEnvironment, Environment

BAD_INPUT, FAILED, INTERRUPTED, TERMINATED = 2, 1, 130, 143

STOPPED = {
    KeyboardInterrupt: "interrupted",
    HostEnvironmentError: "the environment failed",
    NotFiniteError: "stopped",
    StorageError: "stopped, since files could not be written",
}
"""What to say of a run that did not come to its end, by what ended it."""

PLAY_RANGES = {
    "episode": (0, 2**31 - 1),
    "fps": (1, 50),
    "max_steps": (1, 2**31 - 1),
    "size": (100, 2_000),
}

S = TypeVar("S")
A = TypeVar("A")
E = TypeVar("E")


class Terminated(KeyboardInterrupt):
    """SIGTERM: stop as for Ctrl-C, with an exit code of its own."""


@dataclass(frozen=True)
class IdentifyCommand(Generic[E]):
    """Which agents are alike: how many kinds, who belongs where, how sure, and what to do."""

    config: Annotated[IdentifyConfig[E], tyro.conf.arg(name="")]
    identity_encoder: Annotated[
        str, tyro.conf.arg(name="encoder", metavar="|".join(ENCODERS), help="Identity encoder.")
    ]
    out: Path | None = None
    """Folder for identity.json and the page; None: the next free one under runs/."""


@dataclass(frozen=True)
class EvaluateCommand:
    """Play fresh episodes of a trained run, on the resets that all policies are evaluated on."""

    run: tyro.conf.Positional[Path]
    """A run's folder."""
    episodes: Count = 1_000
    """Episodes per seed."""


@dataclass(frozen=True)
class PlayCommand:
    """Write an episode as a GIF or MP4 film: greedy actions of a trained run, or random ones.

    Colour shows who was found to be alike, shape who truly is.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[DIR]")] = ""
    """A run's folder."""
    random: Annotated[str, tyro.conf.arg(metavar="ENV")] = ""
    """Environment to take random actions in, instead of a run."""
    task_seed: Count | None = None
    """That environment's task seed; None: 0. A run has its own."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Film to write, .gif or .mp4; None: episode.gif in the run's folder, or ENV.gif here."""
    seed: Count | None = None
    """Which seed's policy; None: the run's first."""
    episode: Count = 0
    """Number of the episode: its reset is that of evaluation."""
    fps: Count = 10
    """Steps shown per second."""
    max_steps: Count | None = None
    """Stop after this many steps; None: at the end of the episode."""
    size: Count = 480
    """Width of the film, in pixels."""


@dataclass(frozen=True)
class ReportCommand:
    """Make the page of each run or study again, from its result files."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs and studies."""


@dataclass(frozen=True)
class ListCommand:
    """Show environments, sharing methods and algorithms; with ENV, each method's parameters."""

    env: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[ENV]")] = ""
    """Environment to count every method's trainable parameters for."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of actor and critic."""
    clusters: int | None = None
    """Groups that methods with groups are taken to find; None: the true number, or 2."""


@dataclass(frozen=True)
class BenchCommand:
    """Measure training speed, compilation time and memory on this machine."""

    env: tyro.conf.Positional[str] = "bps-1"
    """Environment to train in."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Sharing methods to measure; FuPS is always among them."""
    repeats: Count = 15
    """Measurements of each setting, taken in turn; medians are shown."""
    out: Path | None = None
    """Write the figures into this JSON file too."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1, 2, 130 or 143."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _signals_handled():
            return _dispatch(words)
    except UserError as error:
        print(f"adaps: {error}", file=sys.stderr)
        return BAD_INPUT
    except RunError as error:
        print(f"{error.trace}adaps: {error}", file=sys.stderr)
        return FAILED
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return INTERRUPTED


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _print_overview()
        return 0 if words else BAD_INPUT
    if words[0] == "--version":
        print(f"adaps {adaps.__version__}")
        return 0
    if any("\0" in word for word in words):
        raise UserError("a word of the command holds a zero byte; leave it out")
    command, *rest = words
    if command.lower() not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    return COMMANDS[command.lower()](rest)


def train_command(words: list[str]) -> int:
    """``adaps train``."""
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
            result = run(env, command.config, out, watch, sinks=command.sinks, resume=resume)
    except (KeyboardInterrupt, RunError) as stopped:
        how = next(how for kind, how in STOPPED.items() if isinstance(stopped, kind))
        print(f"adaps: {how}; {_saved(out)}", file=sys.stderr)
        raise
    page = write_report(out)
    _print_result(env, result)
    print(f"report  {page}")
    return 0


def _saved(out: Path) -> str:
    """What a run that did not come to its end has left, and how it goes on."""
    if not (out / run_folder.CONFIG).exists():
        return "nothing was saved yet"
    metrics, seeds = out / run_folder.METRICS, run_folder.saved_seeds(out)
    has_metrics = metrics.exists() and metrics.stat().st_size > 0
    what = f"policies of seeds {seeds}" if seeds else "no policy yet; the settings"
    what += " and the metrics" if has_metrics else ""
    return f"saved {what} in {out}; go on with: adaps train --resume {shlex.quote(str(out))}"


def identify_command(words: list[str]) -> int:
    """``adaps identify``."""
    encoder = chosen(words, "--encoder", "vae")
    start = IdentifyConfig(encoder=encoder_options(encoder))
    kind = IdentifyCommand[type(start.encoder)]
    command = parse(kind, "identify", words, IdentifyCommand(start, encoder))
    config = command.config
    env = make(config.env) if config.env else None
    name = f"identify-{config.env or config.transitions}"
    out = command.out or run_folder.free_folder(Path("runs"), re.sub(r"[^\w.-]+", "-", name))
    run_folder.check_free(out)
    if (out / run_folder.IDENTITY).exists():
        raise UserError(f"{out} already holds an answer; name another folder with --out")
    watch = ConsoleWatch()
    try:
        with watch.showing():
            identity = run_identify(env, config, watch)
    except KeyboardInterrupt:
        print("adaps: interrupted; nothing was saved", file=sys.stderr)
        raise
    out.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(out / run_folder.IDENTITY, identity.findings)
    _print_findings(identity.findings or {})
    print(f"answer  {out / run_folder.IDENTITY}")
    print(f"page    {write_identity_page(out)}")
    return 0


def evaluate_command(words: list[str]) -> int:
    """``adaps evaluate``."""
    command = parse(EvaluateCommand, "evaluate", words)
    check_count("episodes", command.episodes)
    env = make(*saved_env(command.run / run_folder.CONFIG))
    rows = evaluate_run(env, command.run, command.episodes)
    table = Table(
        "seed",
        "return",
        "best possible",
        "regret",
        title=f"{command.run}: greedy, mean over {command.episodes:,} episodes",
    )
    for row in rows:
        table.add_row(str(row.seed), _number(row.value), _number(row.best), _percent(row.regret))
    Console().print(table)
    return 0


def compare_command(words: list[str]) -> int:
    """``adaps compare``."""
    command = parse(study_commands.CompareCommand, "compare", words)
    return _carry_out(study_commands.compared(command), command.where)


def sweep_command(words: list[str]) -> int:
    """``adaps sweep``."""
    command = parse(study_commands.SweepCommand, "sweep", words)
    return _carry_out(study_commands.swept(command), command.where)


def _carry_out(study: Study, where: study_commands.Where) -> int:
    console = Console(file=sys.stderr, highlight=False)
    out = where.out or default_folder(study)
    try:
        failures = carry_out(study, out, study_commands.backend_of(where), console)
    except KeyboardInterrupt:
        print("adaps: interrupted; the same command goes on where this stopped", file=sys.stderr)
        raise
    for folder, reason in failures.items():
        print(f"adaps: {out / folder} failed: {reason}", file=sys.stderr)
    try:
        print(f"report  {write_report(out)}")
    except UserError as error:
        if not failures:
            raise
        print(f"adaps: {error}", file=sys.stderr)
    return FAILED if failures else 0


def play_command(words: list[str]) -> int:
    """``adaps play``."""
    from adaps import render  # noqa: PLC0415

    command = parse(PlayCommand, "play", words)
    _check_play(command)
    if command.random:
        team = render.random_team(make(command.random, command.task_seed or 0))
        out = command.out or Path(re.sub(r"[^\w.-]+", "-", team.env.name) + ".gif")
    else:
        folder = Path(command.run)
        env = make(*saved_env(folder / run_folder.CONFIG))
        team = render.trained_team(env, folder, command.seed)
        out = command.out or folder / "episode.gif"
    steps = command.max_steps or team.env.max_steps
    watch = ConsoleWatch()
    with watch.showing():
        episode = render.film(team, out, command.episode, steps, command.fps, command.size, watch)
    print(f"return {_number(float(episode.returns[-1]))} in {len(episode.returns) - 1} steps")
    print(out)
    return 0


def _check_play(command: PlayCommand) -> None:
    if not command.run and not command.random:
        raise UserError("name a run's folder, or an environment: adaps play --random bps-1")
    if command.run and command.random:
        raise UserError("name a run's folder or --random ENV, not both")
    if command.random and command.seed is not None:
        raise UserError("--seed chooses a run's policy; --random has none")
    if command.run and command.task_seed is not None:
        raise UserError("--task-seed goes with --random; a run has its own")
    for name, (low, high) in PLAY_RANGES.items():
        value = getattr(command, name)
        if value is not None:
            check_within(name, value, low, high)


def report_command(words: list[str]) -> int:
    """``adaps report``."""
    folders = parse(ReportCommand, "report", words).runs
    if not folders:
        raise UserError("name a run's or a study's folder, such as runs/bps-1-adaps-001")
    for folder in folders:
        print(write_report(folder))
    return 0


def list_command(words: list[str]) -> int:
    """``adaps list``."""
    command = parse(ListCommand, "list", words)
    if command.env:
        _print_parameters(make(command.env), command.hidden, command.clusters)
        return 0
    table = Table("what", "names", show_header=False)
    for family in FAMILIES:
        table.add_row("environments", ", ".join((*family.NAMES, *family.PATTERNS)))
    others = [f"{prefix}:{of}" for prefix, of in PREFIXES.items()]
    table.add_row("others' environments", ", ".join((*others, "package.module:thing")))
    table.add_row("sharing methods", ", ".join(METHODS))
    table.add_row("algorithms", ", ".join(ALGORITHMS))
    table.add_row("presets", ", ".join(PRESETS))
    Console().print(table)
    return 0


def bench_command(words: list[str]) -> int:
    """``adaps bench``."""
    command = parse(BenchCommand, "bench", words)
    if command.repeats < 1:
        raise UserError(f"--repeats must be at least 1, not {command.repeats}")
    for method in command.methods:
        sharing_options(method)
    env = make(command.env)
    if not isinstance(env, Environment):
        raise UserError(f"adaps bench measures environments in JAX; {env.name} runs in Python")
    bench.check_out(command.out)
    bench.run(env, command.methods, command.repeats, command.out, Console())
    return 0


COMMANDS = {
    "train": train_command,
    "identify": identify_command,
    "compare": compare_command,
    "sweep": sweep_command,
    "evaluate": evaluate_command,
    "play": play_command,
    "report": report_command,
    "list": list_command,
    "bench": bench_command,
}
HELP = {
    "train": "find out which agents are alike, give each kind its part of one network, train",
    "identify": "which agents are alike, how many kinds, how sure; no training",
    "compare": "environments × methods × seeds, with statistics; goes on where it was stopped",
    "sweep": "one method with every combination of some options' values, likewise",
    "evaluate": "fresh episodes of a trained run",
    "play": "an episode as a GIF or MP4 film",
    "report": "make the page of a run or study again from its result files",
    "list": "environments, sharing methods and algorithms",
    "bench": "speed on this machine",
}


@contextmanager
def _signals_handled() -> Iterator[None]:
    """Stop in an orderly way at the first Ctrl-C or SIGTERM, and at once at the second."""
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    stop_requests: list[int] = []

    def stop(number: int, _: Any) -> None:
        stop_requests.append(codes[signal.Signals(number)])
        if len(stop_requests) > 1:
            _end(stop_requests[0])
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    # What a shell has a command in the background ignore, it goes on to ignore.
    before = {n: h for n in codes if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(code: int) -> None:
    """End at once, and the processes of this one with it."""
    with suppress(Exception):  # it may be that they are just being begun
        for process in multiprocessing.active_children():
            process.kill()
    os._exit(code)


def _print_overview() -> None:
    print(
        "usage: adaps COMMAND [OPTIONS]\n\n"
        "Which agents of a team should share a network, and train them.\n"
    )
    for name in COMMANDS:
        print(f"  {name:<9} {HELP[name]}")
    print("\nadaps COMMAND --help shows a command's options; adaps --version the version.")


def _print_result(env: AnyEnvironment, result: Result) -> None:
    table = Table(title=f"{env.name}: {result.parameters:,} trainable parameters")
    for heading in ("seed", "kinds found", "Rand index", "greedy return", "regret to the best"):
        table.add_column(heading, justify="right")
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
        table.add_row(str(seed), kinds, _number(index), _number(value), _percent(regret))
    table.add_section()
    table.add_row("mean", "", "", _number(result.return_mean), _percent(result.regret_mean))
    Console().print(table)
    print(f"trained at {result.env_steps_per_second:,.0f} environment steps per second")


def _print_findings(findings: dict[str, Any]) -> None:
    """Who belongs where, and what to do."""
    table = Table(title=f"{findings['env']}: {findings['num_agents']} agents")
    for heading in ("kind", "agents", "who"):
        table.add_column(heading, justify="left" if heading == "who" else "right")
    for kind in range(findings["num_clusters"]):
        members = [i for i, cluster in enumerate(findings["clusters"]) if cluster == kind]
        shown = ", ".join(findings["agent_names"][i] for i in members[:8])
        table.add_row(str(kind), str(len(members)), shown + (" …" if len(members) > 8 else ""))
    Console().print(table)
    print(findings["advice"]["sentence"])
    for reason in findings["advice"]["reasons"]:
        print(f"  {reason}")
    if (index := findings["adjusted_rand_index"]) is not None:
        print(f"adjusted Rand index with the true types: {index:.3f}")


def _print_parameters(env: AnyEnvironment, hidden: tuple[int, ...], clusters: int | None) -> None:
    check_hidden(hidden)
    kinds = catalogue.num_kinds(env)
    num_groups = clusters or kinds or min(2, env.num_agents)
    if clusters is not None and not 1 <= clusters <= env.num_agents:
        raise UserError(f"--clusters must be from 1 to {env.num_agents}, not {clusters}")
    known = "kinds not known" if kinds is None else f"{kinds} kinds"
    table = Table(
        title=f"{env.name}: {env.num_agents} agents, {known}; hidden layers of "
        f"{' and '.join(map(str, hidden))}; methods with groups as if they found {num_groups}"
    )
    for heading in ("method", "parameter sets", "tags", "masks on", "parameters", "over FuPS"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    rows = catalogue.rows(env, hidden, num_groups)
    fups = next(row.parameters for row in rows if row.method == "fups")
    for row in rows:
        ratio = f"{row.parameters / fups:.2f} ×"
        sets, tags = str(row.num_sets), str(row.num_tags or "–")
        table.add_row(row.method, sets, tags, row.masks, f"{row.parameters:,}", ratio)
    Console().print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
