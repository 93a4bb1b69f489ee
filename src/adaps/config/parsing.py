"""Words of the command line → dataclasses. Stage: none; every command begins here."""

import contextlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from adaps.algos import ALGORITHMS
from adaps.config.training import (
    PRESETS,
    TrainConfig,
    algo_options,
    encoder_options,
    from_json,
    network_options,
    run_options,
    sharing_options,
)
from adaps.errors import UserError, unknown
from adaps.files.run_folder import CONFIG
from adaps.files.sinks import SINKS
from adaps.identity.encoders import ENCODERS
from adaps.networks import NETWORKS
from adaps.sharing import METHODS

S = TypeVar("S")
A = TypeVar("A")
E = TypeVar("E")
N = TypeVar("N")
T = TypeVar("T")


@dataclass(frozen=True)
class TrainCommand(Generic[S, A, E, N]):
    """Find out which agents are alike, give each kind its part of one network, and train them.

    An option that starts with "--sharing.", "--algo.", "--encoder." or "--network." belongs to the
    chosen one.
    """

    config: Annotated[TrainConfig[S, A, E, N], tyro.conf.arg(name="")]
    method: Annotated[
        str, tyro.conf.arg(name="sharing", metavar="|".join(METHODS), help="Sharing method.")
    ]
    algorithm: Annotated[
        str, tyro.conf.arg(name="algo", metavar="|".join(ALGORITHMS), help="Learning algorithm.")
    ]
    identity_encoder: Annotated[
        str, tyro.conf.arg(name="encoder", metavar="|".join(ENCODERS), help="Identity encoder.")
    ]
    architecture: Annotated[
        str, tyro.conf.arg(name="network", metavar="|".join(NETWORKS), help="Network.")
    ]
    preset: Annotated[str, tyro.conf.arg(metavar="|".join(PRESETS))] = "default"
    """Options to start from; "paper" is AdaPS exactly as published."""
    settings: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE")] = None
    """A run's config.json to start from: run again what it says, but for what is named here."""
    sinks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="|".join(SINKS))] = ()
    """Where metrics go besides the run's folder."""
    out: Path | None = None
    """Folder for the run, which must not hold one; None: the next free one under runs/."""
    resume: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Go on with the run in this folder, under its own settings but for what is named here; one
    that has ended goes on with more --steps."""
    auto_resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the run in --out if it holds one, else begin: for machines that may be taken
    away, where the same command is given again."""
    allow_changes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on though settings, versions or the environment are not what they were."""


def parse_train(words: list[str]) -> TrainCommand:
    """Parse in two steps: which method and algorithm, then everything with their options."""
    preset = chosen(words, "--preset", "default")
    method, algorithm, encoder, network = (
        chosen(words, flag, None) for flag in ("--sharing", "--algo", "--encoder", "--network")
    )
    saved = _saved_settings(words)
    if saved is not None:
        start = from_json(saved)
    else:
        start = TrainConfig(
            env="",
            sharing=sharing_options("adaps", preset),
            algo=algo_options("a2c", preset),
            **run_options(preset),
        )
    if method is not None:
        start = replace(start, sharing=sharing_options(method, preset))
    if algorithm is not None:
        start = replace(start, algo=algo_options(algorithm, preset))
    if encoder is not None:
        start = replace(start, encoder=encoder_options(encoder, preset))
    if network is not None:
        start = replace(start, network=network_options(network, preset))
    default = TrainCommand(
        start,
        method or start.sharing.name,
        algorithm or start.algo.name,
        encoder or start.encoder.name,
        network or start.network.name,
        preset,
    )
    parts = (start.sharing, start.algo, start.encoder, start.network)
    kind = TrainCommand[*map(type, parts)]  # pyright: ignore[reportInvalidTypeArguments]
    command = parse(kind, "train", words, default)
    _check_resume(command)
    return command


def _saved_settings(words: list[str]) -> Path | None:
    """The file with the settings to start from, where a run's are to be.

    Raises:
        UserError: options that exclude each other.
    """
    saved, resumed, preset = (
        chosen(words, flag, None) for flag in ("--config", "--resume", "--preset")
    )
    if saved is not None and resumed is not None:
        raise UserError("--resume goes on under the run's own settings; leave out --config")
    if preset is not None and not (saved is None and resumed is None):
        other = "--config" if resumed is None else "--resume"
        raise UserError(f"{other} starts from a run's own settings; leave out --preset")
    if resumed is not None:
        return Path(resumed) / CONFIG
    return None if saved is None else Path(saved)


def _check_resume(command: TrainCommand) -> None:
    if command.resume and (command.out or command.auto_resume):
        other = "--out" if command.out else "--auto-resume"
        raise UserError(f"--resume names the run's folder already; leave out {other}")
    if command.auto_resume and command.out is None:
        raise UserError("--auto-resume needs a folder that stays the same: name it with --out")
    if command.allow_changes and not (command.resume or command.auto_resume):
        raise UserError("--allow-changes goes with --resume or --auto-resume")


def chosen(words: list[str], flag: str, default: T) -> str | T:
    """The value that follows ``flag``, where it is given; the parser reports what is wrong."""
    value: str | T = default
    for word, following in zip(words, [*words, default][1:], strict=True):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.removeprefix(f"{flag}=")
    return value


def parse(kind: Any, name: str, words: list[str], default: Any = tyro.MISSING) -> Any:
    """Words → the command's dataclass; tyro's boxed complaint becomes one line.

    Raises:
        UserError: the words do not fit.
    """
    complaint = io.StringIO()
    given = {} if default is tyro.MISSING else {"default": default}
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, prog=f"adaps {name}", args=words, **given)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(complaint.getvalue(), kind, name, given)) from None


def _one_line(box: str, kind: Any, name: str, given: dict[str, Any]) -> str:
    """The first complaint of tyro's box; for an option that does not exist, the nearest one."""
    text = " ".join(re.sub(r"[╭╮╰╯│─+|]+|-{3,}", " ", box).split())
    text = re.split(r"For full helptext|Full helptext|Argument helptext", text)[0].strip()
    help_line = f"see: adaps {name} --help"
    if stranger := re.search(r"nrecogni[sz]ed \w+: ([^\s,]+)", text):
        return str(unknown("option", stranger[1], _flags(kind, name, given), help_line))
    if unread := re.search(r"Error parsing (\S+): .*?\[(.*?)\]", text):
        return f"{unread[1]} cannot be {unread[2]} ({help_line})"
    return f"{text.removeprefix('Value error Error parsing ')} ({help_line})"


def _flags(kind: Any, name: str, given: dict[str, Any]) -> list[str]:
    """Every option of a command, read off its help."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        tyro.cli(kind, prog=name, args=["--help"], **given)
    return sorted(set(re.findall(r"--[a-z][\w.-]*\w", page.getvalue())))
