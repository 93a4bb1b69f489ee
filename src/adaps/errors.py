"""Errors that tell a user what to do. Used by every stage."""

import difflib
import errno
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, ClassVar


class UserError(ValueError):
    """Bad input: the message is one line that says what is wrong and what would be right."""


class CodeError(UserError):
    """A file names code that the user did not allow."""


class RunError(RuntimeError):
    """Something that a run could not continue after; the message is one line that says what to do.

    ``trace`` is somebody else's traceback, where there is one.
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


class Stopped(Exception):  # noqa: N818
    """A run was told to stop; what it has come to is in its journal."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, as the ``adaps`` command hears it: no code that is called can mean it."""

    is_heard: ClassVar[bool] = False
    """Whether Ctrl-C raises this in this process, and not ``KeyboardInterrupt``."""


class HelpShown(SystemExit):
    """A command was asked for its help and has shown it."""


class HostEnvironmentError(RunError):
    """An environment, which mostly is one that runs in Python, failed or broke its rules."""


class EndlessEpisodeError(RunError):
    """An episode of evaluation did not come to an end."""


class NotFiniteError(RunError):
    """A loss or a gradient was not a finite number."""


class StorageError(RunError):
    """The operating system would not take what a run had to write."""


STORAGE_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
    errno.EROFS: "make the disk writable, or name another folder with --out",
    errno.ENOENT: "put the folder back; it was there when the run began",
    errno.ENOTDIR: "put the folder back; it was there when the run began",
    errno.ENOTEMPTY: "end the other run that writes there",
    errno.EEXIST: "end the other run that writes there",
}
"""What to do, by the number of an operating system's error."""


def refusal(error: OSError) -> str:
    """The operating system's words, and what to do.

    >>> refusal(OSError(errno.ENOSPC, "as some library says it"))
    'No space left on device; free some space'
    """
    todo = STORAGE_ADVICE.get(error.errno or 0, "check the disk")
    return f"{reason(error)}; {todo}"


def reason(error: OSError) -> str:
    """The operating system's words.

    >>> reason(OSError(errno.ENOSPC, "as some library says it"))
    'No space left on device'
    """
    return os.strerror(error.errno) if error.errno else str(error)


def is_interrupt(error: BaseException) -> bool:
    """Whether the user wants to stop, rather than that somebody's code raised the same.

    Both are alike in a user's script; not so in the ``adaps`` command and in processes that leave
    Ctrl-C to the one above them.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    kind = Interrupted if is_ignored or Interrupted.is_heard else KeyboardInterrupt
    return isinstance(error, kind)


def shown(thing: Any, write: Callable[[Any], str] = repr, length: int = 100) -> str:
    r"""Somebody's object in one line of at most so many characters, whatever it says of itself.

    >>> shown(["a", "b"]), shown("one  two\nthree", str), shown("x" * 1_000, str, 3)
    ("['a', 'b']", 'one two three', 'x …')
    """
    try:
        text = " ".join(write(thing).split())
    except BaseException as error:
        if is_interrupt(error):
            raise
        return f"a {type(thing).__name__} that cannot be shown"
    return text if len(text) <= length else f"{text[: length - 2]} …"


def listed(names: Iterable[str]) -> str:
    """Names one after the other, each told from the next.

    >>> listed(["depot", "north", "depot, north"])
    "depot, north, 'depot, north'"
    """
    return ", ".join(map(quoted, names))


def quoted(name: str) -> str:
    """A name, in quotes where it would be read as two in a list, or as another."""
    plain = name and name == name.strip() and not set(name) & set(",;") and name[0] not in "'\""
    return name if plain else repr(name)


def unknown(kind: str, name: str, known: Iterable[str], see: str | None = None) -> UserError:
    """The error for a name that does not exist, with the nearest that does.

    >>> str(unknown("sharing method", "fupz", ["nops", "fups"]))
    "unknown sharing method 'fupz'; did you mean 'fups'? (known: nops, fups)"
    """
    known = list(known)
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return UserError(f"unknown {kind} '{name}'{hint} ({see or 'known: ' + ', '.join(known)})")
