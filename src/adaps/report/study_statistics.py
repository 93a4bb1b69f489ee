"""A study's runs in numbers: per environment, and over all of them. Stage: report."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from adaps.files.schema import MetricsLine, Variant
from adaps.report import statistics
from adaps.report.statistics import Interval
from adaps.report.study_data import Finished, Study, warned_of

TARGET = 0.9
"""How far of the way from random to the best a run has to come to count as having learnt."""
LEAST_RUNS = 3
"""With fewer runs in an environment, nobody is said to lead."""
SAME = 1e-5
"""The best must be above random play by more than this share of it: returns have 32 bits."""
THRESHOLDS = 101
"""Points of a performance profile."""
LOWEST, HIGHEST = -0.5, 1.5
"""A profile is not drawn beyond these scores, however far one run is out."""


class Scale(NamedTuple):
    """What turns an environment's returns into scores: random is 0, the best is 1."""

    random: float | None
    best: float | None
    bound: bool
    """Whether the best is the planner's bound, and not what some variant came to."""
    lacking: str
    """Why there are no scores; empty where there are."""

    @property
    def target(self) -> float | None:
        """The return that counts as having learnt."""
        if self.lacking or self.random is None or self.best is None:
            return None
        return self.random + TARGET * (self.best - self.random)


class Reached(NamedTuple):
    """How long runs took to come to the target."""

    each: list[float | None]
    """Of each run; None where it never came to it."""

    @property
    def arrived(self) -> int:
        """How many runs came to it."""
        return sum(value is not None for value in self.each)

    @property
    def median(self) -> float | None:
        """None where half of the runs or more never came to it."""
        middle = float(np.median([np.inf if v is None else v for v in self.each] or [np.inf]))
        return middle if np.isfinite(middle) else None


class Cell(NamedTuple):
    """One variant in one environment; lists have one entry per finished run."""

    runs: list[Finished]
    final: Interval
    """Greedy return at the end."""
    scores: list[float] | None
    """The same as scores; None where the environment has none."""
    score: Interval | None
    regret: float | None
    areas: list[float | None]
    area: Interval | None
    """Area under the learning curve, divided by its length: the mean return while training."""
    steps_to: Reached | None
    seconds_to: Reached | None
    """Both are None where there is no target, this one also where times are not known."""
    parameters: float
    rand_index: float | None
    steps_per_second: float | None

    @property
    def values(self) -> np.ndarray:
        """Greedy returns at the end."""
        return np.array([run.value for run in self.runs])


class Verdict(NamedTuple):
    """Who leads: whose interval lies wholly above everyone else's."""

    leader: str | None
    """None where nobody's does, or where somebody has too few runs to tell."""
    fewest: int
    """Runs that the one with the fewest has, in one environment."""
    ranked: list[str]
    """Variants, the best first."""
    each: dict[str, Interval]
    """What they came to."""
    rival: str | None
    """Of the others, who may have come to most: the one with the highest end of an interval."""
    ahead: Interval | None
    """The first's advantage over the rival."""


class Overall(NamedTuple):
    """Variants compared over all environments that they have in common."""

    variants: list[str]
    """Those with a finished run."""
    envs: list[str]
    """Those in which each of these variants has a finished run."""
    scored: list[str]
    """Those of these environments that have scores."""
    verdict: Verdict | None
    """By scores; None where no environment has any."""
    improvement: dict[tuple[str, str], Interval]
    """How likely a run of the first variant is better than one of the second."""
    thresholds: np.ndarray
    profiles: dict[str, statistics.Band]
    """Share of runs above each threshold."""


class Numbers(NamedTuple):
    """All that the page says in numbers."""

    scales: dict[str, Scale]
    cells: dict[tuple[str, str], Cell]
    """By environment and variant, where there is a finished run."""
    verdicts: dict[str, Verdict]
    """By environment, on final returns."""
    overall: Overall


