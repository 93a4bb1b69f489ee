"""Errors that tell a user what to do. Used by every stage."""

import difflib
import errno
import os
from collections.abc import Iterable


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


class HostEnvironmentError(RunError):
    """An environment that runs in Python failed or broke its rules."""


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


def unknown(kind: str, name: str, known: Iterable[str], see: str | None = None) -> UserError:
    """The error for a name that does not exist, with the nearest that does.

    >>> str(unknown("sharing method", "fupz", ["nops", "fups"]))
    "unknown sharing method 'fupz'; did you mean 'fups'? (known: nops, fups)"
    """
    known = list(known)
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return UserError(f"unknown {kind} '{name}'{hint} ({see or 'known: ' + ', '.join(known)})")
