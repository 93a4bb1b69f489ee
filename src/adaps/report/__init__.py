"""Pages made from result files alone: of a run, and of who is alike. Stage: report."""

from pathlib import Path

from adaps.errors import UserError
from adaps.report import identity_page, page
from adaps.report.data import read_run
from adaps.report.identity_data import read_found
from adaps.run_folder import REPORT, replace

__all__ = ["write_identity_page", "write_report"]

IDENTITY_PAGE = "identity.html"


def write_report(folder: Path) -> Path:
    """Make ``report.html`` in a run's folder, also of a run that is not finished.

    Raises:
        UserError: the folder holds no run or a damaged one, or cannot be written to.
    """
    return _write(folder / REPORT, page.render(read_run(folder)))


def write_identity_page(folder: Path) -> Path:
    """Make ``identity.html`` beside the ``identity.json`` that ``adaps identify`` wrote.

    Raises:
        UserError: there is no such file or a damaged one, or the folder cannot be written to.
    """
    return _write(folder / IDENTITY_PAGE, identity_page.render(read_found(folder)))


def _write(path: Path, text: str) -> Path:
    # Texts from files may hold what no encoding can: lone surrogates become question marks.
    content = text.encode("utf-8", "replace")
    try:
        replace(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    return path
