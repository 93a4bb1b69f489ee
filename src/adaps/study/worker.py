"""One run of a study, in whatever process it is sent to. Stage: study."""

import json
import shutil
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from adaps.config import TrainConfig, to_json
from adaps.envs import make
from adaps.errors import UserError
from adaps.host import HostStages
from adaps.progress import Watch
from adaps.result import memory_mb
from adaps.resume import Resume
from adaps.run_folder import RESULT, read_json
from adaps.running import run, stages_of
from adaps.stages import Stages
from adaps.study.plan import Job
from adaps.types import AnyEnvironment

ERROR = "error.txt"
"""In the folder of a run that failed: the whole story."""


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
        if (folder / ERROR).exists():
            shutil.rmtree(folder)
        programs = _programs(job.config)
        _go_on(programs, job.config, folder)
        value, failure = read_json(folder, RESULT)["return_mean"], None
    except Exception as error:
        value = None
        failure = " ".join("".join(traceback.format_exception_only(error)).split())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR).write_text(traceback.format_exc())
    return Outcome(time.perf_counter() - started, memory_mb(), value, failure)


def _go_on(programs: Programs, config: TrainConfig, folder: Path) -> None:
    """Train from where an earlier process left it; from the beginning where that is of no use."""
    try:
        run(programs.env, config, folder, Watch(), programs.stages, resume=Resume())
    except UserError:
        shutil.rmtree(folder)
        run(programs.env, config, folder, Watch(), programs.stages)


def _programs(config: TrainConfig) -> Programs:
    """Those of the run before, if only the seed is another: they need not be compiled again."""
    setting = json.dumps(to_json(replace(config, seed=0)))
    if not _last or _last[0].setting != setting:
        env = make(config.env, config.task_seed)
        _last[:] = [Programs(setting, env, stages_of(env, config, num_seeds=1))]
    return _last[0]
