"""A study's findings in words. Stage: report."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from adaps.report.formatting import NONE, counted, method, number
from adaps.report.statistics import Interval
from adaps.report.study_data import Study, warned_of
from adaps.report.study_statistics import LEAST_RUNS, Numbers, Reached, Verdict

FEW_RUNS = 6
"""Fewer runs than this have intervals that are clearly too narrow, see statistics.py."""


def label(name: str, over: Mapping[str, object]) -> str:
    """A variant's name for people: methods as in the literature, options without their group.

    >>> label("adaps sharing.keep=0.7", {}), label("sharing.keep=0.7", {"sharing.keep": ["0.7"]})
    ('AdaPS sharing.keep=0.7', 'keep=0.7')
    """
    for option in over:
        name = name.replace(f"{option}=", f"{option.rpartition('.')[2]}=")
    first, blank, rest = name.partition(" ")
    return method(first) + blank + rest


def with_ends(one: Interval | None) -> str:
    """A return and its interval.

    >>> with_ends(Interval(-160.0, -158.75, -9.5)), with_ends(Interval(None, 0.75, None))
    ('−158.8 [−160.0, −9.5]', '0.75')
    """
    return _with_ends(one, lambda value: number(value, beside=one.value if one else None))


def score_with_ends(one: Interval | None) -> str:
    """A score and its interval.

    >>> score_with_ends(Interval(0.9, 0.95, 1.0)), score_with_ends(None)
    ('0.950 [0.900, 1.000]', '–')
    """
    return _with_ends(one, score)


def score(value: float) -> str:
    """A score alone."""
    return f"{value:.3f}".replace("-", "−")


def _with_ends(one: Interval | None, text: Callable[[float], str]) -> str:
    if one is None:
        return NONE
    if one.low is None or one.high is None:
        return text(one.value)
    return f"{text(one.value)} [{text(one.low)}, {text(one.high)}]"


def reached(found: Reached | None, unit: str = "") -> str:
    """Median time to the target, and of how many runs where some never came to it."""
    if found is None:
        return NONE
    median = NONE if found.median is None else f"{found.median:,.0f}{unit}"
    every = found.arrived in (0, len(found.each))
    return median if every else f"{median} [{found.arrived} of {len(found.each)}]"


def answer(study: Study, numbers: Numbers) -> str:
    """What the study found, in one sentence."""
    overall = numbers.overall
    done, planned = len(study.runs), len(study.plan.runs)
    runs = f"{done:,} of {counted(planned, 'run')} {'is' if planned == 1 else 'are'} finished"
    if len(overall.variants) == 1:
        only = label(overall.variants[0], study.plan.over)
        return f"Of {only} alone there are finished runs: nothing to compare it with; {runs}."
    if len(study.plan.envs) == 1:
        (env,) = overall.envs
        found = verdict_text(numbers.verdicts[env], study, "return", [env])
        return f"In {env}, {found}; {runs}."
    if overall.verdict is None:
        return f"No winner can be named over all environments: {_no_scores(numbers)}; {runs}."
    found = verdict_text(overall.verdict, study, "score", overall.scored)
    count = len(overall.scored)
    every = count == len(study.plan.envs)
    where = f"{'all ' if every else ''}{counted(count, 'environment')}"
    where += "" if every else f" of {len(study.plan.envs)}"
    return f"Over {where}, {found}; {runs}."


def _no_scores(numbers: Numbers) -> str:
    if not numbers.overall.envs:
        return "there is none where every variant has a finished run"
    return "none of those that all variants have in common has scores"


def warnings(study: Study) -> Iterator[tuple[str, str, str, str]]:
    """Environment, variant, what its runs warn of, and that of one run in full."""
    for env in study.plan.envs:
        for variant in study.plan.variants:
            runs = study.of(env, variant.name)
            told = [run for run in runs if run.warnings]
            if told:
                name, first = label(variant.name, study.plan.over), told[0]
                texts = "; ".join(first.warnings)
                yield env, name, warned_of(runs), f"seed {first.planned.seed}: {texts}"


def doubt(numbers: Numbers) -> str | None:
    """What to keep in mind where there are few seeds; None where there are enough."""
    fewest = min(len(cell.runs) for cell in numbers.cells.values())
    if not 1 < fewest < FEW_RUNS:
        return None
    return (
        f"With {fewest} seeds intervals are too narrow: in simulations, those of three runs in one "
        "environment held the truth three times of four, and those of five nine times of ten."
    )


def by_environment(study: Study, numbers: Numbers) -> Iterator[tuple[str, str]]:
    """Each environment and who leads there."""
    for env in study.plan.envs:
        if env not in numbers.verdicts:
            yield env, "no run is finished."
        else:
            text = verdict_text(numbers.verdicts[env], study, "return", [env])
            yield env, f"{text}."


def verdict_text(verdict: Verdict, study: Study, what: str, envs: Sequence[str]) -> str:
    """Who leads, or why nobody can be said to, and what their runs warn of; to follow a comma.

    Args:
        verdict: which.
        study: whose variants they are.
        what: "score" or "return".
        envs: those that it is over.
    """

    def named(variant: str) -> str:
        warned = warned_of(run for env in envs for run in study.of(env, variant))
        return label(variant, study.plan.over) + (f" (which warns of {warned})" if warned else "")

    ends = score_with_ends if what == "score" else with_ends
    first, *others = verdict.ranked
    name, value = named(first), ends(verdict.each[first])
    if not others or verdict.rival is None:
        return f"only {name} has finished runs, with a {what} of {value}"
    if verdict.leader is not None:
        following = named(others[0])
        second = ends(verdict.each[others[0]])
        return f"{name} leads with a {what} of {value}; next is {following} with {second}"
    rival = named(verdict.rival)
    theirs = ends(verdict.each[verdict.rival])
    if verdict.fewest < LEAST_RUNS:
        return (
            f"no winner can be named from fewer than {LEAST_RUNS} runs each; the highest are "
            f"{name} with a {what} of {value} and {rival} with {theirs}"
        )
    return (
        f"no winner can be named, since 95\u00a0% intervals overlap: {name} has a {what} of "
        f"{value}, {rival} {theirs}; the difference is {ends(verdict.ahead)}"
    )


def measured(study: Study, numbers: Numbers) -> Iterator[tuple[str, str]]:
    """What each environment's scores are measured against, or why it has none."""
    for env in study.plan.envs:
        scale = numbers.scales[env]
        if scale.lacking:
            yield env, f"no scores: {scale.lacking}."
            continue
        best = "the planner’s bound" if scale.bound else "the best mean return of a variant here"
        yield (
            env,
            f"0 is random play ({number(scale.random)}), 1 is {best} ({number(scale.best)}); "
            f"the target is a return of {number(scale.target)}.",
        )
