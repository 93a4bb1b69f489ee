"""``adaps report``."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from adaps.config.parsing import parse
from adaps.errors import UserError
from adaps.files.terminal import say
from adaps.report import write_report


@dataclass(frozen=True)
class ReportCommand:
    """Make the page of each run or study again, from its result files."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs and studies."""


def run(words: list[str]) -> int:
    """Write pages again from result files."""
    folders = parse(ReportCommand, "report", words).runs
    if not folders:
        raise UserError("name a run's or a study's folder, such as runs/bps-1-adaps-001")
    for folder in folders:
        say(write_report(folder))
    return 0
