"""What ``adaps identify`` found out, read from its file and checked. Stage: report."""

from pathlib import Path

from adaps.errors import UserError
from adaps.files.run_folder import IDENTITY, read_json
from adaps.files.schema import IdentityReport, decoded


def read_found(folder: Path) -> IdentityReport:
    """What ``adaps identify`` wrote into a folder.

    Raises:
        UserError: the file is missing, damaged or contradicts itself; one line that names it.
    """
    path = folder / IDENTITY
    data = read_json(folder, IDENTITY)
    if isinstance(data, dict) and "seeds" in data:
        raise UserError(f"{path} is damaged: it belongs to a training run, not to adaps identify")
    return decoded(path, data, IdentityReport)
