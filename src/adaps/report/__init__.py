"""A run's page, made from its result files alone. Stage: report."""

from pathlib import Path

from adaps.errors import UserError
from adaps.report.data import read_run
from adaps.report.page import render
from adaps.run_folder import REPORT, replace

__all__ = ["write_report"]


def write_report(folder: Path) -> Path:
    """Make ``report.html`` in a run's folder, also of a run that is not finished.

    Raises:
        UserError: the folder holds no run or a damaged one, or cannot be written to.
    """
    page = folder / REPORT
    # Texts from files may hold what no encoding can: lone surrogates become question marks.
    content = render(read_run(folder)).encode("utf-8", "replace")
    try:
        replace(page, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise UserError(f"cannot write {page}: {error.strerror}") from None
    return page
