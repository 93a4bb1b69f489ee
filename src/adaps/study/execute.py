"""A study from its plan to its finished runs; a run that is done is skipped. Stage: study."""

import contextlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from adaps.collect.evaluate import random_return
from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import UserError
from adaps.files import compile_cache
from adaps.files.plain_files import refuse_links
from adaps.files.run_folder import check_free, writable, write_json
from adaps.files.schema import References, as_json, read
from adaps.files.terminal import Terminal
from adaps.study.board import Board
from adaps.study.folder import is_done, write_failures, write_plan
from adaps.study.job import Backend, Job
from adaps.study.plan import Study, jobs
from adaps.types import SCHEMA

LOCK = ".lock"
WORK = "adaps.study.worker:work"
"""What carries out a job, by the name that other processes import it by."""


def carry_out(study: Study, out: Path, backend: Backend, console: Terminal) -> dict[str, str]:
    """Do what is left to do of a study, in ``out``.

    Returns:
        What went wrong, by the run's folder.

    Raises:
        UserError: a run that is not possible, or a folder that holds something else or is in use.
        KeyboardInterrupt: runs that were finished by then stay.
    """
    compile_cache.enable(out)
    every = jobs(study)
    check_free(out)
    left = [job for job in every if not is_done(out, job)]
    refuse_links(out, LOCK, *(job.folder for job in left))
    with writable(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            write_plan(out, study, every)
            num_done = len(every) - len(left)
            before = f", {num_done} of them done before" if num_done else ""
            console.print(f"{len(every)} runs{before}: {out}", soft_wrap=True)
            _write_references(out, {job.env: job.config for job in every})
            return _run(left, out, backend, Board(out, len(every), num_done, console))
    except Timeout:
        raise UserError(f"{out} is in use by another study; wait, or name another folder") from None


def _run(left: Sequence[Job], out: Path, backend: Backend, board: Board) -> dict[str, str]:
    try:
        if left:
            with board.live:
                backend.run(pkgutil.resolve_name(WORK), left, out, board)
    finally:
        write_failures(out, board.failures)
    return board.failures


def _write_references(out: Path, configs: dict[str, TrainConfig]) -> None:
    """Add the return of random play in environments of which it is not known yet."""
    known: dict[str, float] = {}
    with contextlib.suppress(UserError):  # a file that is missing or damaged is made anew
        known = read(out / References.FILE, References).known
    for env, config in configs.items():
        if env not in known or config.max_steps is not None:
            made = make(env, config.task_seed, config.agent_types)
            known[env] = random_return(made, config.max_steps)
            file = References(schema=SCHEMA, random_return=dict(known))
            write_json(out / References.FILE, as_json(file))
