"""From files to arrays: the newest checkpoint that is whole. Stage: train."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize

from adaps.errors import UserError
from adaps.files.checkpoint.failures import DamagedError
from adaps.files.checkpoint.files import Series, check_file, check_folder, numbers, read_bytes
from adaps.files.checkpoint.manifest import (
    DTYPES,
    MANIFEST,
    MAX_MANIFEST,
    SUFFIX,
    File,
    Manifest,
    Tensor,
    from_bytes,
)

DTYPE_NAMES = {theirs: own for own, theirs in DTYPES.items()}


class Checkpoint(NamedTuple):
    """What :func:`adaps.files.checkpoint.save` saved."""

    path: Path
    number: int
    parts: dict[str, dict[str, np.ndarray]]
    """Arrays by name, for each part by its name."""
    facts: dict[str, Any]


def load(
    series: Series,
    warn: Callable[[str], None],
    check: Callable[[Checkpoint], None] = lambda _: None,
) -> Checkpoint:
    """The newest checkpoint that is whole.

    Args:
        series: where to look.
        warn: is told of each newer one that is damaged, once one is found that is not.
        check: raises ``DamagedError`` for one that holds what no run would have saved.

    Raises:
        UserError: there is none; with what is wrong with each.
    """
    wrong = []
    for number in reversed(numbers(series)):
        try:
            found = read(series, number, series.path(number))
            check(found)
        except DamagedError as error:
            wrong.append(f"checkpoint {series.path(number).name} is damaged: {error}")
            continue
        for text in wrong:
            warn(f"{series.folder}: {text}; using {found.path.name}")
        return found
    if not wrong:
        raise UserError(f"{series.folder} has no checkpoint to go on from")
    raise UserError(f"{series.folder} has no whole checkpoint: {'; '.join(wrong)}")


def read(series: Series, number: int, folder: Path) -> Checkpoint:
    """A checkpoint that lies in ``folder``, every byte of it checked.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    manifest = glance(series, number, folder)
    parts = {
        name.removesuffix(SUFFIX): _arrays(folder / name, file)
        for name, file in manifest.files.items()
    }
    return Checkpoint(folder, number, parts, manifest.facts)


def glance(series: Series, number: int, folder: Path) -> Manifest:
    """A checkpoint's manifest, and whether its files are there in the right sizes.

    Raises:
        DamagedError: with the first thing that is wrong.
    """
    check_folder(folder)
    manifest = from_bytes(read_bytes(folder / MANIFEST, range(MAX_MANIFEST)))
    if (manifest.series, manifest.number) != (series.name, number):
        raise DamagedError(f"it was checkpoint {manifest.number} of {manifest.series[:100]!r}")
    for name, file in manifest.files.items():
        check_file(folder / name, file.size)
    return manifest


def _arrays(path: Path, file: File) -> dict[str, np.ndarray]:
    """A file's tensors, from the same bytes that were hashed."""
    try:
        data = read_bytes(path, range(file.size, file.size + 1))
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DamagedError(f"{path.name} was changed: its hash is another")
        tensors = dict(deserialize(data))
    except SafetensorError as error:
        raise DamagedError(f"{path.name}: {error}") from None
    except MemoryError:
        raise DamagedError(f"{path.name} does not fit into memory") from None
    found = {n: (DTYPE_NAMES.get(t["dtype"]), tuple(t["shape"])) for n, t in tensors.items()}
    if found != {name: (said.dtype, said.shape) for name, said in file.tensors.items()}:
        raise DamagedError(f"{path.name} holds other tensors than its manifest says")
    return {name: _array(tensors[name]["data"], said) for name, said in file.tensors.items()}


def _array(data: bytearray, said: Tensor) -> np.ndarray:
    try:
        return np.frombuffer(data, jnp.dtype(said.dtype)).reshape(said.shape)
    except ValueError as error:
        raise DamagedError(f"no array is {said}: {error}") from None
