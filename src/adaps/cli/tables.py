"""Numbers and tables as the commands print them."""

from collections.abc import Sequence

from rich.table import Table


def table(title: str, headings: Sequence[str], left: Sequence[str] = ()) -> Table:
    """An empty table, whose columns are aligned to the right but for those headed as ``left``.

    What is too long goes on in the next line; nothing is left out.
    """
    made = Table(title=title)
    for heading in headings:
        justify = "left" if heading in left else "right"
        made.add_column(heading, justify=justify, overflow="fold")
    return made


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"
