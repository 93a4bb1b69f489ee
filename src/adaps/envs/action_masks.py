"""Which actions may be taken, as somebody's environment says it. Stage: environment."""

from typing import Any

import numpy as np
from jaxtyping import Bool


def legal_actions(mask: Any, num_actions: int) -> Bool[np.ndarray, " action"]:
    """A mask of zeros and ones, or of truth values, as booleans.

    >>> legal_actions([0, 1, 1], 3)
    array([False,  True,  True])

    Raises:
        ValueError: it has another length, allows nothing, or holds something else; with a reason
            such as ``it has 4 entries, not 5``.
    """
    try:
        given = np.asarray(mask).ravel()
        legal = given.astype(bool)
    except (TypeError, ValueError):
        raise ValueError("it is no row of zeros and ones") from None
    if given.size != num_actions:
        raise ValueError(f"it has {given.size} entries, not {num_actions}")
    # Bytes are compared since it is several times quicker than comparing small arrays.
    allowed = legal.tobytes()
    if given.itemsize > 1 or given.dtype.kind not in "biu" or given.tobytes() != allowed:
        _check_binary(given, legal)
    if b"\1" not in allowed:
        raise ValueError("it allows no action")
    return legal


def _check_binary(given: np.ndarray, legal: np.ndarray) -> None:
    """Say which entry is neither 0 nor 1."""
    if given.dtype.kind not in "biuf":
        raise ValueError(f"its entries are {given.dtype}, not 0 or 1")
    if (wrong := given[given != legal]).size:
        raise ValueError(f"its entries must be 0 or 1, not {wrong[0]}")
