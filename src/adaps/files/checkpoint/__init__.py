"""Everything that a run needs to go on, kept in files that are checked before use. Stage: train.

A :class:`Series` is a folder of numbered checkpoints, ``checkpoints/state/seed-N`` of a run. Each
holds tensors in files of :mod:`safetensors`, and a manifest that says what they must be.
"""

from adaps.files.checkpoint.configurations import Difference, differences
from adaps.files.checkpoint.failures import CheckpointError, DamagedError, InUseError, shown
from adaps.files.checkpoint.files import Series, numbers
from adaps.files.checkpoint.lock import locked
from adaps.files.checkpoint.reading import Checkpoint, load
from adaps.files.checkpoint.trees import check_same, from_arrays, to_arrays
from adaps.files.checkpoint.writing import save

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "DamagedError",
    "Difference",
    "InUseError",
    "Series",
    "check_same",
    "differences",
    "from_arrays",
    "load",
    "locked",
    "numbers",
    "save",
    "shown",
    "to_arrays",
]
