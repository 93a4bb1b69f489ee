"""Files that anybody may have written, read with care. Used by every stage."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

DEEPEST = 100
"""Lists and tables inside each other; no file that makes sense has so many."""


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """A plain file, or what a link to one leads to, opened to read its bytes.

    A pipe may never have a writer and a device may have no end, so neither is waited for.

    Raises:
        OSError: it is no plain file, or cannot be opened; ``strerror`` says why.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        yield file


def read_text(path: Path) -> str:
    """A plain file's text.

    Raises:
        OSError: as :func:`open_plain`.
        ValueError: it is not in UTF-8.
    """
    with open_plain(path) as file:
        return file.read().decode("utf-8")


def read_json(path: Path) -> Any:
    """A plain file's data.

    Raises:
        OSError: as :func:`open_plain`.
        ValueError: it is not JSON.
    """
    return parsed(read_text(path))


def parsed(text: str, loads: Callable[[str], Any] = json.loads) -> Any:
    """What a text says; what it holds may be gone through without a thought of its depth.

    Raises:
        ValueError: it cannot be parsed, or is nested too deeply.
    """
    with contextlib.suppress(RecursionError):
        data = loads(text)
        if _is_shallow(data):
            return data
    raise ValueError("it is nested too deeply")


def _is_shallow(data: Any) -> bool:
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
