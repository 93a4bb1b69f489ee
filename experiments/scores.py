"""A study's scores.csv, read, and what its runs come to."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adaps.report import statistics
from adaps.report.statistics import Interval
from adaps.report.study_statistics import LEAST_RUNS, Reached, Sweep

NUMBERS = ("return", "score", "regret", "env_steps_to_target")
"""Columns of scores.csv, in the order of a run's first fields."""


class Run(NamedTuple):
    """One line of scores.csv; None where a number is not known."""

    value: float
    """Final greedy return."""
    score: float | None
    regret: float | None
    steps: float | None
    """To 90 % of the way from random play to the best."""
    parameters: int


Runs = dict[str, dict[str, list[Run]]]
"""Environment → variant → its finished runs."""


def read(folder: Path) -> Runs:
    """A study's finished runs."""
    found: Runs = {}
    with (folder / "scores.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            known = (float(line[name]) if line[name] else None for name in NUMBERS)
            run = Run(*known, int(line["parameters"]))
            found.setdefault(line["env"], {}).setdefault(line["variant"], []).append(run)
    return found


def final(runs: list[Run]) -> Interval:
    """Final greedy return, with its interval."""
    return statistics.interval([np.array([run.value for run in runs])])


def regret(runs: list[Run]) -> float | None:
    """Mean over runs, as on the study's page."""
    known = [run.regret for run in runs if run.regret is not None]
    return float(np.mean(known)) if known else None


def best(variants: dict[str, list[Run]]) -> float | None:
    """The best possible return, which is the same for all runs; it is below 0 where it is known."""
    runs = (run for own in variants.values() for run in own)
    return next((run.value / (1 + run.regret) for run in runs if run.regret is not None), None)


def steps_to_target(runs: list[Run]) -> float | None:
    """Median over runs of the steps to 90 %; None where half of them or more never get there."""
    return Reached([run.steps for run in runs]).median


def leader(variants: dict[str, list[Run]]) -> str | None:
    """Whose interval lies above everyone else's, if there are runs enough to say so."""
    if min(map(len, variants.values())) < LEAST_RUNS:
        return None
    values = {name: [np.array([r.value for r in own])] for name, own in variants.items()}
    return statistics.leader(values)


def ranked(runs: Runs) -> list[str]:
    """Variants, the best over all environments first: by scores, or else by returns."""
    names = dict.fromkeys(name for variants in runs.values() for name in variants)
    return sorted(names, key=lambda name: -_overall(runs, name))


def _overall(runs: Runs, name: str) -> float:
    own = [variants[name] for variants in runs.values() if name in variants]
    scores = [[run.score for run in each if run.score is not None] for each in own]
    scored = [np.array(each) for each in scores if each]
    returns = [np.array([run.value for run in each]) for each in own]
    return float(statistics.iqm(scored or returns))


def swept(variants: dict[str, list[Run]]) -> tuple[list[str], Sweep]:
    """The options that vary, and what each combination of their values came to."""
    scored = all(run.score is not None for own in variants.values() for run in own)
    each: dict[tuple[str, ...], Interval] = {}
    options: list[str] = []
    for name, own in variants.items():
        pairs = [pair.split("=", 1) for pair in name.split(", ")]
        options = [option for option, _ in pairs]
        numbers = np.array([run.score if scored else run.value for run in own])
        each[tuple(value for _, value in pairs)] = statistics.interval([numbers])
    return options, Sweep(scored, each)
