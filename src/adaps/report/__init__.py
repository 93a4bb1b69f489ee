"""Pages from result files alone: of a run, of a study, of who is alike. Stage: report.

Modules that draw or compute import matplotlib and SciPy, which take long: they are imported when a
page is made, not when the command line starts.
"""

from pathlib import Path

from adaps.errors import UserError
from adaps.files.plain_files import refuse_links, replace
from adaps.files.run_folder import REPORT
from adaps.files.schema import Plan
from adaps.report.data import read_run
from adaps.report.identity_data import read_found
from adaps.report.study_data import read_study

__all__ = ["write_identity_page", "write_report", "write_study"]

IDENTITY_PAGE = "identity.html"
FIGURES = "figures"


def write_report(folder: Path) -> Path:
    """Make ``report.html`` in a run's folder or a study's, also where not all of it is finished.

    Raises:
        UserError: the folder holds neither or a damaged one, or cannot be written to.
    """
    if (folder / Plan.FILE).exists():
        return write_study(folder)
    from adaps.report import page  # noqa: PLC0415

    return _write(folder / REPORT, page.render(read_run(folder)))


def write_identity_page(folder: Path) -> Path:
    """Make ``identity.html`` beside the ``identity.json`` that ``adaps identify`` wrote.

    Raises:
        UserError: there is no such file or a damaged one, or the folder cannot be written to.
    """
    from adaps.report import identity_page  # noqa: PLC0415

    return _write(folder / IDENTITY_PAGE, identity_page.render(read_found(folder)))


def write_study(folder: Path) -> Path:
    """Make ``report.html`` in a study's folder, with its figures and numbers as files beside it.

    These are ``statistics.json``, ``scores.csv``, ``curves.csv``, ``marl_eval.json`` and
    ``figures/*.svg``. Runs that are missing, unfinished or damaged are left out and listed.

    Raises:
        UserError: there is no plan, no run is finished, or the folder cannot be written to.
    """
    from adaps.report import study_files, study_page, study_statistics  # noqa: PLC0415

    study = read_study(folder)
    refuse_links(folder, FIGURES)
    numbers = study_statistics.numbers_of(study)
    plates = study_page.draw(study, numbers)
    html = study_page.render(study, numbers, plates)
    try:
        (folder / FIGURES).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder / FIGURES}: {error.strerror}") from None
    files = {f"{FIGURES}/{plate.name}.svg": plate.file for plate in plates.every}
    texts = {
        **files,
        "scores.csv": study_files.scores_csv(study, numbers),
        "curves.csv": study_files.curves_csv(study),
        "marl_eval.json": study_files.marl_eval_json(study),
        "statistics.json": study_files.statistics_json(study, numbers, list(files)),
    }
    for name, text in texts.items():
        _write(folder / name, text)
    # Last, so that what the page names is there.
    return _write(folder / REPORT, html)


def _write(path: Path, text: str) -> Path:
    # Texts from files may hold what no encoding can: lone surrogates become question marks.
    content = text.encode("utf-8", "replace")
    try:
        replace(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    return path
