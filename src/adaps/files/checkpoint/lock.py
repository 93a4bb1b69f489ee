"""One writer in a run's folder at a time. Stage: train.

The operating system lets go of the lock when its holder dies, however it dies. A file beside it
says who the holder is; only what is said to whoever has to wait depends on that.
"""

import contextlib
import os
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
from filelock import BaseFileLock, FileLock, Timeout

from adaps.errors import UserError
from adaps.files import processes
from adaps.files.checkpoint.content import one_line
from adaps.files.plain_files import open_plain, refuse_links
from adaps.files.run_folder import writable, write_json

LOCK, HOLDER = ".lock", ".lock.json"
PATIENCE = 1.0
"""Seconds for a holder to say who it is, or for one that is about to end."""


class InUseError(UserError):
    """Another process, or another run in this one, writes to a run's folder."""


class Holder(msgspec.Struct):
    """Who writes to a run's folder."""

    pid: Annotated[int, msgspec.Meta(ge=0)]
    started: float
    """When the process began, in seconds since 1970."""
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        if self.host == socket.gethostname() and self.pid == os.getpid():
            who = "another run in this process"
        else:
            command = f" ({one_line(self.command)})" if self.command else ""
            who = f"process {self.pid} on {one_line(self.host)}{command}"
        return f"{who} since {one_line(self.since)}"

    def may_live(self) -> bool:
        """False where it surely does not; of other machines nothing is known."""
        return (
            self.host != socket.gethostname()
            or processes.Process(self.pid, self.started).is_alive()
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the one writer in a run's folder, which is made if it is not there.

    Two runs in one process shut each other out as two processes do.

    Raises:
        InUseError: someone else is, with who it is.
        UserError: the folder cannot be written to.
    """
    lock = _acquired(folder)
    try:
        with writable(folder):
            write_json(folder / HOLDER, msgspec.structs.asdict(_own()))
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _acquired(folder: Path) -> BaseFileLock:
    until = time.monotonic() + PATIENCE
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        refuse_links(folder, LOCK)
        lock = FileLock(folder / LOCK, timeout=0)
        while True:
            try:
                lock.acquire()
                return lock
            except Timeout:
                holder = _holder(folder)
            known = holder is not None and holder.may_live()
            if known or time.monotonic() > until:
                who = holder if known else "a process that has not said who it is"
                raise InUseError(
                    f"{folder} is in use by {who}; wait for it to end, or name another folder"
                ) from None
            time.sleep(0.02)


def _own() -> Holder:
    try:
        command = shlex.join(psutil.Process().cmdline())
    except psutil.Error:
        command = ""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    return Holder(*processes.own(), host=socket.gethostname(), command=command, since=now)


def _holder(folder: Path) -> Holder | None:
    """Who says that it holds the lock, if that can be read."""
    try:
        with open_plain(folder / HOLDER, os.O_NOFOLLOW) as file:
            return msgspec.json.decode(file.read(2**16), type=Holder)
    except (OSError, msgspec.DecodeError, ValueError, RecursionError):
        return None
