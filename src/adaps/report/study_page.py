"""A study as the page's template wants it. Stage: report."""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from adaps.files.schema import Variant
from adaps.report import study_curves as learning
from adaps.report import study_figures as figures
from adaps.report import study_words as words
from adaps.report.figures import Picture
from adaps.report.formatting import NONE, counted, duration, index, percent
from adaps.report.page import Tile
from adaps.report.study_data import Finished, Study, warned_of
from adaps.report.study_figures import Look
from adaps.report.study_statistics import TARGET, Cell, Numbers, sweep_of
from adaps.report.templates import fill

STEPS, TIME = "environment steps", "seconds since the run began"


class Row(NamedTuple):
    """A variant's line in an environment's table."""

    name: str
    colour: str
    cells: list[str]


class Plates(NamedTuple):
    """Every figure, by the page's sections."""

    by_steps: list[Picture]
    by_seconds: list[Picture]
    diversity: list[Picture]
    scores: list[Picture]
    sizes: list[Picture]
    profiles: list[Picture]
    improvement: list[Picture]
    sweeps: list[Picture]

    @property
    def every(self) -> list[Picture]:
        """All of them in one list."""
        return [plate for section in self for plate in section]


def draw(study: Study, numbers: Numbers) -> Plates:
    """All figures."""
    warned = {run.planned.variant for run in study.runs if run.warnings}
    looks = figures.looks_of(study.plan, warned)
    slugs = figures.slugs(study.plan.envs)
    drawn = [env for env in study.plan.envs if any(one == env for one, _ in numbers.cells)]

    def curves(name: str, x: learning.Coordinate, y: learning.Coordinate, axis: tuple[str, str]):
        plates = (
            _curves(study, looks, numbers, env, f"{name}-{slugs[env]}", (x, y), axis)
            for env in drawn
        )
        return [plate for plate in plates if plate]

    greedy, up = learning.greedy, "greedy return"
    return Plates(
        by_steps=curves("learning-steps", learning.env_steps, greedy, (STEPS, up)),
        by_seconds=curves("learning-seconds", learning.seconds, greedy, (TIME, up)),
        diversity=curves("diversity", learning.env_steps, learning.snd, (STEPS, "SND")),
        scores=list(_scores(numbers, looks, drawn, slugs)),
        sizes=[p for env in drawn for p in _sizes(numbers, looks, env, f"parameters-{slugs[env]}")],
        profiles=[figures.profiles("profiles", looks, numbers.overall)]
        if numbers.overall.profiles
        else [],
        improvement=[figures.improvement_matrix("improvement", looks, numbers.overall)]
        if numbers.overall.improvement
        else [],
        sweeps=list(_sweeps(study, numbers, drawn, slugs)),
    )


def render(study: Study, numbers: Numbers, plates: Plates) -> str:
    """The whole page."""
    return fill("study.html.j2", _context(study, numbers, plates))


def _context(study: Study, numbers: Numbers, plates: Plates) -> dict[str, Any]:
    plan, overall = study.plan, numbers.overall
    return {
        "title": plan.title,
        "counts": ", ".join(
            (
                counted(len(plan.envs), "environment"),
                counted(len(plan.variants), "variant"),
                counted(len(plan.seeds), "seed"),
            )
        ),
        "unfinished": len(study.left_out),
        "planned": len(plan.runs),
        "answer": words.answer(study, numbers),
        "doubt": words.doubt(numbers),
        "by_environment": list(words.by_environment(study, numbers)),
        "tiles": list(_tiles(study)),
        "target": percent(TARGET, 0),
        "measured": list(words.measured(study, numbers)),
        "tables": [(env, list(_rows(study, numbers, env))) for env in plan.envs],
        "overall": list(_overall_rows(study, numbers)),
        "warnings": list(words.warnings(study)),
        "compared": overall,
        "left_behind": [env for env in plan.envs if env not in overall.scored],
        "plates": plates,
        "sweep": list(plan.over),
        "left_out": [
            (one.planned.env, one.planned.variant, one.planned.seed, one.reason)
            for one in study.left_out
        ],
        "remarks": study.remarks,
        "settings": list(plan.options.items()),
        "variants": [(v.name, _options(v)) for v in plan.variants],
        "machine": plan.machine or "not noted",
        "commit": plan.commit or "not noted",
        "versions": plan.versions,
    }


def _tiles(study: Study) -> Iterator[Tile]:
    done, planned = len(study.runs), len(study.plan.runs)
    yield Tile("Finished runs", f"{done:,}", f"of {planned:,} planned")
    steps = sum(run.points[-1].env_steps for run in study.runs if run.points)
    text = f"{steps:,}" if steps < 1e7 else f"{steps / 1e6:,.0f} million"
    yield Tile("Environment steps", text, "of all finished runs, up to their last evaluation")
    times = [run.wall_seconds for run in study.runs if run.wall_seconds is not None]
    if times:
        yield Tile(
            "Computing time", duration(sum(times)), "of all finished runs, one after another"
        )


