"""Errors that tell a user what to do. Used by every stage."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: the message is one line that says what is wrong and what would be right."""


class HostEnvironmentError(RuntimeError):
    """An environment that runs in Python failed or broke its rules; the message is one line.

    ``trace`` is the environment's own traceback, empty where it raised nothing.
    """

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


def unknown(kind: str, name: str, known: Iterable[str], see: str | None = None) -> UserError:
    """The error for a name that does not exist, with the nearest that does.

    >>> str(unknown("sharing method", "fupz", ["nops", "fups"]))
    "unknown sharing method 'fupz'; did you mean 'fups'? (known: nops, fups)"
    """
    known = list(known)
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return UserError(f"unknown {kind} '{name}'{hint} ({see or 'known: ' + ', '.join(known)})")
