"""Learning curves of a study's runs, drawn together over seeds. Stage: report."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from adaps.files.schema import MetricsLine
from adaps.report import statistics
from adaps.report.study_data import Finished

MOST_POINTS = 50
"""Points of one curve; more would not be seen."""
RESAMPLES = 500
"""Per point of a curve: its band is looked at, not read off."""


class Band(NamedTuple):
    """One variant's curve: interquartile mean over its runs, with a 95 % interval."""

    x: np.ndarray
    low: np.ndarray | None
    """None where there is one run."""
    value: np.ndarray
    high: np.ndarray | None


Coordinate = Callable[[MetricsLine], float | None]


def env_steps(point: MetricsLine) -> float:
    """Where an evaluation lies on the axis of environment steps."""
    return float(point.env_steps)


def seconds(point: MetricsLine) -> float | None:
    """Where it lies on the axis of time; None where that was not noted."""
    return point.seconds


def greedy(point: MetricsLine) -> float:
    """Greedy return."""
    return point.return_greedy


def snd(point: MetricsLine) -> float | None:
    """System Neural Diversity; None where it was not measured."""
    return point.snd


def band(runs: list[Finished], x: Coordinate, y: Coordinate) -> Band | None:
    """Runs' curves as one, where all of them have one; None where none has.

    Evaluations of different runs may lie at different places: in between, curves are straight.
    """
    lines = [line for run in runs if len(line := _line(run, x, y))]
    if not lines:
        return None
    places = _common(lines)
    heights = np.array([np.interp(places, *line.T) for line in lines])
    ends = [statistics.interval([column], resamples=RESAMPLES) for column in heights.T]
    value = np.array([one.value for one in ends])
    if ends[0].low is None:
        return Band(places, None, value, None)
    low, high = (np.array([getattr(e, name) for e in ends], float) for name in ("low", "high"))
    return Band(places, low, value, high)


def _line(run: Finished, x: Coordinate, y: Coordinate) -> np.ndarray:
    """``float[point, 2]``, in rising order of x."""
    both = {x(point): y(point) for point in run.points}
    known = [(a, b) for a, b in both.items() if a is not None and b is not None]
    return np.array(sorted(known), float).reshape(-1, 2)


def _common(lines: list[np.ndarray]) -> np.ndarray:
    """Places where every line is known: those of the evaluations if few, otherwise evenly put."""
    first, last = max(line[0, 0] for line in lines), min(line[-1, 0] for line in lines)
    every = np.unique(np.concatenate([line[:, 0] for line in lines]))
    inside = every[(every >= first) & (every <= last)]
    if not len(inside):  # the runs' evaluations do not even overlap
        return every[-1:]
    return inside if len(inside) <= MOST_POINTS else np.linspace(first, last, MOST_POINTS)