def _rows(study: Study, numbers: Numbers, env: str) -> Iterator[Row]:
    """Variants in the order of the plan, also those without a finished run."""
    looks = figures.looks_of(study.plan)
    for variant in study.plan.variants:
        cell = numbers.cells.get((env, variant.name))
        planned = sum(run.place[:2] == (env, variant.name) for run in study.plan.runs)
        cells = _cells(cell, planned) if cell else [f"0 of {planned}", *[NONE] * 10]
        name = words.label(variant.name, study.plan.over)
        yield Row(name, looks[variant.name].colour, cells)


def _cells(cell: Cell, planned: int) -> list[str]:
    done = len(cell.runs)
    return [
        f"{done}" if done == planned else f"{done} of {planned}",
        words.with_ends(cell.final),
        words.score_with_ends(cell.score),
        percent(cell.regret),
        words.with_ends(cell.area),
        words.reached(cell.steps_to),
        words.reached(cell.seconds_to, "\u00a0s"),
        _sizes_of(cell.runs),
        index(cell.rand_index),
        NONE if cell.steps_per_second is None else f"{cell.steps_per_second:,.0f}",
        warned_of(cell.runs) or NONE,
    ]


def _sizes_of(runs: list[Finished]) -> str:
    """Parameters: one number, or from the least to the most."""
    sizes = sorted({run.parameters for run in runs})
    return f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,}–{sizes[-1]:,}"


def _overall_rows(study: Study, numbers: Numbers) -> Iterator[tuple[str, str, str]]:
    """Scores over all environments, the best first."""
    verdict = numbers.overall.verdict
    if verdict is None:
        return
    for name in verdict.ranked:
        warned = warned_of(r for env in numbers.overall.scored for r in study.of(env, name))
        score = words.score_with_ends(verdict.each[name])
        yield words.label(name, study.plan.over), score, warned or NONE


def _options(variant: Variant) -> str:
    return ", ".join(f"{name} = {value}" for name, value in variant.options.items()) or NONE


def _curves(
    study: Study,
    looks: dict[str, Look],
    numbers: Numbers,
    env: str,
    name: str,
    of: tuple[learning.Coordinate, learning.Coordinate],
    axis: tuple[str, str],
) -> Picture | None:
    """One environment's curves; None where no run has any."""
    found = {
        looks[variant]: learning.band(cell.runs, *of)
        for (one, variant), cell in numbers.cells.items()
        if one == env
    }
    bands = {look: band for look, band in found.items() if band is not None}
    if not bands:
        return None
    best = _bound(numbers, env) if of[1] is learning.greedy else None
    return figures.curves(name, env, bands, axis, best)


def _bound(numbers: Numbers, env: str) -> float | None:
    """The planner's, where there is one."""
    scale = numbers.scales[env]
    return scale.best if scale.bound else None


def _scores(
    numbers: Numbers, looks: dict[str, Look], envs: list[str], slugs: dict[str, str]
) -> Iterator[Picture]:
    verdict = numbers.overall.verdict
    if verdict is not None and len(numbers.overall.scored) > 1:
        ends = {looks[name]: verdict.each[name] for name in numbers.overall.variants}
        title = counted(len(numbers.overall.scored), "environment")
        yield figures.score_bars("scores", title, ends, "score", None)
    for env in envs:
        ends = {looks[n]: cell.final for (one, n), cell in numbers.cells.items() if one == env}
        best = _bound(numbers, env)
        yield figures.score_bars(f"scores-{slugs[env]}", env, ends, "final greedy return", best)


def _sizes(numbers: Numbers, looks: dict[str, Look], env: str, name: str) -> Iterator[Picture]:
    places = {
        looks[variant]: (cell.parameters, cell.final)
        for (one, variant), cell in numbers.cells.items()
        if one == env and cell.parameters > 0
    }
    if places:
        yield figures.size_scatter(name, env, places, _bound(numbers, env))


def _sweeps(
    study: Study, numbers: Numbers, envs: list[str], slugs: dict[str, str]
) -> Iterator[Picture]:
    """Lines where one option varies; heat maps of the first two where several do.

    With three options or more there is a map for every combination of the others' values.
    """
    over = study.plan.over
    if not over:
        return
    several = numbers.overall.scored
    places = [("sweep", counted(len(several), "environment"), several)] if len(several) > 1 else []
    places += [(f"sweep-{slugs[env]}", env, [env]) for env in envs]
    others = list(over.items())[2:]
    for name, title, own in places:
        sweep = sweep_of(study, numbers, own)
        if not sweep.each:
            continue
        if len(over) == 1:
            yield figures.sweep_line(name, title, study.plan, sweep)
            continue
        for i, values in enumerate(product(*(values for _, values in others)), start=1):
            rest = dict(zip((option for option, _ in others), values, strict=True))
            each = f"{name}-{i}" if others else name
            yield figures.sweep_map(each, title, study.plan, sweep, rest)
