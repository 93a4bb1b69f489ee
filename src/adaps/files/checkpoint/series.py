"""Checkpoints in their folder: each is there as a whole, or it is not there. Stage: train.

No symbolic link below a run's folder is followed, so that nothing outside is read or written.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from adaps.errors import StorageError, UserError, reason, refusal
from adaps.files.checkpoint.content import DamagedError, Parts, from_file, one_line, to_bytes
from adaps.files.plain_files import open_plain, remove_leftovers, replace, sync

T = TypeVar("T")


class CheckpointError(StorageError):
    """A checkpoint could not be saved. Those before it are whole."""


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


class Checkpoint(NamedTuple):
    """What :func:`save` saved."""

    path: Path
    number: int
    parts: dict[str, dict[str, np.ndarray]]
    """Arrays by name, for each part by its name."""
    metadata: Any
    """As JSON has it."""


def numbers(series: Series) -> list[int]:
    """Numbers of all checkpoints in rising order, damaged ones among them.

    Raises:
        UserError: the folder is a symbolic link, or cannot be read.
    """
    try:
        _refuse_links(series)
        names = os.listdir(series.folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DamagedError(f"{series.folder} cannot be read: {reason(error)}") from None
    found = (int(name) for name in names if re.fullmatch("[0-9]{8,18}", name))
    return sorted(n for n in found if series.path(n).name in names)


def as_saved(found: Checkpoint) -> Any:
    """A checkpoint whose metadata may be anything."""
    return found


def load(
    series: Series,
    warn: Callable[[str], None],
    decode: Callable[[Checkpoint], T] = as_saved,
) -> T:
    """The newest checkpoint that is whole.

    Args:
        series: where to look.
        warn: is told of each newer one that is damaged, once one is found that is not.
        decode: what a checkpoint means; raises ``DamagedError`` for one that no run would save.

    Raises:
        UserError: there is none; with what is wrong with each.
    """
    wrong = []
    for number in reversed(numbers(series)):
        path = series.path(number)
        try:
            found = decode(_read(series, number, path))
        except DamagedError as error:
            wrong.append(f"checkpoint {path.name} is damaged: {error}")
            continue
        for text in wrong:
            warn(f"{series.folder}: {text}; using {path.name}")
        return found
    if not wrong:
        raise UserError(f"{series.folder} has no checkpoint to resume from")
    raise UserError(f"{series.folder} has no whole checkpoint: {'; '.join(wrong)}")


def save(series: Series, parts: Parts, metadata: Any, keep: int = 2) -> Path:
    """Add a checkpoint to a series, check it, and only then remove old ones.

    Its number is one more than the highest so far, so that no write touches what is there.

    Args:
        series: where it belongs; the run's folder must be there.
        parts: arrays by name as :func:`to_arrays` gives them, for each part by its name: small
            letters, digits, ``-`` and ``_``.
        metadata: anything else: a ``msgspec.Struct`` or what JSON has, without NaN; tuples come
            back as lists.
        keep: checkpoints to keep, at least 2.

    Returns:
        The checkpoint's file.

    Raises:
        CheckpointError: it could not be written; earlier ones are whole. Or it was written, and
            an old one could not be removed.
    """
    if keep < 2:
        raise ValueError("keep at least 2 checkpoints: the newest may turn out to be damaged")
    try:
        _make_folder(series)
        remove_leftovers(series.folder)
        number = max(numbers(series), default=0) + 1
        data, path = to_bytes(series.name, number, parts, metadata), series.path(number)

        def write(beside: Path) -> None:
            beside.write_bytes(data)
            _read(series, number, beside)

        replace(path, write)
        sync(series.folder)
    except (OSError, DamagedError) as error:
        why = f"{refusal(error)} (earlier ones are whole)" if isinstance(error, OSError) else error
        raise CheckpointError(f"cannot save a checkpoint in {series.folder}: {why}") from None
    _prune(series, keep)
    return path


def _make_folder(series: Series) -> None:
    """All below the run's folder. That one is not made anew: someone took it away."""
    _refuse_links(series)
    for folder in series.ancestry:
        if not folder.exists():
            folder.mkdir(exist_ok=True)  # another series may be begun at the same moment
            sync(folder.parent)


def _refuse_links(series: Series) -> None:
    """Raises ``DamagedError`` where a folder below the run's is a symbolic link."""
    for folder in series.ancestry:
        if folder.is_symlink():
            raise DamagedError(f"{folder} is a symbolic link; put the folder itself there")


def _read(series: Series, number: int, path: Path) -> Checkpoint:
    """A checkpoint that lies in ``path``, every byte of it checked.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    try:
        with open_plain(path, os.O_NOFOLLOW) as file:
            manifest, parts = from_file(file, os.fstat(file.fileno()).st_size)
    except IsADirectoryError:
        raise DamagedError("it is a folder, of a format that this adaps does not read") from None
    except OSError as error:
        raise DamagedError(f"it cannot be read: {error.strerror}") from None
    if (manifest.series, manifest.number) != (series.name, number):
        was = f"checkpoint {manifest.number} of '{one_line(manifest.series)}'"
        raise DamagedError(f"it was {was}")
    return Checkpoint(path, number, parts, manifest.metadata)


def _prune(series: Series, keep: int) -> None:
    """Remove all that are older than the newest ``keep`` whole ones."""
    kept, (_, *older) = 1, reversed(numbers(series))  # the newest was read when it was written
    for number in older:
        path = series.path(number)
        if kept < keep:
            with contextlib.suppress(DamagedError):
                _read(series, number, path)
                kept += 1
            continue
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise CheckpointError(
                f"a checkpoint was saved, but {path} could not be removed ({reason(error)}); "
                "remove it yourself"
            ) from None
