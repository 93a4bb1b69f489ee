"""Where checkpoints lie, and how their files are read and written. Stage: train.

No symbolic link below a run's folder is followed, so that nothing outside is read or written.
"""

import errno
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from adaps.errors import reason
from adaps.files.checkpoint.failures import DamagedError


@dataclass(frozen=True)
class Series:
    """The checkpoints of seeds that run as one program.

    One thread of one process may write to it at a time: hold :func:`adaps.files.checkpoint.locked`.
    """

    run: Path
    """The run's folder."""
    first_seed: int

    @property
    def name(self) -> str:
        return f"seed-{self.first_seed}"

    @property
    def folder(self) -> Path:
        return self.run / "checkpoints" / "state" / self.name

    @property
    def ancestry(self) -> list[Path]:
        """Folders from the run's down to that of the checkpoints, without the first."""
        return [*reversed(self.folder.parents[:2]), self.folder]

    def path(self, number: int) -> Path:
        return self.folder / f"{number:08d}"


def numbers(series: Series) -> list[int]:
    """Numbers of all checkpoints in rising order, damaged ones among them.

    Raises:
        UserError: the folder is a symbolic link, or cannot be read.
    """
    try:
        refuse_links(series)
        names = os.listdir(series.folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DamagedError(f"{series.folder} cannot be read: {reason(error)}") from None
    found = (int(name) for name in names if re.fullmatch("[0-9]{8,18}", name))
    return sorted(n for n in found if series.path(n).name in names)


def refuse_links(series: Series) -> None:
    """Raises ``DamagedError`` where a folder below the run's is a symbolic link."""
    for folder in series.ancestry:
        if folder.is_symlink():
            raise DamagedError(f"{folder} is a symbolic link; put the folder itself there")


def check_folder(path: Path) -> None:
    """Raises ``DamagedError`` for all but a folder itself, such as a link to one."""
    if not stat.S_ISDIR(_status(path).st_mode):
        raise DamagedError(f"{path.name} is not a folder")


def check_file(path: Path, size: int) -> None:
    """Raises ``DamagedError`` for all but a plain file of so many bytes."""
    _check_file(path, _status(path), range(size, size + 1))


def read_bytes(path: Path, sizes: range) -> bytes:
    """A plain file's bytes, of which there must be so many.

    Raises:
        DamagedError: it is missing, not a plain file, of another size, or cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_itself) as file:
            status = os.fstat(file.fileno())
            _check_file(path, status, sizes)
            return file.read(status.st_size)
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {reason(error)}") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Make a file that was not there, and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network disks keep names by themselves, and do not know the call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a folder with all that it holds; of a link, the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _open_itself(path: str, flags: int) -> int:
    """No link is followed, and no writer to a pipe is waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {reason(error)}") from None


def _check_file(path: Path, status: os.stat_result, sizes: range) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DamagedError(f"{path.name} is not a plain file")
    if status.st_size not in sizes:
        expected = sizes[0] if len(sizes) == 1 else f"less than {sizes.stop}"
        raise DamagedError(f"{path.name} is of {status.st_size} bytes, not {expected}")
