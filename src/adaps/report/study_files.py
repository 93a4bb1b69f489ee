"""A study's numbers for other programs: tables and JSON. Stage: report."""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from msgspec.structs import asdict

from adaps.files.schema import short_form
from adaps.report.study_data import Finished, LeftOut, Study
from adaps.report.study_statistics import Cell, Numbers, Reached, Verdict, sweep_of
from adaps.report.study_words import answer
from adaps.types import SCHEMA

CURVES = (
    "env",
    "variant",
    "seed",
    "env_steps",
    "seconds",
    "return_greedy",
    "return_sampled",
    "snd",
    "warnings",
)


def scores_csv(study: Study, numbers: Numbers) -> str:
    """One line per finished run."""
    rows = [
        {
            **run.planned.place._asdict(),
            "return": run.value,
            "score": None if cell.scores is None else cell.scores[i],
            "regret": run.regret,
            "area_under_curve": cell.areas[i],
            "env_steps_to_target": _nth(cell.steps_to, i),
            "seconds_to_target": _nth(cell.seconds_to, i),
            "parameters": run.parameters,
            "adjusted_rand_index": run.rand_index,
            "env_steps_per_second": run.steps_per_second,
            "wall_seconds": run.wall_seconds,
            "warnings": "; ".join(run.warnings),
            "folder": run.planned.folder,
        }
        for cell in numbers.cells.values()
        for i, run in enumerate(cell.runs)
    ]
    return _table(rows[0], (row.values() for row in rows))


def curves_csv(study: Study) -> str:
    """One line per finished run and evaluation."""
    return _table(CURVES, (row for run in study.runs for row in _curve(run)))


def _curve(run: Finished) -> Iterator[tuple[Any, ...]]:
    warned = "; ".join(map(short_form, run.warnings))
    for p in run.points:
        values = p.env_steps, p.seconds, p.return_greedy, p.return_sampled, p.snd
        yield (*run.planned.place, *values, warned)


def statistics_json(study: Study, numbers: Numbers, figures: list[str]) -> str:
    """Every number of the page; intervals are ``[low, value, high]``."""
    plan, overall = study.plan, numbers.overall
    data = {
        "schema": SCHEMA,
        "title": plan.title,
        "answer": answer(study, numbers),
        "runs": {"finished": len(study.runs), "planned": len(plan.runs)},
        "left_out": [_left_out(one) for one in study.left_out],
        "remarks": study.remarks,
        "scales": {
            env: {**scale._asdict(), "target": scale.target}
            for env, scale in numbers.scales.items()
        },
        "envs": _nested({pair: _cell(cell) for pair, cell in numbers.cells.items()}),
        "verdicts": {env: _verdict(one) for env, one in numbers.verdicts.items()},
        "overall": {
            "variants": overall.variants,
            "envs": overall.envs,
            "scored_envs": overall.scored,
            "verdict": None if overall.verdict is None else _verdict(overall.verdict),
            "probability_of_improvement": _nested(overall.improvement),
            "performance_profiles": {
                "thresholds": overall.thresholds.tolist(),
                "each": {
                    name: [None if part is None else part.tolist() for part in profile]
                    for name, profile in overall.profiles.items()
                },
            },
        },
        "sweep": _sweep(study, numbers),
        "figures": figures,
    }
    return _json(data)


def marl_eval_json(study: Study) -> str:
    """Raw returns as ``marl-eval`` reads them, for its plots and tables.

    Its programs look environments and tasks up in lower case, and take the last entry of a run for
    the absolute metrics. Source: https://github.com/instadeepai/marl-eval.
    """
    data: dict[str, Any] = {}
    for run in study.runs:
        env, variant, seed = run.planned.place
        timed = all(point.seconds is not None for point in run.points)
        steps: dict[str, Any] = {
            f"step_{i}": {
                "step_count": point.env_steps,
                **({"elapsed_time": point.seconds} if timed else {}),
                "return": [point.return_greedy],
            }
            for i, point in enumerate(run.points)
        }
        steps["absolute_metrics"] = {"return": [run.value]}
        task = data.setdefault(family(env), {}).setdefault(env.lower(), {})
        task.setdefault(variant, {})[f"seed_{seed}"] = steps
    return _json(data)


def family(env: str) -> str:
    """The name that an environment shares with its relatives.

    >>> family("bps:5-5-5"), family("rware-2color-tiny-4ag"), family("mine.envs:Mine")
    ('bps', 'rware', 'mine.envs')
    """
    return re.split("[-:]", env.lower(), maxsplit=1)[0] or env.lower()


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Nothing, where a value is not known."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(_no_formula, row) for row in rows)
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """A text that a spreadsheet would compute gets an apostrophe before it, as it asks for.

    >>> _no_formula("=1+1"), _no_formula("fups"), _no_formula(-1.0)
    ("'=1+1", 'fups', -1.0)
    """
    computed = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if computed else value


def _nth(found: Reached | None, i: int) -> float | None:
    return None if found is None else found.each[i]


def _json(data: Any) -> str:
    return json.dumps(_plain(data), indent=1, allow_nan=False) + "\n"


def _plain(data: Any) -> Any:
    """Numbers that are not finite have no place in JSON: null stands for them."""
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _nested(pairs: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (one, other), value in pairs.items():
        found.setdefault(one, {})[other] = value
    return found


def _left_out(one: LeftOut) -> dict[str, Any]:
    return {**asdict(one.planned), "reason": one.reason}


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "seeds": [run.planned.seed for run in cell.runs],
        "return": cell.final,
        "score": cell.score,
        "regret": cell.regret,
        "area_under_curve": cell.area,
        "env_steps_to_target": _times(cell.steps_to),
        "seconds_to_target": _times(cell.seconds_to),
        "parameters": cell.parameters,
        "adjusted_rand_index": cell.rand_index,
        "env_steps_per_second": cell.steps_per_second,
        "warnings": [run.warnings for run in cell.runs],
    }


def _times(found: Reached | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"median": found.median, "reached": found.arrived, "of": len(found.each)}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "leader": verdict.leader,
        "ranked": verdict.ranked,
        "each": verdict.each,
        "rival": verdict.rival,
        "first_over_rival": verdict.ahead,
    }


def _sweep(study: Study, numbers: Numbers) -> dict[str, Any] | None:
    """Per environment, a list of values and what they came to."""
    over = study.plan.over
    if not over:
        return None
    found = {env: sweep_of(study, numbers, [env]) for env in study.plan.envs}
    return {
        env: {
            "of": "score" if sweep.scored else "return",
            "cells": [
                {
                    **dict(zip(over, values, strict=True)),
                    "interval": one,
                    "recommended": values in sweep.recommended,
                    "warns_of": sweep.warned.get(values),
                }
                for values, one in sweep.each.items()
            ],
        }
        for env, sweep in found.items()
    }