def numbers_of(study: Study) -> Numbers:
    """Everything, from the finished runs alone."""
    scales = {env: scale_of(study, env) for env in study.plan.envs}
    pairs = product(study.plan.envs, (variant.name for variant in study.plan.variants))
    cells = {
        (env, name): _cell(runs, scales[env])
        for env, name in pairs
        if (runs := study.of(env, name))
    }
    verdicts = {}
    for env in study.plan.envs:
        named = {name: [cell.values] for (one, name), cell in cells.items() if one == env}
        if named:
            verdicts[env] = verdict(named)
    return Numbers(scales, cells, verdicts, _overall(study, scales, cells))


def scale_of(study: Study, env: str) -> Scale:
    """What an environment's returns are measured against."""
    random = study.random_return.get(env)
    runs = [run for run in study.runs if run.planned.env == env]
    bounds = [run.best for run in runs if run.best is not None]
    means = [
        float(np.mean([run.value for run in own]))
        for variant in study.plan.variants
        if (own := study.of(env, variant.name))
    ]
    best = float(np.mean(bounds)) if bounds else max(means, default=None)
    if not runs:
        lacking = "no run is finished"
    elif random is None:
        lacking = "what random play comes to is not known"
    elif best is None or best - random <= SAME * max(abs(best), abs(random), SAME):
        lacking = "the best is not above random play"
    else:
        lacking = ""
    return Scale(random, best, bool(bounds), lacking)


def _cell(runs: list[Finished], scale: Scale) -> Cell:
    values = np.array([run.value for run in runs])
    scores = None if scale.lacking else list(map(float, scaled(values, scale)))
    areas = [area(run, scale.random) for run in runs]
    return Cell(
        runs=runs,
        final=statistics.interval([values]),
        scores=scores,
        score=None if scores is None else statistics.interval([np.array(scores)]),
        regret=_mean([run.regret for run in runs]),
        areas=areas,
        area=_interval_of(areas),
        steps_to=_reached(runs, lambda point: float(point.env_steps), scale.target),
        seconds_to=_reached(runs, lambda point: point.seconds, scale.target),
        parameters=float(np.mean([run.parameters for run in runs])),
        rand_index=_mean([run.rand_index for run in runs]),
        steps_per_second=_mean([run.steps_per_second for run in runs]),
    )


def scaled(values: np.ndarray, scale: Scale) -> np.ndarray:
    """Returns as scores.

    Raises:
        ValueError: the environment has none.
    """
    if scale.lacking or scale.random is None or scale.best is None:
        raise ValueError(scale.lacking)
    return statistics.normalise([values], scale.random, scale.best)[0]


def area(run: Finished, random: float | None) -> float | None:
    """Mean height of a run's learning curve over environment steps.

    The curve begins at no steps with random play where that is known: a method that spends its
    first steps otherwise, such as on finding out who is alike, has no evaluation there.
    """
    steps = [float(point.env_steps) for point in run.points]
    values = [point.return_greedy for point in run.points]
    if random is not None and steps and steps[0] > 0:
        steps, values = [0.0, *steps], [random, *values]
    if len(steps) < 2:
        return None
    return statistics.area_under_curve(np.array(steps), np.array(values))


def _reached(
    runs: list[Finished], x: Callable[[MetricsLine], float | None], target: float | None
) -> Reached | None:
    """Where each run's curve first comes to the target."""
    if target is None:
        return None
    curves = [[(x(p), p.return_greedy) for p in run.points] for run in runs]
    if any(place is None for curve in curves for place, _ in curve):
        return None
    return Reached([_first(np.array(curve, float).reshape(-1, 2), target) for curve in curves])


def _first(curve: np.ndarray, target: float) -> float | None:
    if not len(curve):
        return None
    return statistics.first_reached(curve[:, 0], curve[:, 1], target)


def verdict(named: dict[str, list[np.ndarray]]) -> Verdict:
    """Who leads, of variants' scores per environment."""
    each = {name: statistics.interval(scores) for name, scores in named.items()}
    ranked = sorted(each, key=lambda name: -each[name].value)
    first, *others = ranked
    fewest = min(len(runs) for scores in named.values() for runs in scores)
    if not others:
        return Verdict(None, fewest, ranked, each, None, None)
    rival = max(others, key=lambda name: _most(each[name]))
    ahead = statistics.difference_interval(named[first], named[rival])
    leader = statistics.leading(each) if fewest >= LEAST_RUNS else None
    return Verdict(leader, fewest, ranked, each, rival, ahead)


