"""Everything that a run needs to resume, kept in files that are checked before use. Stage: train.

A :class:`Series` is a folder of numbered checkpoints, ``checkpoints/state/seed-N`` of a run. Each
is one file, which holds tensors and a manifest that says what they must be.
"""

from adaps.files.checkpoint.content import Count, DamagedError
from adaps.files.checkpoint.lock import InUseError, locked
from adaps.files.checkpoint.series import Checkpoint, CheckpointError, Series, load, numbers, save
from adaps.files.checkpoint.trees import check_same, from_arrays, to_arrays

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Count",
    "DamagedError",
    "InUseError",
    "Series",
    "check_same",
    "from_arrays",
    "load",
    "locked",
    "numbers",
    "save",
    "to_arrays",
]
