"""What can go wrong with a checkpoint, and what to do about it. Stage: train."""

import reprlib
from pathlib import Path
from typing import Any

from adaps.errors import StorageError, UserError, refusal


class CheckpointError(StorageError):
    """A checkpoint could not be saved. Those before it are whole, and training may go on."""


class InUseError(UserError):
    """Another process, or another run in this one, writes to a run's folder."""


class DamagedError(UserError):
    """A checkpoint is not what its manifest says, or its manifest says what cannot be."""


def could_not_save(folder: Path, error: OSError) -> CheckpointError:
    """The error for a checkpoint that the operating system would not take."""
    return CheckpointError(
        f"cannot save a checkpoint in {folder}: {refusal(error)} (earlier ones are whole)"
    )


def shown(value: Any) -> str:
    """Any value in a few characters of one line.

    >>> shown("a" * 1000)
    "'aaaaaaaaaaaa...aaaaaaaaaaaaa'"
    """
    return reprlib.repr(value)
