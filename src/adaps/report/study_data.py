"""What a study's folder holds, read and checked. Stage: report."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from adaps.errors import UserError
from adaps.files.run_folder import CONFIG, METRICS, RESULT
from adaps.report.data import Point, Run, Settings, Totals, read_run
from adaps.report.reading import as_number, as_text, as_whole, read

STUDY, REFERENCES, FAILURES = "study.json", "references.json", "failures.json"
NAMED = ("sharing", "algo", "encoder")
"""Options that select something by its name; a configuration has its name and options there."""
RESOLVED = ("gather_steps", "seed", "seeds", "workers")
"""Settings whose value a run may choose otherwise than it was told."""
LARGEST = 1e30
"""A number beyond this is damage, not a result, and would overflow in the statistics."""


class Variant(NamedTuple):
    """One of the things that are compared."""

    name: str
    """What people call it: any text."""
    options: dict[str, str]


class Planned(NamedTuple):
    """One run of the plan: one variant in one environment with one seed."""

    env: str
    variant: str
    seed: int
    folder: str
    """From the study's folder."""


class Plan(NamedTuple):
    """``study.json``."""

    title: str
    envs: list[str]
    variants: list[Variant]
    over: dict[str, list[str]]
    """In a sweep, the options that vary and their values; otherwise empty."""
    seeds: list[int]
    options: dict[str, str]
    machine: str | None
    commit: str | None
    versions: dict[str, str]
    runs: list[Planned]


class Finished(NamedTuple):
    """What one run came to."""

    planned: Planned
    value: float
    """Greedy return at the end."""
    best: float | None
    """The planner's bound; None where the environment has none."""
    regret: float | None
    parameters: int
    rand_index: float | None
    steps_per_second: float | None
    wall_seconds: float | None
    points: list[Point]
    """Its evaluations, in the order of their steps."""


class LeftOut(NamedTuple):
    """A run that is no part of the statistics."""

    planned: Planned
    reason: str
    """Names the file."""


class Study(NamedTuple):
    """All that is known of a study."""

    folder: Path
    plan: Plan
    runs: list[Finished]
    left_out: list[LeftOut]
    random_return: dict[str, float]
    """What random play comes to, of the environments where it is known."""
    remarks: list[str]
    """What is wrong with files that the study can do without."""

    def of(self, env: str, variant: str) -> list[Finished]:
        """Finished runs of one variant in one environment."""
        return [run for run in self.runs if run.planned[:2] == (env, variant)]


def read_study(folder: Path) -> Study:
    """Everything that a study's folder holds so far.

    Raises:
        UserError: there is no plan or a damaged one, a run's folder is not inside the study's, or
            no run is finished; one line that names the file.
    """
    plan = read(folder, STUDY, _plan)
    for planned in plan.runs:
        _check_inside(folder, planned)
    remarks: list[str] = []
    random_return = _optional(folder, REFERENCES, _references, remarks)
    failures = {}
    if (folder / FAILURES).exists():
        failures = _optional(folder, FAILURES, _failures, remarks)
    runs, left_out = [], []
    for planned in plan.runs:
        try:
            runs.append(_read_planned(folder, plan, planned))
        except UserError as error:
            failed = failures.get(planned.folder)
            reason = f"it failed: {failed} ({FAILURES})" if failed else str(error)
            left_out.append(LeftOut(planned, _from_here(folder, reason)))
    if not runs:
        why = f"; the first, {left_out[0].reason}" if left_out else ""
        raise UserError(f"{folder / STUDY}: no run of this study is finished{why}")
    return Study(folder, plan, runs, left_out, random_return, remarks)


def _from_here(folder: Path, text: str) -> str:
    """Paths as seen from the study's folder: shorter, and the same wherever the folder lies."""
    return " ".join(text.replace(f"{folder}/", "").split())


def _optional(
    folder: Path, name: str, build: Callable[[Any], dict[str, Any]], remarks: list[str]
) -> dict[str, Any]:
    """A file that the study can do without; what is wrong with it goes to the ``remarks``."""
    try:
        return read(folder, name, build)
    except UserError as error:
        remarks.append(_from_here(folder, str(error)))
        return {}


def _plan(data: Any) -> Plan:
    plan = Plan(
        title=as_text(data["title"]),
        envs=_texts(data["envs"]),
        variants=[Variant(as_text(v["name"]), _options(v["options"])) for v in data["variants"]],
        over={option: _texts(values) for option, values in (data["over"] or {}).items()},
        seeds=[as_whole(seed) for seed in data["seeds"]],
        options=_options(data["options"]),
        machine=_text_or_none(data.get("machine")),
        commit=_text_or_none(data.get("commit")),
        versions={name: str(version) for name, version in data.get("versions", {}).items()},
        runs=[
            Planned(as_text(r["env"]), as_text(r["variant"]), as_whole(r["seed"]), r["folder"])
            for r in data["runs"]
        ],
    )
    _check_plan(plan)
    return plan


def _check_plan(plan: Plan) -> None:
    names = [variant.name for variant in plan.variants]
    for what, values in (
        ("environments", plan.envs),
        ("variants", names),
        ("folders", [as_text(planned.folder) for planned in plan.runs]),
        ("runs", [planned[:3] for planned in plan.runs]),
    ):
        if not values or len(set(values)) < len(values):
            raise ValueError(f"its {what} must be different, and at least one")
    for planned in plan.runs:
        if planned.env not in plan.envs or planned.variant not in names:
            raise ValueError(f"run {planned.folder!r} is of no environment or variant of the study")


