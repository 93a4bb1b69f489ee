"""Every study of experiments/studies, and what is kept of each in docs/results/studies.

    python experiments/results.py                      # all; runs that are done are not run again
    python experiments/results.py bps sensitivity      # some
    python experiments/results.py bps --report-only    # of what there is

Runs go to runs/results/NAME. Kept are scores.csv, the figures, and summary.md: tables with machine,
commit, seeds and budget.
"""

import json
import shutil
from pathlib import Path

import tyro
from rich.console import Console

from adaps.report import write_study
from adaps.study import carry_out
from adaps.study.local import Local
from adaps.study.plan import from_file

HERE = Path(__file__).parent
STUDIES = ("bps", "ablation", "sensitivity", "keep", "foraging", "warehouses")
"""In this order."""
KEPT = HERE.parent / "docs" / "results" / "studies"
SHOWN = ("learning-steps", "scores", "sweep")
"""Figures that are kept. Time on a machine that does other work besides says little."""

PUBLISHED = {
    "NoPS": {"bps-1": -216.8, "bps-2": -415.4, "bps-3": -403.4, "bps-4": -410.8},
    "FuPS+id": {"bps-1": -228.2, "bps-2": -429.7, "bps-3": -835.2, "bps-4": -780.5},
    "SePS": {"bps-1": -201.8, "bps-2": -407.1, "bps-3": -422.1, "bps-4": -411.6},
}
"""Interquartile mean of the final return after 20 million steps, five seeds, on resets of their own
(arXiv 2412.04233)."""


def main(
    names: tyro.conf.Positional[tuple[str, ...]] = STUDIES,
    runs: Path = Path("runs/results"),
    report_only: bool = False,
) -> None:
    """Run what is left to run, and keep what was found."""
    for name in names:
        study = from_file(HERE / "studies" / f"{name}.toml")
        out = runs / name
        if not report_only:
            carry_out(study, out, Local(None, 2.0), Console())
        write_study(out)
        keep(name, out)


def keep(name: str, out: Path) -> None:
    """Copy what belongs into the documentation."""
    place = KEPT / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    shutil.copy(out / "scores.csv", place)
    figures = [f for f in sorted((out / "figures").glob("*.svg")) if f.name.startswith(SHOWN)]
    for figure in figures:
        shutil.copy(figure, place)
    plan = json.loads((out / "study.json").read_text())
    numbers = json.loads((out / "statistics.json").read_text())
    (place / "summary.md").write_text(summary(plan, numbers, [figure.name for figure in figures]))


def summary(plan: dict, numbers: dict, figures: list[str]) -> str:
    """The study as a page of Markdown."""
    steps = plan["options"].get("steps")
    budgets = {env: own.get("steps", steps) for env, own in plan["env_options"].items()}
    budget = ", ".join(f"{int(n):,} in {env}" for env, n in budgets.items() if n)
    runs = numbers["runs"]
    lines = [
        f"# {plan['title']}",
        "",
        numbers["answer"],
        "",
        f"Seeds {plan['seeds'][0]} to {plan['seeds'][-1]}; environment steps per run: {budget}. "
        f"{runs['finished']} of {runs['planned']} runs are finished. {plan['machine']}; commit "
        f"{plan['commit']}. Interquartile means with 95 % bootstrap intervals.",
        "",
    ]
    if plan["title"] == "Blind-Particle Spread":
        lines += ["## Beside the published figures", "", *beside_published(numbers), ""]
    for env, cells in numbers["envs"].items():
        lines += [f"## {env}", "", *table(cells), ""]
    if numbers["sweep"]:
        for env, sweep in numbers["sweep"].items():
            lines += [f"## {env}, by values", "", *sweep_table(sweep), ""]
    lines += ["## Figures", ""]
    lines += [f"![{Path(f).stem.replace('-', ' ')}]({f})" for f in figures]
    return "\n".join(lines) + "\n"


def beside_published(numbers: dict) -> list[str]:
    """Final greedy returns; the published ones took more steps, and are on other resets."""
    envs = list(numbers["envs"])
    names = list(dict.fromkeys(name for cells in numbers["envs"].values() for name in cells))
    lines = [f"| | {' | '.join(envs)} |", "|" + "---|" * (len(envs) + 1)]
    best = [f"{numbers['scales'][env]['best']:,.1f}" for env in envs]
    lines.append(f"| best possible on these resets | {' | '.join(best)} |".replace("-", "−"))
    for name in names:
        cells = [numbers["envs"][env].get(name) for env in envs]
        lines.append(f"| {name} | {' | '.join(with_ends(c and c['return']) for c in cells)} |")
    for name, own in PUBLISHED.items():
        values = " | ".join(f"{own[env]:,.1f}".replace("-", "−") for env in envs)
        lines.append(f"| {name}, published, 20,000,000 steps | {values} |")
    return lines


def table(cells: dict) -> list[str]:
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
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, cell in cells.items():
        reached = cell["env_steps_to_target"] or {"median": None}
        row = (
            name,
            str(len(cell["seeds"])),
            with_ends(cell["return"]),
            percent(cell["regret"]),
            with_ends(cell["area_under_curve"]),
            "–" if reached["median"] is None else f"{reached['median']:,.0f}",
            f"{cell['parameters']:,.0f}",
            index(cell["adjusted_rand_index"]),
        )
        lines.append(f"| {' | '.join(row)} |")
    return lines


def sweep_table(sweep: dict) -> list[str]:
    """One line per combination of values."""
    lines = []
    for cell in sweep["cells"]:
        values = {k: v for k, v in cell.items() if k not in ("interval", "recommended")}
        head = (*values, sweep["of"], "recommended")
        if not lines:
            lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        good = "yes" if cell["recommended"] else ""
        lines.append(f"| {' | '.join((*values.values(), with_ends(cell['interval'], 3), good))} |")
    return lines


def with_ends(interval: list | None, digits: int = 1) -> str:
    """A value and its interval."""
    if interval is None:
        return "–"
    low, value, high = interval
    text = f"{value:,.{digits}f}"
    if low is not None:
        text += f" [{low:,.{digits}f}, {high:,.{digits}f}]"
    return text.replace("-", "−")


def index(value: float | None) -> str:
    """A Rand index."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{100 * value:.1f} %"


if __name__ == "__main__":
    tyro.cli(main)
