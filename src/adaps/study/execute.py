"""A study from its plan to its page; what is done already is not done again. Stage: study."""

import contextlib
from pathlib import Path
from typing import Protocol, runtime_checkable

from filelock import FileLock, Timeout
from rich.console import Console

from adaps.collect.evaluate import random_return
from adaps.envs import make
from adaps.errors import UserError
from adaps.files.run_folder import SCHEMA, check_free, read_json, write_json
from adaps.study.board import Board
from adaps.study.plan import Job, Study, jobs
from adaps.study.runs import REFERENCES, is_done, write_failures, write_plan


@runtime_checkable
class Backend(Protocol):
    """Where runs are carried out."""

    def run(self, jobs: list[Job], out: Path, board: Board) -> None:
        """Carry out ``jobs``, leave their folders under ``out`` and tell ``board``."""
        ...


def carry_out(study: Study, out: Path, backend: Backend, console: Console) -> dict[str, str]:
    """Do what is left to do of a study, in ``out``.

    Returns:
        What went wrong, by the run's folder.

    Raises:
        UserError: a run that cannot be, or a folder that holds something else or is in use.
        KeyboardInterrupt: runs that were whole by then stay.
    """
    every = jobs(study)
    check_free(out)
    left = [job for job in every if not is_done(out, job)]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0):
            return _carry_out(study, every, left, out, backend, console)
    except Timeout:
        raise UserError(f"{out} is in use by another study; wait, or name another folder") from None


def _carry_out(
    study: Study, every: list[Job], left: list[Job], out: Path, backend: Backend, console: Console
) -> dict[str, str]:
    write_plan(out, study, every)
    done = len(every) - len(left)
    before = f", {done} of them done before" if done else ""
    console.print(f"{len(every)} runs{before}: {out}", highlight=False)
    _write_references(out, {job.env: job.config.task_seed for job in every})
    board = Board(out, len(every), done, console)
    try:
        if left:
            with board.showing():
                backend.run(left, out, board)
    finally:
        write_failures(out, board.failures)
    return board.failures


def _write_references(out: Path, task_seeds: dict[str, int]) -> None:
    """What random play comes to, in environments of which it is not known yet."""
    known: dict[str, float] = {}
    # What is not there or damaged is made anew.
    with contextlib.suppress(UserError, KeyError, TypeError, AttributeError):
        saved = read_json(out, REFERENCES)["random_return"]
        known = {env: value for env, value in saved.items() if type(value) in (int, float)}
    for env, task_seed in task_seeds.items():
        if env not in known:
            known[env] = random_return(make(env, task_seed))
            write_json(out / REFERENCES, {"schema": SCHEMA, "random_return": known})