def _texts(values: Any) -> list[str]:
    return [as_text(value) for value in values]


def _options(data: Any) -> dict[str, str]:
    return {name: as_text(value) for name, value in data.items()}


def _text_or_none(value: Any) -> str | None:
    return None if value is None else as_text(value)


def _references(data: Any) -> dict[str, float]:
    known = {name: as_number(value) for name, value in data["random_return"].items()}
    return {name: _in_range(value) for name, value in known.items() if value is not None}


def _failures(data: Any) -> dict[str, str]:
    return _options(data["failures"])


def _check_inside(folder: Path, planned: Planned) -> None:
    """A plan must not make the report read elsewhere, whatever links or dots are in it."""
    try:
        inside = (folder / planned.folder).resolve()
        if folder.resolve() in inside.parents:
            return
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
        pass
    raise UserError(f"{folder / STUDY}: run {planned.folder!r} is not inside the study's folder")


def _read_planned(folder: Path, plan: Plan, planned: Planned) -> Finished:
    """One run.

    Raises:
        UserError: it is not there, not finished, damaged, or another run than the plan says.
    """
    path = folder / planned.folder
    try:
        if not (path / CONFIG).exists():
            raise UserError(f"has not begun: {path / CONFIG} is not there")
        run = read_run(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    for difference in _differences(plan, planned, run.settings):
        raise UserError(f"{path / CONFIG} is not what {STUDY} says: {difference}")
    totals = run.totals
    if totals is None:
        raise UserError(f"is not finished: {path / RESULT} is not there")
    if set(totals.returns) != {planned.seed}:
        raise UserError(f"{path / RESULT} is not of seed {planned.seed} alone")
    if {point.seed for point in run.points} - {planned.seed}:
        raise UserError(f"{path / METRICS} is not of seed {planned.seed} alone")
    try:
        return _finished(planned, run, totals)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path / RESULT} is damaged: {error}") from None


def _differences(plan: Plan, planned: Planned, settings: Settings) -> Iterator[str]:
    """What a run's configuration says otherwise than the plan."""
    if settings.env.casefold() != planned.env.casefold():
        yield f"env is {settings.env!r}, not {planned.env!r}"
    if settings.seeds != range(planned.seed, planned.seed + 1):
        seeds = settings.seeds
        yield f"its seeds are {seeds[0]} to {seeds[-1]}, not {planned.seed}"
    own = next(v.options for v in plan.variants if v.name == planned.variant)
    if "sharing" in plan.options:
        own = {"sharing": plan.options["sharing"], **own}
    for option, wanted in own.items():
        found = _setting(settings.config, option)
        if _contradict(wanted, found):
            yield f"{option} is {str(found)!r}, not {wanted!r}"


def _setting(config: dict[str, Any], option: str) -> Any:
    """A setting by the name of its option; None where there is none, or it may be another."""
    if option in NAMED:
        part = config.get(option)
        return part.get("name") if isinstance(part, dict) else None
    found: Any = config
    for name in option.replace("-", "_").split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return None if option.replace("-", "_") in RESOLVED else found


def _contradict(wanted: str, found: Any) -> bool:
    """Whether a text of the command line cannot have become this setting.

    >>> _contradict("1e6", 1_000_000), _contradict("0.3", 0.5), _contradict("AdaPS", "fups")
    (False, True, True)
    >>> _contradict("mine.py:Mine", "mine:Mine"), _contradict("auto", 0.5)
    (False, False)
    """
    if isinstance(found, str):
        # A class of one's own may go by several names, and so may a file.
        return not {":", "/", "."} & set(wanted + found) and wanted.casefold() != found.casefold()
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    try:
        return not math.isclose(float(wanted), found, rel_tol=1e-9)
    except (ValueError, OverflowError):
        return False


def _finished(planned: Planned, run: Run, totals: Totals) -> Finished:
    value = totals.returns[planned.seed]
    if not math.isfinite(value):
        raise ValueError("its return is not a number")
    kinds = run.kinds.get(planned.seed)
    for point in run.points:
        _in_range(point.env_steps)
    return Finished(
        planned=planned,
        value=_in_range(value),
        best=None if totals.best is None else _in_range(totals.best),
        regret=totals.regrets[planned.seed],
        parameters=int(_in_range(totals.parameters)),
        rand_index=None if kinds is None else kinds.rand_index,
        steps_per_second=as_number(totals.steps_per_second),
        wall_seconds=as_number(totals.wall_seconds),
        points=_in_order([point for point in run.points if math.isfinite(point.greedy)]),
    )


def _in_order(points: list[Point]) -> list[Point]:
    """One evaluation per number of steps, of several the last."""
    by_steps = {point.env_steps: point for point in points}
    ordered = [by_steps[steps] for steps in sorted(by_steps)]
    for point in ordered:
        _in_range(point.greedy)
    times = [point.seconds for point in ordered if point.seconds is not None]
    if all(earlier < later for earlier, later in pairwise(times)):
        return ordered
    # A run that was taken up again began to count anew: its times say nothing.
    return [point._replace(seconds=None) for point in ordered]


def _in_range(value: float | int) -> float:
    if not abs(value) <= LARGEST:
        raise ValueError(f"{str(value)[:20]} is out of range")
    return float(value)
