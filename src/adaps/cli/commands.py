"""The ``adaps`` command: ``adaps COMMAND …``. Nothing is computed here.

A command's module is imported when the command is given: what it needs takes seconds to import.
"""

import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from adaps import __version__
from adaps.errors import Interrupted, RunError, UserError, unknown
from adaps.extensions import theirs
from adaps.files.terminal import complain, prepare, say

BAD_INPUT, FAILED, INTERRUPTED, TERMINATED = 2, 1, 130, 143

COMMANDS = {
    "train": (
        "train:run",
        "find out which agents are alike, give each kind its part of one network, train",
    ),
    "identify": ("identify:run", "which agents are alike, how many kinds, how sure; no training"),
    "compare": (
        "studies:compare",
        "environments × methods × seeds, with statistics; resumes where it was stopped",
    ),
    "sweep": (
        "studies:sweep",
        "one method with every combination of some options' values, likewise",
    ),
    "evaluate": ("evaluate:run", "fresh episodes of a trained run"),
    "play": ("play:run", "an episode as a GIF or MP4 film"),
    "report": ("report:run", "make the page of a run or study again from its result files"),
    "list": ("list:run", "environments, sharing methods and algorithms"),
    "bench": ("bench:run", "speed on this machine"),
}
"""By name, the function that takes the words after it, and what it does."""


class Terminated(Interrupted):
    """SIGTERM: stop as for Ctrl-C, with an exit code of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1, 2, 130 or 143."""
    words = list(sys.argv[1:] if argv is None else argv)
    prepare()
    try:
        with _signals_handled(), theirs(f"{' '.join(words[:1])} failed", RunError):
            return _dispatch(words)
    except UserError as error:
        complain(f"adaps: {error}")
        return BAD_INPUT
    except RunError as error:
        complain(*error.trace.splitlines(), f"adaps: {error}")
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
        say(f"adaps {__version__}")
        return 0
    if any("\0" in word for word in words):
        raise UserError("a word of the command holds a zero byte; leave it out")
    command, *rest = words
    if command.lower() not in COMMANDS:
        raise unknown("command", command, COMMANDS)
    function, _ = COMMANDS[command.lower()]
    return pkgutil.resolve_name(f"adaps.cli.{function}")(rest)


@contextmanager
def _signals_handled() -> Iterator[None]:
    """Stop in an orderly way at the first Ctrl-C or SIGTERM, and at once at the second."""
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    wishes: list[int] = []

    def stop(number: int, _: Any) -> None:
        wishes.append(codes[signal.Signals(number)])
        if len(wishes) > 1:
            _end(wishes[0])
        raise Terminated if number == signal.SIGTERM else Interrupted

    # What a shell has a command in the background ignore, it goes on to ignore.
    before = {n: h for n in codes if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, stop)
        Interrupted.is_heard = True
        yield
    finally:
        Interrupted.is_heard = False
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(code: int) -> None:
    """End at once, and the processes of this one with it."""
    with suppress(Exception):  # it may be that they are just being begun
        for process in multiprocessing.active_children():
            process.kill()
    os._exit(code)


def _print_overview() -> None:
    say(
        "usage: adaps COMMAND [OPTIONS]",
        "",
        "Which agents of a team should share a network, and train them.",
        "",
        *(f"  {name:<9} {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "adaps COMMAND --help shows a command's options; adaps --version the version.",
    )
