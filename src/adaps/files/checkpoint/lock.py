"""One writer in a run's folder at a time. Stage: train.

The operating system lets go of the lock when its holder dies, however it dies. A file beside it
says who the holder is; only what is said to whoever has to wait depends on that.
"""

import contextlib
import json
import shlex
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from adaps.errors import UserError, reason
from adaps.files.checkpoint import processes
from adaps.files.checkpoint.failures import DamagedError, InUseError
from adaps.files.checkpoint.files import read_bytes
from adaps.files.run_folder import write_json

LOCK, HOLDER = ".lock", ".lock.json"
PATIENCE = 1.0
"""Seconds for a holder to say who it is, or for one that is about to end."""


@dataclass(frozen=True)
class Holder:
    """Who writes to a run's folder."""

    pid: int
    started: float
    """When the process began, in seconds since 1970."""
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        if self.host == socket.gethostname() and self.pid == processes.own().pid:
            who = "another run in this process"
        else:
            command = f" ({self.command[:200]})" if self.command else ""
            who = f"process {self.pid} on {self.host[:100]}{command}"
        line = f"{who} since {self.since[:40]}"
        return "".join(letter if letter.isprintable() else " " for letter in line)

    def may_live(self) -> bool:
        """False where it surely does not; of other machines nothing is known."""
        elsewhere = self.host != socket.gethostname()
        return elsewhere or processes.Process(self.pid, self.started).is_alive()


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
        with _refusals(folder):
            write_json(folder / HOLDER, asdict(_own()))
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _acquired(folder: Path) -> BaseFileLock:
    until = time.monotonic() + PATIENCE
    with _refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / LOCK).is_symlink():
            raise UserError(f"{folder / LOCK} is a symbolic link; remove it")
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


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {reason(error)}") from None


def _own() -> Holder:
    try:
        command = shlex.join(psutil.Process().cmdline())
    except psutil.Error:
        command = ""
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    return Holder(
        **processes.own()._asdict(), host=socket.gethostname(), command=command, since=now
    )


def _holder(folder: Path) -> Holder | None:
    """Who says that it holds the lock, if that can be read."""
    try:
        data = json.loads(read_bytes(folder / HOLDER, range(2**16)))
        holder = Holder(**data)
    except (DamagedError, ValueError, TypeError, RecursionError):
        return None
    texts = all(isinstance(text, str) for text in (holder.host, holder.command, holder.since))
    plain = type(holder.pid) is int and type(holder.started) in (int, float)
    return holder if texts and plain else None
