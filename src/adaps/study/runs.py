"""A study's folder: its plan, which runs are done, what failed. Stage: study."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adaps.config.saved import to_json
from adaps.config.training import TrainConfig
from adaps.errors import UserError
from adaps.files.provenance import commit, machine
from adaps.files.run_folder import CONFIG, RESULT, SCHEMA, read_json, write_json
from adaps.study.plan import Job, Study

PLAN, REFERENCES, FAILURES = "study.json", "references.json", "failures.json"


def write_plan(out: Path, study: Study, jobs: Sequence[Job]) -> None:
    """Add a study's plan to what the folder's plan says already.

    Raises:
        UserError: that plan is damaged.
    """
    plan = _plan(study, jobs)
    if (out / PLAN).exists():
        plan = _together(out, read_json(out, PLAN), plan)
    write_json(out / PLAN, plan)


def _plan(study: Study, jobs: Sequence[Job]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "title": study.title,
        "envs": list(study.envs),
        "env_options": study.envs,
        "variants": [variant._asdict() for variant in study.variants],
        "over": study.over,
        "seeds": study.seeds,
        "options": study.options,
        "machine": _machine(),
        "commit": commit(),
        "versions": {"python": platform.python_version(), "adaps": version("adaps")},
        "runs": [
            {"env": job.env, "variant": job.variant, "seed": job.seed, "folder": job.folder}
            for job in jobs
        ],
    }


def _together(out: Path, old: Any, new: dict[str, Any]) -> dict[str, Any]:
    """The new plan with what only the old one has: other environments, variants and seeds."""
    try:
        variants = {v["name"]: v for v in (*old["variants"], *new["variants"])}
        runs = {run["folder"]: run for run in (*old["runs"], *new["runs"])}
        return {
            **new,
            "envs": list(dict.fromkeys([*old["envs"], *new["envs"]])),
            "env_options": {**old["env_options"], **new["env_options"]},
            "variants": list(variants.values()),
            "over": _over(old["over"], new["over"]),
            "seeds": sorted({*old["seeds"], *new["seeds"]}),
            "runs": list(runs.values()),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{out / PLAN} is damaged: {error!r}") from None


def _over(old: Any, new: dict[str, list[str]] | None) -> dict[str, list[str]] | None:
    """Values of both where the same options vary; else it is no sweep of one kind any more."""
    if not (old and new) or list(old) != list(new):
        return None
    return {name: list(dict.fromkeys([*old[name], *new[name]])) for name in new}


def is_done(out: Path, job: Job) -> bool:
    """Whether a run is whole.

    Raises:
        UserError: the folder holds another run than this one.
    """
    folder = out / job.folder
    if not (folder / RESULT).exists():
        return False
    if differing := _difference(read_json(folder, CONFIG), job):
        raise UserError(
            f"{folder / CONFIG} is another run: {differing}; name another folder with --out, "
            "or delete that run"
        )
    try:
        return job.seed in read_json(folder, RESULT)["seeds"]
    except (UserError, KeyError, TypeError):
        return False


def _difference(saved: Any, job: Job) -> str | None:
    """The first option that a saved configuration has otherwise, in words."""
    wanted = json.loads(json.dumps(to_json(job.config)))
    found = saved.get("config") if isinstance(saved, dict) else None
    if not isinstance(found, dict):
        return "it holds no configuration"
    plain = _flat(json.loads(json.dumps(to_json(_defaults(job.config)))))
    wanted, found = _flat(wanted), _flat(found)
    for name in (*wanted, *found):
        # An option that came later is at its default in older runs.
        there, here = found.get(name, plain.get(name)), wanted.get(name)
        if there != here:
            return f"{name} is {there!r} there and {here!r} here"
    return None


def _defaults(config: TrainConfig) -> TrainConfig:
    """The same method, algorithm and encoder, with every option at its default."""
    parts = {part: type(getattr(config, part))() for part in ("sharing", "algo", "encoder")}
    return TrainConfig(env=config.env, **parts)


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by dotted name."""
    found = {}
    for name, value in config.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        found |= {f"{prefix}{name}": value} if inner is None else inner
    return found


def write_failures(out: Path, failures: dict[str, str]) -> None:
    """What went wrong by run's folder, now or before, in runs that are still not whole.

    There is no file where nothing did.
    """
    every = {**_failures(out), **failures}
    left = {folder: why for folder, why in every.items() if not (out / folder / RESULT).exists()}
    if left:
        write_json(out / FAILURES, {"schema": SCHEMA, "failures": left})
    else:
        (out / FAILURES).unlink(missing_ok=True)


def _failures(out: Path) -> dict[str, str]:
    """What went wrong before, as far as that can be read."""
    try:
        return dict(read_json(out, FAILURES)["failures"])
    except (UserError, KeyError, TypeError, ValueError):
        return {}


def _machine() -> str:
    facts = machine()
    parts = (f"{facts['cores']} cores", facts["processor"], facts["device"], platform.system())
    return ", ".join(filter(None, parts))
