"""``adaps compare`` and ``adaps sweep``."""

from adaps.config.parsing import parse
from adaps.errors import UserError
from adaps.files.terminal import Terminal, complain, say
from adaps.report import write_report
from adaps.study.commands import (
    CompareCommand,
    SweepCommand,
    Where,
    backend_of,
    compared,
    swept,
)
from adaps.study.execute import carry_out
from adaps.study.plan import Study, default_folder

FAILED = 1


def compare(words: list[str]) -> int:
    """Carry out a study of methods."""
    command = parse(CompareCommand, "compare", words)
    return _carry_out(compared(command), command.where)


def sweep(words: list[str]) -> int:
    """Carry out a study of options' values."""
    command = parse(SweepCommand, "sweep", words)
    return _carry_out(swept(command), command.where)


def _carry_out(study: Study, where: Where) -> int:
    """Carry out a study and write its report; say which runs failed."""
    out = where.out or default_folder(study)
    try:
        failures = carry_out(study, out, backend_of(where), Terminal(errors=True))
    except KeyboardInterrupt:
        complain("adaps: interrupted; the same command goes on where this stopped")
        raise
    for folder, reason in failures.items():
        complain(f"adaps: {out / folder} failed: {reason}")
    try:
        say(f"report  {write_report(out)}")
    except UserError as error:
        if not failures:
            raise
        complain(f"adaps: {error}")
    return FAILED if failures else 0
