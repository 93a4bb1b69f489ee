"""What can go wrong with a checkpoint, and what to do about it. Stage: train."""

import errno
import os
import reprlib
from pathlib import Path
from typing import Any

from adaps.errors import UserError


class CheckpointError(UserError):
    """A checkpoint could not be saved. Those before it are whole, and training may go on."""


class DamagedError(UserError):
    """A checkpoint is not what its manifest says, or its manifest says what cannot be."""


ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
    errno.EROFS: "make the disk writable, or name another folder with --out",
    errno.ENOENT: "put the folder back; it was there when the run began",
    errno.ENOTDIR: "put the folder back; it was there when the run began",
    errno.ENOTEMPTY: "end the other run that writes there",
    errno.EEXIST: "end the other run that writes there",
}
"""What to do, by the number of an operating system's error."""


def could_not_save(folder: Path, error: OSError) -> CheckpointError:
    """The error for a checkpoint that the operating system would not take."""
    todo = ADVICE.get(error.errno or 0, "check the disk")
    return CheckpointError(
        f"cannot save a checkpoint in {folder}: {reason(error)}; {todo} (earlier ones are whole)"
    )


def reason(error: OSError) -> str:
    """The operating system's words.

    >>> reason(OSError(errno.ENOSPC, "as some library says it"))
    'No space left on device'
    """
    return os.strerror(error.errno) if error.errno else str(error)


def shown(value: Any) -> str:
    """Any value in a few characters of one line.

    >>> shown("a" * 1000)
    "'aaaaaaaaaaaa...aaaaaaaaaaaaa'"
    """
    return reprlib.repr(value)
