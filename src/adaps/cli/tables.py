"""Numbers and tables as the commands print them."""

import statistics
from collections.abc import Mapping, Sequence

from rich.table import Table

from adaps.collect.episodes import opposed
from adaps.files.schema.run import warnings_by_seed
from adaps.files.terminal import say

MOST_AGENTS = 16
"""Agents whose returns are listed."""


def table(title: str, headings: Sequence[str], left: Sequence[str] = ()) -> Table:
    """An empty table, whose columns are aligned to the right but for those headed as ``left``.

    What is too long goes on in the next line; nothing is left out.
    """
    made = Table(title=title)
    for heading in headings:
        justify = "left" if heading in left else "right"
        made.add_column(heading, justify=justify, overflow="fold")
    return made


def print_warnings(of_seeds: Mapping[int, Sequence[str]]) -> None:
    """What the table above should not be read without."""
    for text in warnings_by_seed(of_seeds):
        say(f"warning  {text}")


def print_each_agent(names: Sequence[str], of_seeds: Sequence[Sequence[float]]) -> None:
    """Each agent's return, mean over seeds, where the sum over all agents says little."""
    means = [statistics.fmean(own) for own in zip(*of_seeds, strict=True)]
    if opposed(means):
        each = [f"{name} {number(mean)}" for name, mean in zip(names, means, strict=True)]
        more = f" and {len(each) - MOST_AGENTS} more" if len(each) > MOST_AGENTS else ""
        say(f"each agent's return: {', '.join(each[:MOST_AGENTS])}{more}")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
