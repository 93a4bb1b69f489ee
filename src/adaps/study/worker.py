"""One run of a study, in whatever process it is sent to. Stage: study."""

import contextlib
import time
import traceback
from pathlib import Path

from adaps.config.training import TrainConfig
from adaps.envs import make
from adaps.errors import RunError, UserError
from adaps.extensions import theirs
from adaps.files.checkpoint import InUseError, Series, locked, numbers
from adaps.files.plain_files import replace
from adaps.files.run_folder import CONFIG, METRICS, RESULT
from adaps.files.schema import Result, read, short_form
from adaps.study.job import Job, Outcome
from adaps.training.progress import Watch
from adaps.training.result import memory_mb
from adaps.training.resume import Resume, holds_run
from adaps.training.run import run

ERROR = "error.txt"
"""In the folder of a run that failed: the traceback, where one line does not say everything."""


def work(job: Job, out: Path) -> Outcome:
    """Train and leave a run's folder; a failure is returned, not raised."""
    started = time.perf_counter()
    folder = out / job.folder
    value, failure, warnings = None, None, ()
    try:
        with theirs("", RunError):
            _train(job.config, folder)
            (folder / ERROR).unlink(missing_ok=True)
            result = read(folder / RESULT, Result)
            value = result.return_mean
            warnings = tuple(map(short_form, result.warnings_of(job.seed)))
    except UserError as error:
        # The line is enough, and the folder may belong to another run.
        failure = str(error)
    except RunError as error:
        failure = str(error)
        # Where the disk is full, the line alone has to do.
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            text = error.trace + traceback.format_exc()
            replace(folder / ERROR, lambda beside: beside.write_text(text))
    return Outcome(time.perf_counter() - started, memory_mb(), value, failure, warnings)


def _train(config: TrainConfig, folder: Path) -> None:
    """Resume what an earlier process left; begin where it saved nothing.

    Raises:
        UserError: another process writes there; or what was saved cannot be resumed.
    """
    if holds_run(folder):
        _clear(config, folder)
    env = make(config.env, config.task_seed, config.agent_types)
    try:
        run(env, config, folder, Watch(), resume=Resume(advice="leave that as it was"))
    except InUseError:
        raise
    except UserError as error:
        if not _has_checkpoints(config, folder):
            raise
        raise UserError(f"{error}; to begin this run anew, remove {folder}") from None


def _clear(config: TrainConfig, folder: Path) -> None:
    """A run that ended before its first checkpoint is begun anew, whatever its settings were."""
    with locked(folder):
        if not _has_checkpoints(config, folder):
            for name in (CONFIG, METRICS):
                (folder / name).unlink(missing_ok=True)


def _has_checkpoints(config: TrainConfig, folder: Path) -> bool:
    """Whether there are any, be they damaged."""
    return folder.is_dir() and bool(numbers(Series(folder, config.seed)))
