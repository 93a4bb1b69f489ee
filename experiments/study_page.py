"""A study's page in docs/results/studies: its tables with machine, commit, seeds and budget."""

from pathlib import Path

from formatting import decimals, number, percent, table, with_ends

PUBLISHED = {
    "NoPS": {"bps-1": -216.8, "bps-2": -415.4, "bps-3": -403.4, "bps-4": -410.8},
    "FuPS+id": {"bps-1": -228.2, "bps-2": -429.7, "bps-3": -835.2, "bps-4": -780.5},
    "SePS": {"bps-1": -201.8, "bps-2": -407.1, "bps-3": -422.1, "bps-4": -411.6},
}
"""Interquartile mean of the final return after 20 million steps, five seeds, on resets of their own
(arXiv 2412.04233)."""


def summary(plan: dict, numbers: dict, figures: list[str]) -> str:
    """The study as a page of Markdown."""
    runs = numbers["runs"]
    lines = [
        f"# {plan['title']}",
        "",
        numbers["answer"],
        "",
        f"Seeds {plan['seeds'][0]} to {plan['seeds'][-1]}; {budget(plan)}. "
        f"{runs['finished']} of {runs['planned']} runs are finished. {plan['machine']}; commit "
        f"{plan['commit']}. Interquartile means with 95 % bootstrap intervals.",
        "",
    ]
    if plan["title"].startswith("Blind-Particle Spread"):
        lines += ["## Beside the published figures", "", *beside_published(numbers), ""]
    for env, cells in numbers["envs"].items():
        lines += [f"## {env}", "", *variants(cells), ""]
    if numbers["sweep"]:
        for env, sweep in numbers["sweep"].items():
            lines += [f"## {env}, by values", "", *by_values(sweep), ""]
    lines += ["## Figures", ""]
    lines += [f"![{Path(f).stem.replace('-', ' ')}]({f})" for f in figures]
    return "\n".join(lines) + "\n"


def budget(plan: dict) -> str:
    """How long runs train."""
    steps = plan["options"].get("steps")
    budgets = {env: own.get("steps", steps) for env, own in plan["env_options"].items()}
    if len(set(budgets.values())) == 1 and steps:
        return f"environment steps per run: {int(steps):,}"
    each = ", ".join(f"{int(n):,} in {env}" for env, n in budgets.items() if n)
    return f"environment steps per run: {each}"


def beside_published(numbers: dict) -> list[str]:
    """Final greedy returns; the published ones took more steps, and are on other resets."""
    envs = list(numbers["envs"])
    names = list(dict.fromkeys(name for cells in numbers["envs"].values() for name in cells))
    best = [number(numbers["scales"][env]["best"]) for env in envs]
    rows = [("best possible on these resets", *best)]
    for name in names:
        cells = [numbers["envs"][env].get(name) for env in envs]
        rows.append((name, *(with_ends(cell and cell["return"]) for cell in cells)))
    for name, own in PUBLISHED.items():
        rows.append((f"{name}, published, 20,000,000 steps", *(number(own.get(e)) for e in envs)))
    return table(("", *envs), rows)


def variants(cells: dict) -> list[str]:
    """One line per variant."""
    head = (
        "variant",
        "runs",
        "final greedy return",
        "regret",
        "mean return while training",
        "steps to 90 %",
        "parameters",
        "Rand index",
    )
    digits = decimals(cell["return"][1] for cell in cells.values())
    rows = []
    for name, cell in cells.items():
        reached = cell["env_steps_to_target"] or {"median": None}
        rows.append(
            (
                name,
                str(len(cell["seeds"])),
                with_ends(cell["return"], digits),
                percent(cell["regret"]),
                with_ends(cell["area_under_curve"], digits),
                number(reached["median"], 0),
                number(cell["parameters"], 0),
                number(cell["adjusted_rand_index"], 2),
            )
        )
    return table(head, rows)


def by_values(sweep: dict) -> list[str]:
    """One line per combination of values."""
    if not sweep["cells"]:
        return []
    rows = []
    for cell in sweep["cells"]:
        values = {k: v for k, v in cell.items() if k not in ("interval", "recommended")}
        good = "yes" if cell["recommended"] else ""
        rows.append((*values.values(), with_ends(cell["interval"], 3), good))
    return table((*values, sweep["of"], "recommended"), rows)
