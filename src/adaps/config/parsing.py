"""Words of the command line → dataclasses. Stage: none; every command begins here."""

import contextlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro

from adaps.algos import ALGORITHMS
from adaps.config.choices import CHOICES, PRESETS, options_of, run_options
from adaps.config.saved import from_json, source_of
from adaps.config.training import TrainConfig
from adaps.envs.code import check_env_code, without_options
from adaps.errors import HelpShown, UserError, unknown
from adaps.extensions import code_allowed, theirs
from adaps.files.run_folder import CONFIG
from adaps.files.sinks import SINKS
from adaps.files.terminal import Page
from adaps.identity.encoders import ENCODERS
from adaps.networks import NETWORKS
from adaps.sharing import METHODS

S = TypeVar("S")
A = TypeVar("A")
E = TypeVar("E")
N = TypeVar("N")
T = TypeVar("T")

ALLOW_CODE = "--allow-code"


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
    """Resume the run in this folder, under its own settings but for what is named here; one
    that has ended continues with more --steps."""
    auto_resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the run in --out if it holds one, else begin: for machines that may be taken
    away, where the same command is given again."""
    allow_changes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Resume though settings, versions or the environment are not what they were."""
    allow_code: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Import code that is somebody's own and that --resume or --config names, but you do not."""


def parse_train(words: list[str]) -> TrainCommand:
    """Parse in two steps: which method and algorithm, then everything with their options."""
    preset = chosen(words, "--preset", "default")
    given = {part: chosen(words, f"--{part}", None) for part in CHOICES}
    names: dict[str, Any] = {part: name for part, name in given.items() if name is not None}
    saved = _saved_settings(words)
    everything = ALLOW_CODE in (word.replace("_", "-") for word in words)
    with code_allowed(everything, names.values()):
        start = _begun(names, preset) if saved is None else from_json(saved, names)
    parts = {part: getattr(start, part) for part in CHOICES}
    names = {part: options.name for part, options in parts.items()} | names
    default = TrainCommand(start, *(names[part] for part in CHOICES), preset=preset)
    kind = TrainCommand[*map(type, parts.values())]  # pyright: ignore[reportInvalidTypeArguments]
    command = parse(kind, "train", words, _without_env(default))
    _check_resume(command)
    if saved is None:
        return command
    env = command.config.env or start.env
    with code_allowed(command.allow_code, [without_options(command.config.env)]):
        check_env_code(env, source_of(saved))
    return replace(command, config=replace(command.config, env=env))


def _begun(names: dict[str, str], preset: str) -> TrainConfig:
    """The settings of a run that is begun, with the parts of these names."""
    named = {part: names.get(part, choice.default) for part, choice in CHOICES.items()}
    parts = {part: options_of(part, name, preset) for part, name in named.items()}
    return TrainConfig("", **parts, **run_options(preset))


def _without_env(default: TrainCommand) -> TrainCommand:
    """The same; an environment is then one that the user named."""
    return replace(default, config=replace(default.config, env=""))


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
    """Words → the command's dataclass; tyro's complaint becomes one line.

    Raises:
        UserError: the words do not fit.
    """
    help_line, complaint = f"see: adaps {name} --help", io.StringIO()
    given = {} if default is tyro.MISSING else {"default": default}
    page: Any = Page()
    with theirs(f"the options of adaps {name} cannot be made"):
        try:
            with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(page):
                command, strangers = tyro.cli(
                    kind, prog=f"adaps {name}", args=words, return_unknown_args=True, **given
                )
        except SystemExit as stop:
            if stop.code in (0, None) and _asks_for_help(words):
                page.flush()
                raise HelpShown from None
            if not complaint.getvalue():
                raise
            raise UserError(f"{_one_line(complaint.getvalue())} ({help_line})") from None
    if strangers:
        stranger = strangers[0].partition("=")[0]
        raise unknown("option", stranger, _flags(kind, given), help_line)
    return command


def _asks_for_help(words: list[str]) -> bool:
    """Whether tyro is to print something and do no more."""
    return any(word in ("-h", "--help") or word.startswith("--tyro-") for word in words)


def _flags(kind: Any, given: dict[str, Any]) -> list[str]:
    """Every option of a command, read off its help."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], **given)
    return sorted(set(re.findall(r"--[a-z][\w.-]*\w", page.getvalue())))


def _one_line(box: str) -> str:
    """The first thing that tyro says in its box, drawn in Unicode or ASCII, below its title."""
    lines = [re.sub("^-+$", "", line.strip("│|╭╮╰╯─ ")) for line in box.strip().splitlines()]
    text = " ".join("\n".join(lines[1:]).strip().partition("\n\n")[0].split())
    if unread := re.match(r"Error parsing (\S+): .*?\[(['\"].*)\]", text):
        return f"{unread[1]} cannot be {unread[2]}"
    return text.removeprefix("Error parsing ")
