"""A study's folder: its plan, which runs are done, what failed. Stage: study."""

import contextlib
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec

from adaps.config.saved import from_json, to_json
from adaps.envs.description import differences
from adaps.errors import CodeError, UserError
from adaps.files.provenance import commit, machine
from adaps.files.run_folder import CONFIG, RESULT, read_json, write_json
from adaps.files.schema import Failures, Plan, Planned, as_json, read
from adaps.study.job import Job
from adaps.study.plan import Study
from adaps.types import SCHEMA

T = TypeVar("T")


def write_plan(out: Path, study: Study, jobs: Sequence[Job]) -> None:
    """Add a study's plan to the one that the folder has already.

    Raises:
        UserError: that plan is damaged.
    """
    plan = Plan(
        schema=SCHEMA,
        title=study.title,
        envs=list(study.envs),
        env_options=study.envs,
        variants=study.variants,
        swept=study.over,
        seeds=study.seeds,
        options=study.options,
        machine=_machine(),
        commit=commit(),
        versions={"python": platform.python_version(), "adaps": version("adaps")},
        runs=[Planned(job.env, job.variant, job.seed, job.folder) for job in jobs],
    )
    if (out / Plan.FILE).exists():
        plan = _merged(read(out / Plan.FILE, Plan), plan)
    write_json(out / Plan.FILE, as_json(plan))


def _merged(old: Plan, new: Plan) -> Plan:
    """The new plan, and what only the old one has: other environments, variants and seeds."""
    return msgspec.structs.replace(
        new,
        envs=_unique([*old.envs, *new.envs]),
        env_options={**old.env_options, **new.env_options},
        variants=list({v.name: v for v in (*old.variants, *new.variants)}.values()),
        swept=_merged_over(old.swept, new.swept),
        seeds=sorted({*old.seeds, *new.seeds}),
        runs=list({run.folder: run for run in (*old.runs, *new.runs)}.values()),
    )


def _merged_over(
    old: dict[str, list[str]] | None, new: dict[str, list[str]] | None
) -> dict[str, list[str]] | None:
    """Values of both where the same options vary; else the study is no longer a sweep."""
    if not (old and new) or list(old) != list(new):
        return None
    return {name: _unique([*old[name], *new[name]]) for name in new}


def _unique(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def is_done(out: Path, job: Job) -> bool:
    """Whether a run is finished.

    Raises:
        UserError: the folder holds another run than this one.
    """
    folder = out / job.folder
    if not (folder / RESULT).exists():
        return False
    advice = "name another folder with --out, or delete that run"
    try:
        # What this study names is imported by now, and no other code is needed to compare.
        saved = to_json(from_json(folder / CONFIG, study=out))
    except CodeError:
        raise UserError(
            f"{folder / CONFIG} is another run: it names code that this study does not; {advice}"
        ) from None
    for difference in differences(saved, to_json(job.config)):
        raise UserError(f"{folder / CONFIG} is another run: {difference}; {advice}")
    try:
        return job.seed in read_json(folder, RESULT)["seeds"]
    except (UserError, KeyError, TypeError):
        return False


def write_failures(out: Path, failures: dict[str, str]) -> None:
    """Save why runs failed, now or before, of runs that are still not finished.

    The file is removed where there are none.
    """
    with contextlib.suppress(UserError):  # nothing failed before, or the file is damaged
        failures = {**read(out / Failures.FILE, Failures).failures, **failures}
    left = {folder: why for folder, why in failures.items() if not (out / folder / RESULT).exists()}
    if left:
        write_json(out / Failures.FILE, as_json(Failures(schema=SCHEMA, failures=left)))
    else:
        (out / Failures.FILE).unlink(missing_ok=True)


def _machine() -> str:
    facts = machine()
    parts = (f"{facts['cores']} cores", facts["processor"], facts["device"], platform.system())
    return ", ".join(filter(None, parts))