def _most(one: Interval) -> float:
    return one.value if one.high is None else one.high


def _overall(study: Study, scales: dict[str, Scale], cells: dict[tuple[str, str], Cell]) -> Overall:
    variants = [v.name for v in study.plan.variants if any(name == v.name for _, name in cells)]
    envs = [env for env in study.plan.envs if all((env, name) in cells for name in variants)]
    scored = [env for env in envs if not scales[env].lacking]
    scores = {name: [np.array(cells[env, name].scores) for env in scored] for name in variants}
    values = {name: [cells[env, name].values for env in envs] for name in variants}
    thresholds = _thresholds(scores)
    return Overall(
        variants=variants,
        envs=envs,
        scored=scored,
        verdict=verdict(scores) if scored else None,
        improvement=_improvement(values) if envs else {},
        thresholds=thresholds,
        profiles={
            name: statistics.profile_interval(scores[name], thresholds)
            for name in variants
            if scored
        },
    )


def _thresholds(scores: dict[str, list[np.ndarray]]) -> np.ndarray:
    """From random play to the best, and as far beyond as there are scores within reason."""
    every = np.concatenate([np.zeros(1), *(s for of_env in scores.values() for s in of_env)])
    low, high = min(0.0, float(every.min())), max(1.0, float(every.max()))
    return np.linspace(max(low, LOWEST), min(high, HIGHEST), THRESHOLDS)


def _improvement(values: dict[str, list[np.ndarray]]) -> dict[tuple[str, str], Interval]:
    """Of every ordered pair; the returns' ranks within an environment are all that counts."""
    found = {}
    names = list(values)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            low, value, high = statistics.improvement_interval(values[one], values[other])
            found[one, other] = Interval(low, value, high)
            found[other, one] = Interval(_from_one(high), 1 - value, _from_one(low))
    return found


def _from_one(share: float | None) -> float | None:
    return None if share is None else 1 - share


class Sweep(NamedTuple):
    """What a sweep came to in one environment, or over several."""

    scored: bool
    """Whether these are scores, and not returns."""
    each: dict[tuple[str, ...], Interval]
    """By the values of the options that vary."""
    warned: Mapping[tuple[str, ...], str] = MappingProxyType({})
    """What runs warn of, of those values whose runs do."""

    @property
    def recommended(self) -> set[tuple[str, ...]]:
        """The best, and what may be as good: whose interval reaches into that of the best."""
        if not self.each:
            return set()
        best = max(self.each.values(), key=lambda one: one.value)
        least = best.value if best.low is None else best.low
        return {values for values, one in self.each.items() if _most(one) >= least}


def sweep_of(study: Study, numbers: Numbers, envs: list[str]) -> Sweep:
    """What each combination of the options' values came to.

    Variants with the same values are pooled; variants that leave an option open have no place.
    """
    scored = all(not numbers.scales[env].lacking for env in envs)
    found: dict[tuple[str, ...], Interval] = {}
    warned = {}
    for values in product(*study.plan.over.values()):
        at = dict(zip(study.plan.over, values, strict=True))
        names = [v.name for v in study.plan.variants if _is_at(v, at)]
        pooled = [_pooled(numbers, env, names, scored) for env in envs]
        if all(len(one) for one in pooled):
            found[values] = statistics.interval(pooled)
            if text := warned_of(run for env in envs for n in names for run in study.of(env, n)):
                warned[values] = text
    return Sweep(scored, found, warned)


def _is_at(variant: Variant, values: dict[str, str]) -> bool:
    return all(variant.options.get(option) == value for option, value in values.items())


def _pooled(numbers: Numbers, env: str, names: list[str], scored: bool) -> np.ndarray:
    cells = [numbers.cells[env, name] for name in names if (env, name) in numbers.cells]
    parts = [np.array(cell.scores) if scored else cell.values for cell in cells]
    return np.concatenate([np.zeros(0), *parts])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _interval_of(values: Sequence[float | None]) -> Interval | None:
    known = [value for value in values if value is not None]
    return statistics.interval([np.array(known)]) if known else None
