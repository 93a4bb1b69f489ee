"""One run of a study, in whatever process it is sent to. Stage: study."""

import contextlib
import json
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from adaps.config.training import TrainConfig, to_json
from adaps.envs import make
from adaps.errors import RunError, UserError
from adaps.files.checkpoint import InUseError, Series, locked, numbers
from adaps.files.run_folder import CONFIG, METRICS, RESULT, read_json
from adaps.study.plan import Job
from adaps.training.host import HostStages
from adaps.training.progress import Watch
from adaps.training.result import memory_mb
from adaps.training.resume import Resume, holds_run
from adaps.training.run import run, stages_of
from adaps.training.stages import Stages
from adaps.types import AnyEnvironment

ERROR = "error.txt"
"""In the folder of a run that failed: the whole story, where one line does not say it."""


class Outcome(NamedTuple):
    """How a run ended."""

    seconds: float
    memory_mb: float
    """What the process holds afterwards, in 2²⁰ bytes."""
    value: float | None
    """Greedy return at the end; None where the run failed."""
    failure: str | None = None
    """In one line."""


class Programs(NamedTuple):
    """Compiled for one setting, whatever the seed."""

    setting: str
    env: AnyEnvironment
    stages: Stages | HostStages


_last: list[Programs] = []


def work(job: Job, out: Path) -> Outcome:
    """Train and leave a run's folder; a failure is told, not raised."""
    started = time.perf_counter()
    folder = out / job.folder
    try:
        _go_on(job.config, folder)
        value, failure = read_json(folder, RESULT)["return_mean"], None
        (folder / ERROR).unlink(missing_ok=True)
    except UserError as error:
        # One line says it all; and the folder may be another's.
        value, failure = None, str(error)
    except Exception as error:
        value, failure = None, _one_line(error)
        # Where the disk is full, the line alone has to do.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ERROR).write_text(traceback.format_exc())
    return Outcome(time.perf_counter() - started, memory_mb(), value, failure)


def _go_on(config: TrainConfig, folder: Path) -> None:
    """Train from where an earlier process left it; from the beginning where it saved nothing.

    Raises:
        UserError: another process writes there; or what was saved cannot be resumed.
    """
    if holds_run(folder):
        _clear(config, folder)
    env, stages = _programs(config)[1:]
    try:
        run(env, config, folder, Watch(), stages, resume=Resume(advice="leave that as it was"))
    except InUseError:
        raise
    except UserError as error:
        if not _has_checkpoints(config, folder):
            raise
        raise UserError(f"{error}; to begin this run anew, remove {folder}") from None


def _clear(config: TrainConfig, folder: Path) -> None:
    """A run that ended before its first checkpoint is begun anew, whatever it was told to do."""
    with locked(folder):
        if not _has_checkpoints(config, folder):
            for name in (CONFIG, METRICS):
                (folder / name).unlink(missing_ok=True)


def _has_checkpoints(config: TrainConfig, folder: Path) -> bool:
    """Whether there are any, be they damaged."""
    return folder.is_dir() and bool(numbers(Series(folder, config.seed)))


def _one_line(error: Exception) -> str:
    if isinstance(error, RunError):
        return str(error)
    return " ".join("".join(traceback.format_exception_only(error)).split())


def _programs(config: TrainConfig) -> Programs:
    """Those of the run before, if only the seed is another: they need not be compiled again."""
    setting = json.dumps(to_json(replace(config, seed=0)))
    if not _last or _last[0].setting != setting:
        env = make(config.env, config.task_seed)
        _last[:] = [Programs(setting, env, stages_of(env, config, num_seeds=1))]
    return _last[0]
