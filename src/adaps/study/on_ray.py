"""Runs as tasks of an existing Ray cluster, their files brought to this machine. Stage: study.

Imported only where it is asked for: Ray is an extra.
"""

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from filelock import FileLock

from adaps.errors import UserError, shown
from adaps.study.job import ATTEMPTS, GIB, Job, Listener, Outcome, Worker, check_memory

ANSWER_SECONDS = 5.0
"""How long to wait until a connection is made."""
JOIN_SECONDS = 60.0
"""How long joining the cluster may take, in a process that is new."""
JOIN = """
import sys, ray
try:
    ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
except BaseException as error:
    sys.exit(" ".join(str(error).split()))
"""
"""What a process is to run that sees whether there is a cluster."""
PREFIX = "adaps-ray-"
"""Of the names of runs' folders on the nodes."""

Files = dict[str, bytes]
"""A run's files by their path in its folder."""


class OnRay:
    """Carries out runs on a Ray cluster; a run whose node dies is begun anew on another."""

    def __init__(self, address: str, cpus: float, gpus: float, memory_gib: float) -> None:
        """Choose a cluster, and what it is to set aside for each run.

        Args:
            address: as ``ray.init`` takes it; ``auto`` finds a cluster that this machine is in.
            cpus: cores.
            gpus: share of a GPU.
            memory_gib: memory, in 2³⁰ bytes.

        Raises:
            UserError: out of range, or no cluster answers at the address.
        """
        check_memory(memory_gib)
        _check_connects(address)
        _check_joins(address)
        self.address = address
        self.needs: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "memory": int(memory_gib * GIB),
            "max_retries": ATTEMPTS,
        }

    def run(self, work: Worker, jobs: Sequence[Job], out: Path, listener: Listener) -> None:
        """Carry out ``jobs`` with ``work`` and tell ``listener``; returns when all have ended.

        Raises:
            UserError: there is no such cluster.
            KeyboardInterrupt: after its tasks have been cancelled.
        """
        task = ray.remote(_work_there).options(**self.needs)
        with _connected(self.address):
            waiting = {task.remote(work, job): job for job in jobs}
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1)
                for reference in ended:
                    job = waiting.pop(reference)
                    listener.ended(job, _collected(reference, job, out))


def _check_connects(address: str) -> None:
    """Say soon that nothing listens there: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
    except (OSError, OverflowError, ValueError) as error:
        raise _no_cluster(address, str(error)) from None


def _check_joins(address: str) -> None:
    """See in another process that it is a cluster that listens.

    Where something else does, or a cluster that hangs, Ray never returns and cannot be interrupted.
    """
    try:
        words = [sys.executable, "-P", "-c", JOIN, address]
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=JOIN_SECONDS)
    except subprocess.TimeoutExpired:
        reason = f"it did not answer within {JOIN_SECONDS:g} seconds"
        raise _no_cluster(address, reason) from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().rpartition("\n")[2] or "it could not be joined"
        raise _no_cluster(address, reason) from None


def _no_cluster(address: str, reason: str) -> UserError:
    reason = shown(reason, str, 300)
    return UserError(
        f"no Ray cluster at --ray-address {address}: {reason} (ray start --head starts one)"
    )


@contextlib.contextmanager
def _connected(address: str):
    """A connection whose end cancels what it has begun."""
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(address, str(error)) from None
    try:
        yield
    finally:
        ray.shutdown()


def _work_there(work: Worker, job: Job) -> tuple[Outcome, Files]:
    """On a node: the run, and everything that it wrote."""
    with _temporary_folder() as out:
        outcome = work(job, out)
        folder = out / job.folder
        files = [path for path in folder.rglob("*") if path.is_file()]
        return outcome, {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for one run, removed afterwards, with those of runs that were killed on this node.

    A lock beside the folder tells whether its run is still alive.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*.lock"):
        if left.is_symlink() or left.lstat().st_uid != os.geteuid():
            continue  # another user's: everybody may write there
        with contextlib.suppress(OSError), FileLock(left, timeout=0):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, FileLock(f"{folder}.lock"):
        try:
            yield Path(folder)
        finally:
            Path(f"{folder}.lock").unlink(missing_ok=True)


def _collected(reference: Any, job: Job, out: Path) -> Outcome:
    """Put a run's files into its folder, all or none."""
    try:
        outcome, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Outcome(0.0, 0.0, None, shown(error, str, 300))
    if not files:  # it failed before it had written any
        return outcome
    folder = out / job.folder
    beside = folder.with_name(f".{folder.name}")
    for place in (beside, folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place)
    for name, content in files.items():
        path = beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    beside.rename(folder)
    return outcome
