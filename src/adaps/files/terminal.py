"""Text on the terminal: nothing else in this package prints. Stage: none; every command ends here.

What others have written, such as the names of agents and folders or the message of an error, is
shown as it is: nothing in it is taken for markup or an emoji's code, and characters that would move
the cursor, break the line or not be seen are spelled out.
"""

import contextlib
import errno
import io
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from adaps.errors import StorageError, refusal

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what is spelled out: controls, what changes direction, half characters,
and breaks of lines."""
LAST_STREAM = 2
"""Number of the stream where errors go."""


def visible(text: Any) -> str:
    r"""A text on one line, with every character of it to be seen.

    >>> print(visible("tiger\x1b[2K\n\u202eadaps: done"))
    tiger\x1b[2K\n\u202eadaps: done
    """
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in UNSEEN else each
        for each in str(text)
    )


def say(*lines: Any) -> None:
    """Print lines for whoever asked; each stays one line."""
    _write(sys.stdout, lines)


def complain(*lines: Any) -> None:
    """Print lines beside what was asked for."""
    _write(sys.stderr, lines)


def _write(stream: Any, lines: Iterable[Any]) -> None:
    out = Stream(stream)
    out.write("".join(f"{visible(line)}\n" for line in lines))
    out.flush()


class Terminal(Console):
    """A console that shows every text as it is: on the standard output, or where errors go."""

    def __init__(self, errors: bool = False, **options: Any) -> None:
        stream = Stream(sys.stderr if errors else sys.stdout)
        super().__init__(**{"file": stream, **options}, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, *, style: Any = "", **how: Any) -> Text:
        return Text(visible(text), style, justify=how.get("justify"), overflow=how.get("overflow"))


class Stream:
    """A stream of this process, which is given up where nobody reads it any more.

    Raises:
        StorageError: what is printed goes to a file, and its disk is full.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._is_output = stream, stream is sys.stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._unless_given_up(self._stream.write, text) or 0

    def flush(self) -> None:
        self._unless_given_up(self._stream.flush)

    def _unless_given_up(self, function: Any, *args: Any) -> Any:
        if self._stream.closed:  # by somebody's code
            return None
        try:
            return function(*args)
        except OSError as error:
            self._give_up()
            if error.errno == errno.ENOSPC and self._is_output:
                text = f"cannot write to the standard output: {refusal(error)}"
                raise StorageError(text) from None

    def _give_up(self) -> None:
        """Send what is still to be written nowhere: at its end the process would try once more."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with contextlib.suppress(OSError):  # it has no number
            os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class Page(Stream):
    """The standard output, for a library that prints more than is ours: colours and lines stay."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def write(self, text: str) -> int:
        parts = re.split(r"(\n|\x1b\[[0-9;]*m)" if self.isatty() else r"(\n)", text)
        parts[::2] = map(visible, parts[::2])
        return super().write("".join(parts))


def prepare() -> None:
    """Put streams where the process was begun without, and let them take every character.

    Where one is missing, the first file that is opened gets its number, and is printed into.
    """
    while (unused := os.open(os.devnull, os.O_RDWR)) <= LAST_STREAM:
        pass
    os.close(unused)
    sys.stdout, sys.stderr = sys.stdout or os.fdopen(1, "w"), sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
