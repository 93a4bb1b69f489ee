"""Runs as tasks of an existing Ray cluster, their files brought to this machine. Stage: study.

Imported only where it is asked for: Ray is an extra.
"""

import contextlib
import logging
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from filelock import FileLock

from adaps.errors import UserError
from adaps.study.board import Board
from adaps.study.local import ATTEMPTS, GIB
from adaps.study.plan import Job
from adaps.study.worker import Outcome, work

PATIENCE_SECONDS = 5.0
"""For an answer of the cluster."""
PLACE = "adaps-ray-"
"""How the names of runs' folders on the nodes begin."""

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
            UserError: nothing answers at the address.
        """
        _check_answers(address)
        self.address = address
        self.needs: dict[str, Any] = {
            "num_cpus": cpus,
            "num_gpus": gpus,
            "memory": int(memory_gib * GIB),
            "max_retries": ATTEMPTS,
        }

    def run(self, jobs: Sequence[Job], out: Path, board: Board) -> None:
        """Carry out ``jobs`` and tell ``board``; returns when all have ended.

        Raises:
            UserError: there is no such cluster.
            KeyboardInterrupt: after its tasks have been cancelled.
        """
        task = ray.remote(_work_there).options(**self.needs)
        with _connected(self.address):
            waiting = {task.remote(job): job for job in jobs}
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1)
                for reference in ended:
                    job = waiting.pop(reference)
                    board.ended(job, _gathered(reference, job, out))


def _check_answers(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(
        f"no Ray cluster at --ray-address {address}: {reason} (ray start --head starts one)"
    )


@contextlib.contextmanager
def _connected(address: str):
    """A connection whose end cancels what it has begun."""
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(address, error) from None
    try:
        yield
    finally:
        ray.shutdown()


def _work_there(job: Job) -> tuple[Outcome, Files]:
    """On a node: the run, and everything that it wrote."""
    with _own_place() as place:
        outcome = work(job, place)
        folder = place / job.folder
        files = [path for path in folder.rglob("*") if path.is_file()]
        return outcome, {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextlib.contextmanager
def _own_place() -> Iterator[Path]:
    """A folder for one run, gone afterwards; so are those of runs that were killed on this node.

    A lock beside the folder tells whether its run still goes on.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PLACE}*.lock"):
        with contextlib.suppress(OSError), FileLock(left, timeout=0):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink()
    with tempfile.TemporaryDirectory(prefix=PLACE) as place, FileLock(f"{place}.lock"):
        try:
            yield Path(place)
        finally:
            Path(f"{place}.lock").unlink(missing_ok=True)


def _gathered(reference: Any, job: Job, out: Path) -> Outcome:
    """Put a run's files where they belong, as a whole."""
    try:
        outcome, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Outcome(0.0, 0.0, None, " ".join(str(error).split())[:300])
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
