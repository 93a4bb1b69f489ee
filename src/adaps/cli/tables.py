"""Numbers and tables as the commands print them."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from adaps.files.schema.run import warnings_by_seed


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


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
