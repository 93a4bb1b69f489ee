"""From arrays to files: a checkpoint is there as a whole, or it is not there. Stage: train."""

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as serialised

from adaps.errors import reason
from adaps.files.checkpoint import processes
from adaps.files.checkpoint.failures import CheckpointError, DamagedError, could_not_save
from adaps.files.checkpoint.files import Series, numbers, refuse_links, remove, sync, write_bytes
from adaps.files.checkpoint.manifest import (
    DTYPES,
    MANIFEST,
    SUFFIX,
    File,
    Manifest,
    Tensor,
    check_file_name,
    to_bytes,
)
from adaps.files.checkpoint.reading import glance, read

Parts = Mapping[str, Mapping[str, np.ndarray]]


def save(series: Series, parts: Parts, facts: dict[str, Any], keep: int = 2) -> Path:
    """Add a checkpoint to a series, check it, and only then remove old ones.

    Its number is one more than the highest so far, so that no write touches what is there.

    Args:
        series: where it belongs; the run's folder must be there.
        parts: arrays by name as :func:`to_arrays` gives them, for each part by its name, which
            becomes a file's: small letters, digits, ``-`` and ``_``.
        facts: anything else, as JSON has it: no NaN; tuples come back as lists.
        keep: checkpoints to keep, at least 2.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: it could not be written; earlier ones are whole. Or it was written, and
            an old one could not be removed.
    """
    if keep < 2:
        raise ValueError("keep at least 2 checkpoints: the newest may turn out to be damaged")
    try:
        _make_folder(series)
        _remove_leftovers(series.folder)
        path = _written(series, parts, facts)
    except OSError as error:
        raise could_not_save(series.folder, error) from None
    except DamagedError as error:
        raise CheckpointError(f"cannot save a checkpoint in {series.folder}: {error}") from None
    _prune(series, keep)
    return path


def _make_folder(series: Series) -> None:
    """All below the run's folder. That one is not made anew: someone took it away."""
    refuse_links(series)
    for folder in series.ancestry:
        if not folder.exists():
            folder.mkdir(exist_ok=True)  # another series may be begun at the same moment
            sync(folder.parent)


def _written(series: Series, parts: Parts, facts: dict[str, Any]) -> Path:
    number = max(numbers(series), default=0) + 1
    path, temporary = series.path(number), series.folder / _temporary_name()
    temporary.mkdir()
    try:
        files = {n + SUFFIX: _write_part(temporary, n + SUFFIX, parts[n]) for n in parts}
        write_bytes(temporary / MANIFEST, _manifest(Manifest(series.name, number, files, facts)))
        sync(temporary)
        read(series, number, temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(series.folder)
    return path


def _write_part(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> File:
    check_file_name(name)
    plain = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    for key, array in plain.items():
        if array.dtype.name not in DTYPES:
            raise DamagedError(f"{key} is of {array.dtype}, which checkpoints do not keep")
    data = serialised(plain)
    write_bytes(folder / name, data)
    return File(
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        tensors={key: Tensor(array.dtype.name, array.shape) for key, array in plain.items()},
    )


def _manifest(manifest: Manifest) -> bytes:
    try:
        return to_bytes(manifest)
    except (TypeError, ValueError, RecursionError) as error:
        raise DamagedError(f"its facts are not plain JSON: {error}") from None


def _prune(series: Series, keep: int) -> None:
    """Remove all that are older than the newest ``keep`` whole ones, by a glance at each."""
    kept = 0
    for number in reversed(numbers(series)):
        if kept < keep:
            with contextlib.suppress(DamagedError):
                glance(series, number, series.path(number))
                kept += 1
            continue
        try:
            # Renamed first, so that nobody takes one that is half removed for a damaged one.
            remove(series.path(number).rename(series.folder / _temporary_name()))
        except OSError as error:
            raise CheckpointError(
                f"a checkpoint was saved, but {series.path(number)} could not be removed "
                f"({reason(error)}); remove it yourself"
            ) from None


def _temporary_name() -> str:
    own = processes.own()
    return f".tmp-{own.pid}-{round(own.started)}-{uuid.uuid4().hex[:8]}"


def _remove_leftovers(folder: Path) -> None:
    """What writers began that are dead now; they did not come to rename it."""
    for name in os.listdir(folder):
        writer = re.fullmatch(r"\.tmp-([0-9]{1,9})-([0-9]{1,12})-[0-9a-f]{8}", name)
        if writer and not processes.Process(*map(int, writer.groups())).is_alive():
            # What cannot be removed takes up space, and of that there may be enough.
            with contextlib.suppress(OSError):
                remove(folder / name)
