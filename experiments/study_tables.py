"""Tables of docs/results/README.md that come from the studies' scores.csv."""

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from formatting import NONE, bold, decimals, number, short_percent, table, with_ends
from scores import Run, Runs, best, final, leader, ranked, read, regret, steps_to_target, swept
from study_page import PUBLISHED

from adaps.report.study_statistics import Sweep

OURS = "AdaPS"
PARAMETERS_OF = ("bps-1", "bps-3")
"""Environments whose numbers of parameters are shown: one of three kinds and one of five."""
IN_WORDS = {
    "AdaPS, true groups": "AdaPS, true groups given",
    "AdaPS, random codes": "AdaPS, random codes instead of learnt ones",
    "SNP-PS (one-hot identity)": "SNP-PS: a mask of its own for each agent, as a one-hot identity "
    "gives",
    "FuPS+mask (one mask for all)": "FuPS+mask: one mask for all",
    "FuPS+group-id (groups as a tag)": "FuPS+group-id: the groups found, as a tag",
}
"""What the ablation's variants do, at more length than their names."""
OPTIONS = {
    "sharing.clusters": "groups",
    "sharing.threshold": "λ",
    "sharing.keep": "share kept",
}


def beside_published(folder: Path) -> list[str]:
    """Final greedy returns and regrets beside what is published, AdaPS first."""
    runs = read(folder)
    envs = list(runs)
    of = [env for env in PARAMETERS_OF if env in runs]
    rows = [("best possible on these resets", "", *(number(best(runs[env])) for env in envs))]
    for name in sorted(ranked(runs), key=lambda name: name != OURS):
        sizes = ", ".join(number(runs[env][name][0].parameters, 0) for env in of)
        cells = [_return_and_regret(runs[env], name) for env in envs]
        rows.append((bold(name) if name == OURS else name, sizes, *cells))
    for name, own in PUBLISHED.items():
        rows.append((f"{name}, published", "", *(number(own.get(env)) for env in envs)))
    head = ("final greedy return (regret)", f"parameters on {', '.join(of)}", *envs)
    return [*table(head, rows), *source(folder)]


def _return_and_regret(variants: dict[str, list[Run]], name: str) -> str:
    if name not in variants:
        return number(None)
    value = number(final(variants[name]).value)
    return f"{value} ({short_percent(regret(variants[name]))}){_fewer(variants, name)}"


def by_variant(folder: Path) -> list[str]:
    """Of each environment that is finished: variants, the best first, and what is known of them."""
    runs = read(folder)
    whole = [env for env in runs if len(runs[env]) == len(ranked(runs))]
    lines: list[str] = []
    for env in whole:
        rows = list(_by_variant(runs[env]))
        known = [i for i, cells in enumerate(zip(*rows, strict=True)) if set(cells) != {NONE}]
        kept = [[row[i] for i in known] for row in (_head(f"variant{_on(env, runs)}"), *rows)]
        lines += [*table(kept[0], kept[1:]), ""]
    if unfinished := [env for env in runs if env not in whole]:
        lines += [f"Not finished, and not shown: {', '.join(unfinished)}.", ""]
    return [*lines[:-1], *source(folder)]


def _head(first: str) -> tuple[str, ...]:
    return (first, "final greedy return", "regret", "steps to 90 %", "parameters")


def _by_variant(variants: dict[str, list[Run]]) -> Iterable[tuple[str, ...]]:
    for name in sorted(variants, key=lambda name: -final(variants[name]).value):
        own = variants[name]
        yield (
            IN_WORDS.get(name, name) + _fewer(variants, name),
            with_ends(final(own), decimals([final(own).value])),
            short_percent(regret(own)),
            number(steps_to_target(own), 0),
            number(own[0].parameters, 0),
        )


def by_environment(folder: Path) -> list[str]:
    """Final greedy returns: a line per method, a column per environment; the leader is bold."""
    runs = read(folder)
    digits = {env: decimals(final(r).value for r in runs[env].values()) for env in runs}
    leaders = {env: leader(runs[env]) for env in runs}
    rows = []
    for name in ranked(runs):
        cells = []
        for env, variants in runs.items():
            text = with_ends(final(variants[name]) if name in variants else None, digits[env])
            text = bold(text) if leaders[env] == name else text
            cells.append(text + _fewer(variants, name))
        rows.append((name, *cells))
    return [*table(("method", *told_apart(runs)), rows), *source(folder)]


def told_apart(envs: Iterable[str]) -> list[str]:
    """Names without the words that they all begin with.

    >>> told_apart(["rware-2color-tiny", "rware-3color-tiny"])
    ['2color-tiny', '3color-tiny']
    """
    each = [env.split("-") for env in envs]
    places = enumerate(zip_longest(*each))
    alike = next((place for place, words in places if len(set(words)) > 1), 0)
    alike = min(alike, *(len(words) - 1 for words in each))
    return ["-".join(words[alike:]) for words in each]


def by_two_values(folder: Path) -> list[str]:
    """Scores of a sweep of two options: one down, one across; bold is what may be the best."""
    runs = read(folder)
    lines: list[str] = []
    for env, variants in runs.items():
        (down, across), sweep = swept(variants)
        rows, columns = (list(dict.fromkeys(values)) for values in zip(*sweep.each, strict=True))
        head = (_option(down) + _on(env, runs), *(f"{_option(across)} = {v}" for v in columns))
        cells = ([row, *(_of_sweep(sweep, (row, column)) for column in columns)] for row in rows)
        lines += [*table(head, cells), ""]
    return [*lines[:-1], *source(folder)]


def by_one_value(folder: Path) -> list[str]:
    """Scores of a sweep of one option, a column per environment; bold is what may be the best."""
    sweeps = {env: swept(variants) for env, variants in read(folder).items()}
    (option,), _ = next(iter(sweeps.values()))
    rows = []
    for value in dict.fromkeys(values for _, sweep in sweeps.values() for values in sweep.each):
        cells = []
        for _, sweep in sweeps.values():
            text = with_ends(sweep.each.get(value), 3)
            cells.append(bold(text) if value in sweep.recommended else text)
        rows.append((*value, *cells))
    return [*table((_option(option), *sweeps), rows), *source(folder)]


def _of_sweep(sweep: Sweep, values: tuple[str, ...]) -> str:
    if values not in sweep.each:
        return number(None)
    value = sweep.each[values].value
    return bold(number(value, 3)) if values in sweep.recommended else number(value, 2)


def _option(name: str) -> str:
    return OPTIONS.get(name, name)


def _on(env: str, runs: Runs) -> str:
    """To which environment a table belongs, where there are several."""
    return f", on {env}" if len(runs) > 1 else ""


def _fewer(variants: dict[str, list[Run]], name: str) -> str:
    """How many runs there are, where others have more."""
    most = max(map(len, variants.values()))
    own = len(variants.get(name, ()))
    return f", {own} run{'s' * (own > 1)}" if 0 < own < most else ""


def source(folder: Path) -> list[str]:
    """Where the numbers come from, as the study's own page says it."""
    lines = (folder / "summary.md").read_text().splitlines()
    said = next((line for line in lines if line.startswith("Seeds ")), "")
    return ["", f"[All of it](studies/{folder.name}/summary.md). {said}".rstrip()]
