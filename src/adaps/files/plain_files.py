"""Files that anybody may have written, read with care; and files written whole. Every stage."""

import contextlib
import errno
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from adaps.errors import UserError
from adaps.files import processes

DEEPEST = 100
"""Lists and tables inside each other; no file that makes sense has so many."""


@contextlib.contextmanager
def open_plain(path: Path, flags: int = 0) -> Iterator[BinaryIO]:
    """A plain file, or what a link to one leads to, opened to read its bytes.

    A pipe may never have a writer and a device may have no end, so neither is waited for. A file
    with holes may claim any size, so one that would not fit into memory is not begun.

    Args:
        path: the file.
        flags: more that the operating system is to heed, such as ``os.O_NOFOLLOW``.

    Raises:
        OSError: it is no plain file, or cannot be opened; ``strerror`` says why.
    """

    def without_waiting(path: str, own: int) -> int:
        return os.open(path, own | os.O_NONBLOCK | flags)

    with open(path, "rb", opener=without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file")
        if status.st_size > free_memory():
            raise OSError(errno.EFBIG, "it is larger than the memory that is free")
        yield file


def free_memory() -> int:
    """Bytes that can be made room for."""
    return psutil.virtual_memory().available


def refuse_links(folder: Path, *below: str) -> None:
    """Refuse to write through a symbolic link, which may lead anywhere.

    Args:
        folder: may be one itself, since the user names it.
        below: paths from there, of which no part may be one.

    Raises:
        UserError: one is.
    """
    for path in map(Path, below):
        for part in (*reversed(path.parents), path):
            if part != Path() and (folder / part).is_symlink():
                raise UserError(f"{folder / part} is a symbolic link; remove it")


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


def told_json(path: Path) -> Any:
    """The same, where a user is told what is wrong.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return read_json(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def parsed(text: Any, loads: Callable[[Any], Any] = json.loads) -> Any:
    """What a text says; what it holds may be gone through without a thought of its depth.

    Raises:
        ValueError: it cannot be parsed, or is nested too deeply.
    """
    with contextlib.suppress(RecursionError):
        data = loads(text)
        if _is_shallow(data):
            return data
    raise ValueError("it is nested too deeply")


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the file and rename, so that no reader ever sees half of it.

    It is on the disk before it takes the name, so that nobody does after a power cut either. The
    file beside is named after the process that writes it, and is never another's.
    """
    own = processes.own()
    temporary = path.with_name(f".tmp-{own.pid}-{round(own.started)}-{uuid.uuid4().hex[:8]}")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers began that are dead now; they did not come to rename it."""
    for name in os.listdir(folder):
        writer = re.fullmatch(r"\.tmp-([0-9]{1,9})-([0-9]{1,12})-[0-9a-f]{8}", name)
        if writer and not processes.Process(*map(int, writer.groups())).is_alive():
            # What cannot be removed takes up space, and of that there may be enough.
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network disks keep names by themselves, and do not know the call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _is_shallow(data: Any, levels: int = DEEPEST) -> bool:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return levels > 0 and all(
        _is_shallow(each, levels - 1) for each in inner if isinstance(each, dict | list)
    )
