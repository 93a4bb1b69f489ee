"""Numbers and tables as the commands print them."""

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from adaps.collect.episodes import opposed
from adaps.files.schema.run import warnings_by_seed

MOST_AGENTS = 16
"""Agents whose returns are listed."""


def table(title: str, headings: Sequence[str], left: str) -> Table:
    """An empty table, whose columns are aligned to the right but for the one headed ``left``."""
    made = Table(title=title)
    for heading in headings:
        made.add_column(heading, justify="left" if heading == left else "right")
    return made


def print_warnings(of_seeds: Mapping[int, Sequence[str]]) -> None:
    """What the table above should not be read without."""
    for text in warnings_by_seed(of_seeds):
        print(f"warning  {text}")


def print_each_agent(names: Sequence[str], of_seeds: Sequence[Sequence[float]]) -> None:
    """Each agent's return, mean over seeds, where the sum over all agents says little."""
    means = [statistics.fmean(own) for own in zip(*of_seeds, strict=True)]
    if opposed(means):
        each = [f"{name} {number(mean)}" for name, mean in zip(names, means, strict=True)]
        more = f" and {len(each) - MOST_AGENTS} more" if len(each) > MOST_AGENTS else ""
        print(f"each agent's return: {', '.join(each[:MOST_AGENTS])}{more}")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
