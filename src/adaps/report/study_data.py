"""What a study's folder holds, read and checked. Stage: report."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from adaps.errors import UserError
from adaps.files.run_folder import CONFIG, METRICS, RESULT
from adaps.files.schema import (
    Failures,
    MetricsLine,
    Plan,
    Planned,
    References,
    Result,
    read,
    short_form,
)
from adaps.files.schema.fields import known
from adaps.files.schema.study import LARGEST
from adaps.report.data import Run, read_run

Beside = TypeVar("Beside", References, Failures)
NAMED = ("sharing", "algo", "encoder")
"""Options that select something by its name; a configuration has its name and options there."""
RESOLVED = ("gather_steps", "seed", "seeds", "workers")
"""Settings whose value a run may choose otherwise than it was told."""


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
    points: list[MetricsLine]
    """Its evaluations, in the order of their steps."""
    warnings: list[str]
    """What its numbers should not be read without."""


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
        return [run for run in self.runs if run.planned.place[:2] == (env, variant)]


def warned_of(runs: Iterable[Finished]) -> str:
    """What runs warn of, and how many of them; nothing where none does.

    >>> warned_of([])
    ''
    """
    runs = list(runs)
    each = Counter(short for run in runs for short in set(map(short_form, run.warnings)))
    of_all = f"of {len(runs)} run{'' if len(runs) == 1 else 's'}"
    return ", ".join(f"{short} in {count} {of_all}" for short, count in sorted(each.items()))


def read_study(folder: Path) -> Study:
    """Everything that a study's folder holds so far.

    Raises:
        UserError: there is no plan or a damaged one, a run's folder is not inside the study's, or
            no run is finished; one line that names the file.
    """
    plan = read(folder / Plan.FILE, Plan)
    for planned in plan.runs:
        _check_inside(folder, planned)
    remarks: list[str] = []
    references = _optional(folder, References, remarks)
    failed = {}
    if (folder / Failures.FILE).exists():
        file = _optional(folder, Failures, remarks)
        failed = file.failures if file else {}
    runs, left_out = [], []
    for planned in plan.runs:
        try:
            runs.append(_read_planned(folder, plan, planned))
        except UserError as error:
            why = failed.get(planned.folder)
            reason = f"it failed: {why} ({Failures.FILE})" if why else str(error)
            left_out.append(LeftOut(planned, _from_here(folder, reason)))
    if not runs:
        why = f"; the first, {left_out[0].reason}" if left_out else ""
        raise UserError(f"{folder / Plan.FILE}: no run of this study is finished{why}")
    known_returns = references.known if references else {}
    return Study(folder, plan, runs, left_out, known_returns, remarks)


def _from_here(folder: Path, text: str) -> str:
    """Paths as seen from the study's folder: shorter, and the same wherever the folder lies."""
    return " ".join(text.replace(f"{folder}/", "").split())


def _optional(folder: Path, kind: type[Beside], remarks: list[str]) -> Beside | None:
    """A file that the study can do without; what is wrong with it goes to the ``remarks``."""
    try:
        return read(folder / kind.FILE, kind)
    except UserError as error:
        remarks.append(_from_here(folder, str(error)))
        return None


def _check_inside(folder: Path, planned: Planned) -> None:
    """A plan must not make the report read elsewhere, whatever links or dots are in it."""
    try:
        inside = (folder / planned.folder).resolve()
        if folder.resolve() in inside.parents:
            return
    except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
        pass
    raise UserError(
        f"{folder / Plan.FILE}: run {planned.folder!r} is not inside the study's folder"
    )


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
    for difference in _differences(plan, planned, run):
        raise UserError(f"{path / CONFIG} is not what {Plan.FILE} says: {difference}")
    result = run.result
    if result is None:
        raise UserError(f"is not finished: {path / RESULT} is not there")
    if set(result.returns) != {planned.seed}:
        raise UserError(f"{path / RESULT} is not of seed {planned.seed} alone")
    if {point.seed for point in run.points} - {planned.seed}:
        raise UserError(f"{path / METRICS} is not of seed {planned.seed} alone")
    try:
        return _finished(planned, run, result)
    except ValueError as error:
        raise UserError(f"{path / RESULT} is damaged: {error}") from None


def _differences(plan: Plan, planned: Planned, run: Run) -> Iterator[str]:
    """What a run's configuration says otherwise than the plan."""
    settings = run.settings
    if settings.env.casefold() != planned.env.casefold():
        yield f"env is {settings.env!r}, not {planned.env!r}"
    if settings.seeds != range(planned.seed, planned.seed + 1):
        seeds = settings.seeds
        yield f"its seeds are {seeds[0]} to {seeds[-1]}, not {planned.seed}"
    own = next(v.options for v in plan.variants if v.name == planned.variant)
    if "sharing" in plan.options:
        own = {"sharing": plan.options["sharing"], **own}
    for option, wanted in own.items():
        found = _setting(run.config.config, option)
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


def _finished(planned: Planned, run: Run, result: Result) -> Finished:
    value = result.returns[planned.seed]
    if not math.isfinite(value):
        raise ValueError("its return is not a number")
    kinds = run.kinds.get(planned.seed)
    return Finished(
        planned=planned,
        value=_in_range(value),
        best=None if result.best is None else _in_range(result.best),
        regret=result.regrets[planned.seed],
        parameters=result.parameters,
        rand_index=None if kinds is None else kinds.rand_index,
        steps_per_second=known(result.env_steps_per_second),
        wall_seconds=known(result.wall_seconds),
        points=_in_order([point for point in run.points if math.isfinite(point.return_greedy)]),
        warnings=run.warnings.get(planned.seed, []),
    )


def _in_order(points: list[MetricsLine]) -> list[MetricsLine]:
    """One evaluation per number of steps, of several the last."""
    by_steps = {point.env_steps: point for point in points}
    ordered = [by_steps[steps] for steps in sorted(by_steps)]
    for point in ordered:
        _in_range(point.return_greedy)
    times = [point.seconds for point in ordered if point.seconds is not None]
    if all(earlier < later for earlier, later in pairwise(times)):
        return ordered
    # A run that was taken up again began to count anew: its times say nothing.
    return [replace(point, seconds=None) for point in ordered]


def _in_range(value: float) -> float:
    if not abs(value) <= LARGEST:
        raise ValueError(f"{str(value)[:20]} is out of range")
    return float(value)
